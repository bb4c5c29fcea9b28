"""The command line around the subcommands."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import types
from importlib.metadata import EntryPoint, EntryPoints, PackageNotFoundError

import pytest

from wusum.inference import cli
from wusum.labels.command_base import Command
from wusum.labels.errors import WusumError

Capture = pytest.CaptureFixture[str]


def _greet(arguments: argparse.Namespace) -> int:
    if arguments.name == "fault":
        raise WusumError("a.txt:3:text: missing; expected a string; add it")
    if arguments.name == "stop":
        raise KeyboardInterrupt
    if arguments.name == "heavy":
        import torch_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
    if arguments.name == "own":
        raise ModuleNotFoundError("No module named 'wusum.training'", name="wusum.training")
    sys.stdout.write(f"hello {arguments.name}\n")
    return 5


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("some_commands")
    module.GREET = Command("say hello", _name, _greet)  # type: ignore[attr-defined]
    module.WRONG = "no command"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_commands", module)
    values = {
        "greet": "some_commands:GREET",
        "wrong": "some_commands:WRONG",
        "absent": "module_that_nobody_has:COMMAND",
        "extra": "module_that_nobody_has:COMMAND [heavy]",
    }
    entries = EntryPoints([EntryPoint(name, value, cli.GROUP) for name, value in values.items()])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: entries.select(group=group))
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda _: ["numpy", 'torch-that.nobody_has>1; extra == "train"']
    )


def fault(capsys: Capture, *argv: str) -> str:
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wusum: ")
    assert err.count("\n") == 1
    return err.removeprefix("wusum: ").rstrip("\n")


def test_the_command_that_is_named_runs(capsys: Capture) -> None:
    assert cli.main(["greet", "you"]) == 5
    assert capsys.readouterr().out == "hello you\n"


def test_arguments_are_taken_from_the_process(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "argv", ["wusum", "greet", "you"])
    assert cli.main() == 5
    assert capsys.readouterr().out == "hello you\n"


def test_only_the_named_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = EntryPoint.load

    def noted(entry: EntryPoint) -> object:
        loaded.append(entry.name)
        return load(entry)

    monkeypatch.setattr(EntryPoint, "load", noted)
    cli.main(["greet", "you"])
    assert loaded == ["greet"]


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_help_lists_every_command_even_those_that_cannot_be_loaded(argv: list[str], capsys: Capture) -> None:
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: wusum COMMAND")
    assert "  greet      say hello\n" in out
    assert "  extra      (not available: extra: the module module_that_nobody_has is not installed; needs" in out
    assert "  wrong      (not available: some_commands:WRONG: is no Command" in out


def test_faults_and_interrupts_become_exit_codes(capsys: Capture) -> None:
    assert fault(capsys, "greet", "fault") == "a.txt:3:text: missing; expected a string; add it"
    assert cli.main(["greet", "stop"]) == 130
    assert capsys.readouterr().err == "wusum: interrupted\n"


def test_an_unknown_command_names_the_nearest(capsys: Capture) -> None:
    told = fault(capsys, "gret")
    assert told == "unknown command 'gret'; expected one of absent, extra, greet, wrong; did you mean 'greet'?"
    assert fault(capsys, "zzz").endswith("see: wusum --help")
    assert fault(capsys, "--verbose").startswith("unknown option '--verbose'; expected one of absent, extra")
    assert fault(capsys, "a\nb\x1b[2J").startswith("unknown command 'a\\nb\\x1b[2J'")


def test_wrong_arguments_are_one_line(capsys: Capture) -> None:
    assert fault(capsys, "greet") == "greet: the following arguments are required: name; see: wusum greet --help"
    assert "unrecognized arguments: more" in fault(capsys, "greet", "you", "more")


def test_a_missing_extra_says_what_to_install(capsys: Capture) -> None:
    assert fault(capsys, "greet", "heavy").startswith("greet: the module torch_that_nobody_has is not installed")
    assert fault(capsys, "extra", "x").endswith("needs the extra: pip install 'wusum[heavy]'")
    assert fault(capsys, "absent", "x").startswith("absent: the module module_that_nobody_has is not installed")
    assert fault(capsys, "greet", "own").startswith("greet: the module wusum.training is missing; install wusum again")


def test_what_is_no_command_is_refused(capsys: Capture) -> None:
    assert fault(capsys, "wrong").startswith("some_commands:WRONG: is no Command")


def test_no_commands_means_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: EntryPoints([]))
    assert fault(capsys, "tag").startswith("no commands are installed")


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"wusum": "1.2.3"}[name])
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "wusum 1.2.3\n"

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert fault(capsys, "--version").startswith("the package is not installed")


def test_the_installed_commands_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not cli._entries():
        pytest.skip("needs the package installed: pip install -e .")
    assert {"tag", "labels", "train", "evaluate"} <= cli._entries().names
    assert isinstance(cli._load(cli._find("tag")), Command)


def test_help_into_a_closed_pipe_is_quiet() -> None:
    script = (
        f"import sys; sys.path[:] = {sys.path!r}; import wusum.inference.cli as c; c._help = lambda: 'x' * 200_000\n"
    )
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-c", script + "sys.exit(c.main(['--help']))"]
    run = subprocess.run(argv, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (run.returncode, run.stderr) == (141, b"")
