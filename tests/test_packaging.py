from __future__ import annotations

import ast
import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from wusum.labels.command_base import Command

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
FOLDERS = ("configs", "inference", "labels", "training")
HEAVY = ("torch", "transformers", "datasets", "sklearn", "evaluate", "accelerate", "onnx")
# What each package may import of the others.
ALLOWED = {
    "labels": set[str](),
    "configs": set[str](),
    "inference": {"labels"},
    "training": {"labels", "inference", "configs"},
}
PYTHON_FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def top_folder(file: Path) -> str:
    return file.relative_to(ROOT).parts[0]


def test_the_list_of_packages_equals_the_tree() -> None:
    found = {".".join(("wusum", *file.parent.relative_to(ROOT).parts)) for file in PYTHON_FILES}
    assert sorted(found) == SETUPTOOLS["packages"]
    for package in found:
        assert (ROOT / Path(*package.split(".")[1:]) / "__init__.py").is_file(), f"{package} has no __init__.py"


def test_each_package_is_mapped_to_its_folder() -> None:
    assert SETUPTOOLS["package-dir"] == {f"wusum.{folder}": folder for folder in FOLDERS}
    for folder in FOLDERS:
        link = ROOT / ".types" / "wusum" / folder
        assert link.resolve() == ROOT / folder, f"{link} does not lead to {folder}/"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_data_file_is_package_data(folder: str) -> None:
    patterns = SETUPTOOLS["package-data"][f"wusum.{folder}"]
    packed = {file for pattern in patterns for file in (ROOT / folder).glob(pattern) if file.is_file()}
    data = {
        file
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and "__pycache__" not in file.parts
    }
    assert data - packed == set()
    for pattern in patterns:
        assert any((ROOT / folder).glob(pattern)), f"{pattern} finds nothing in {folder}/"


@pytest.mark.parametrize(
    "resource",
    [
        "wusum.configs/default.yaml",
        "wusum.inference/default/bundle.json",
        "wusum.inference/default/model.onnx",
        "wusum.inference/default/tokenizer.json",
        "wusum.labels/taxonomy.yaml",
        "wusum.labels/gold/train.jsonl",
        "wusum.labels/gold/test.jsonl",
        "wusum.training/encoders/me5-small-ar/kept_ids.npy",
        *(f"wusum.{folder}/py.typed" for folder in FOLDERS),
    ],
)
def test_resources_are_reached_through_the_import_system(resource: str) -> None:
    package, _, name = resource.partition("/")
    assert (importlib.resources.files(package) / name).is_file()


def test_commands_are_registered_and_load() -> None:
    declared = PYPROJECT["project"]["entry-points"]["wusum.commands"]
    registered = {entry.name: entry for entry in importlib.metadata.entry_points(group="wusum.commands")}
    if not registered:
        pytest.skip("wusum is not installed in this environment: pip install -e .")
    assert registered.keys() >= declared.keys()
    for name, value in declared.items():
        assert registered[name].value == value
        assert isinstance(registered[name].load(), Command), f"{value} is no Command"


def modules_after(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter holds after a statement."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print('\\n'.join(sys.modules))"],
        env=os.environ | {"PYTHONPATH": str(ROOT / ".types")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import wusum.labels, wusum.inference, wusum.configs",
        "import wusum.labels.command, wusum.inference.cli, wusum.inference.tag_command",
        "import wusum.training.train_command, wusum.training.evaluate_command",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str) -> None:
    modules = modules_after(statement)
    assert statement.split()[1].rstrip(",") in modules
    assert not modules & set(HEAVY)


def test_tagging_imports_neither_torch_nor_training() -> None:
    modules = modules_after("from wusum.inference import predict; predict('أعلنت الحكومة اليوم خطة جديدة.')")
    assert "onnxruntime" in modules
    assert not modules & set(HEAVY)
    assert not any(name.startswith("wusum.training") for name in modules)


def imported_modules(file: Path) -> set[str]:
    """Absolute names of everything that a file imports anywhere, relative imports resolved."""
    package = ["wusum", *file.parent.relative_to(ROOT).parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", PYTHON_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    own = top_folder(file)
    imported = imported_modules(file)
    others = {name.split(".")[1] for name in imported if name.startswith("wusum.")} - {own}
    assert others <= ALLOWED[own]
    if own != "training":
        assert not {name.split(".")[0] for name in imported} & set(HEAVY)


def test_each_direct_dependency_is_pinned_and_within_its_bound() -> None:
    requirements = pytest.importorskip("packaging.requirements")
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    for text in wanted:
        requirement = requirements.Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name != "wusum":
            assert requirement.specifier.contains(pins[name]), f"{text} against the pin {pins[name]}"
    assert pins["torch"] == "2.13.0"
