"""Reads a config dataclass from YAML, strictly: an unknown key is a fault that names the nearest valid one."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ..labels.errors import WusumError

Section = TypeVar("Section")


def read_config(kind: type[Section], path: Path, overrides: Sequence[str] = ()) -> Section:
    """Read a frozen dataclass, whose fields may be dataclasses themselves, from a YAML file.

    ``overrides`` are ``section.key=value`` strings whose values are YAML.

    Raises:
        WusumError: the file is missing or no YAML, a key is unknown (the nearest valid one is named) or missing, or a
            value has the wrong type.

    Example:
        >>> read_config(TrainConfig, Path("configs/default.yaml"), ["optimisation.epochs=1"])  # doctest: +SKIP
    """
    if not path.is_file():
        raise WusumError(f"{path}: not found, expected a recipe (YAML); see the folder configs")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as fault:
        raise WusumError(f"{path}: not YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(tree, dict):
        raise WusumError(f"{path}: expected a mapping of sections; see the folder configs")
    for override in overrides:
        _override(tree, override)
    return build_config(kind, tree, str(path))


def build_config(kind: type[Section], values: Mapping[str, Any], where: str) -> Section:
    """Build a dataclass from a mapping as YAML or JSON give it; ``where`` opens the messages.

    Raises:
        WusumError: as :func:`read_config`.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for key in values:
        if key not in fields:
            raise WusumError(f"{where}:{key}: unknown key; {_nearest(str(key), list(fields))}")
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            found[name] = _convert(values[name], hints[name], f"{where}:{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise WusumError(f"{where}:{name}: missing; add it to the recipe")
    return kind(**found)


def check_numbers(section: object, where: str, above_zero: Sequence[str], upper: Mapping[str, float]) -> None:
    """Refuse fields that nothing can be learned with; a field that is null is fine.

    Args:
        section: the dataclass.
        where: the section's name in the recipe.
        above_zero: fields that must be finite and more than 0.
        upper: the largest value of fields that may also be 0.

    Raises:
        WusumError: one of them is not.

    Example:
        >>> check_numbers(OptimisationConfig(), "optimisation", ["epochs"], {"warmup": 1})  # doctest: +SKIP
    """
    for name in above_zero:
        value = getattr(section, name)
        if value is not None and not 0 < value < math.inf:
            raise WusumError(f"{where}.{name}: {value}, expected more than 0")
    for name, most in upper.items():
        value = getattr(section, name)
        if not 0 <= value <= most:
            expected = "0 or more" if most == math.inf else f"0 to {most}"
            raise WusumError(f"{where}.{name}: {value}, expected {expected}")


def _override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise WusumError(f"{override!r}: expected section.key=value, for example optimisation.epochs=1")
    *sections, last = key.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            raise WusumError(f"{override!r}: {section!r} is no section of the recipe")
        tree = child
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise WusumError(f"{override!r}: the value is not YAML; quote it or mend it") from fault


def _nearest(name: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(valid)}"


_NO = object()  # no value of this option


def _convert(value: Any, hint: Any, where: str) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else (hint,)
    for option in options:
        found = _convert_option(value, option, where)
        if found is not _NO:
            return found
    if typing.get_origin(options[0]) is Literal and isinstance(value, str):
        raise WusumError(f"{where}: {value!r}; {_nearest(value, typing.get_args(options[0]))}")
    names = ", or ".join(_expected(option) for option in options)
    hint_text = "; write 1.0e-4, not 1e-4" if isinstance(value, str) and float in options else ""
    raise WusumError(f"{where}: {value!r}, expected {names}{hint_text}")


def _convert_option(value: Any, option: Any, where: str) -> Any:
    origin = typing.get_origin(option)
    if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
        return build_config(typing.cast(type[Any], option), value, where)
    if origin is Literal:
        return value if value in typing.get_args(option) else _NO
    if origin is tuple and isinstance(value, list):
        item = typing.get_args(option)[0]
        return tuple(value) if all(type(one) is item for one in value) else _NO
    if option is float and type(value) is int:
        return float(value)
    if option is str and type(value) is date:  # YAML reads an unquoted 2016-03-31 as a date
        return value.isoformat()
    return value if type(value) is option else _NO


def _expected(option: Any) -> str:
    if option is type(None):
        return "null"
    if dataclasses.is_dataclass(option):
        return f"a section with the keys {', '.join(field.name for field in dataclasses.fields(option))}"
    if typing.get_origin(option) is tuple:
        return f"a list of {typing.get_args(option)[0].__name__}"
    if typing.get_origin(option) is Literal:
        return f"one of {', '.join(typing.get_args(option))}"
    names = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return names.get(option.__name__, str(option.__name__))
