"""A user's mistake in a program called by `python -m` is one line, as in the command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wusum.labels import WusumError
from wusum.training.script import run_script


def refuse() -> None:
    raise WusumError("a.jsonl: no such file; check the path")


def stop() -> None:
    raise KeyboardInterrupt


def miss() -> None:
    Path("no-such-folder/a.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("main", "code", "told"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (refuse, 2, "wusum: a.jsonl: no such file; check the path\n"),
        (stop, 130, "wusum: interrupted\n"),
        (miss, 2, "wusum: no-such-folder/a.jsonl: No such file or directory; check the path, or free some space\n"),
    ],
)
def test_how_a_program_ends(
    main: Callable[[], int | None], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_script(main)
    assert stopped.value.code == code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("name", ["scaling_plan", "news_draw", "off_topic_benchmark"])
def test_a_file_that_is_missing_ends_the_program_in_one_line(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    argv = [sys.executable, "-m", f"wusum.training.{name}", "no-such-file.jsonl"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 2
    assert "no-such-file.jsonl" in done.stderr
    assert len(done.stderr.splitlines()) == 1
