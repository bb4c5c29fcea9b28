"""The report as one HTML page: no script, no font and no picture from elsewhere, right to left where Arabic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

_WIDTH, _HEIGHT = 300, 220
_LEFT, _BOTTOM, _MARGIN = 40, 30, 10  # room for the tick labels, and on the other sides
_TICKS = 5
_STEPS = (1, 2, 2.5, 5, 10)  # a tick's distance is one of these times a power of ten


@dataclass(frozen=True)
class Line:
    """One line of a plot: its name, what the style sheet calls it, and its points in plot coordinates."""

    name: str
    style: str
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The points as an SVG polyline takes them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Plot:
    """Lines between two axes; a tick is its place on the axis and its text."""

    title: str
    across: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    base: int = _HEIGHT - _BOTTOM
    right: int = _WIDTH - _MARGIN
    top: int = _MARGIN


def render_html(report: Mapping[str, Any]) -> str:
    """Return the page of a report as :func:`~wusum.training.report.build_report` makes it.

    Example:
        >>> render_html(report).startswith("<!doctype html>")  # doctest: +SKIP
        True
    """
    agreed = {one["id"]: one for one in report["agreement"]["labels"]} if report["agreement"] else {}
    plots = [_reliability_plot(report["calibration"]), *_curve_plots(report["curve"])]
    return template("report.html.j2").render(report=report, plots=plots, agreed=agreed)


@cache
def template(name: str) -> Template:
    """Return a template that stands beside this file; HTML is escaped, and an unknown name in it is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda file: file is not None and file.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["interval"] = with_interval
    return environment.get_template(name)


def with_interval(value: Mapping[str, float], sign: str = "") -> str:
    """Return an estimate with its interval.

    Example:
        >>> with_interval({"value": 0.84, "low": 0.83, "high": 0.85, "level": 0.95})
        '0.840 (0.830, 0.850)'
    """
    middle, low, high = (f"{value[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{middle} ({low}, {high})"


def _reliability_plot(calibration: Mapping[str, Any]) -> Plot:
    lines = {
        ("perfect", "guide"): [(0.0, 0.0), (1.0, 1.0)],
        ("as trained", "second"): [(one["mean"], one["share"]) for one in calibration["uncalibrated"]["bins"]],
        ("calibrated", "first"): [(one["mean"], one["share"]) for one in calibration["calibrated"]["bins"]],
    }
    return _plot("Share that is true", "probability", lines, (0.0, 1.0), (0.0, 1.0))


def _curve_plots(curve: Sequence[Mapping[str, float]]) -> list[Plot]:
    """One plot of the losses and one of the F1s, over the epochs."""
    if not curve:
        return []
    plots = []
    for title, names in (
        ("Loss", {"train_loss": "train", "dev_loss": "dev"}),
        ("F1 on dev", {"micro_f1": "micro", "macro_f1": "macro"}),
    ):
        lines = {
            (name, style): [(entry["epoch"], entry[key]) for entry in curve]
            for (key, name), style in zip(names.items(), ("first", "second"), strict=True)
        }
        values = [y for points in lines.values() for _, y in points]
        plots.append(_plot(title, "epoch", lines, (0.0, curve[-1]["epoch"]), (min(values), max(values))))
    return plots


def _plot(
    title: str,
    across: str,
    lines: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Plot:
    x_marks, y_marks = _marks(*x_range), _marks(*y_range)

    def right(value: float) -> float:
        return _LEFT + (value - x_marks[0]) / (x_marks[-1] - x_marks[0]) * (_WIDTH - _LEFT - _MARGIN)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - y_marks[0]) / (y_marks[-1] - y_marks[0]) * (_HEIGHT - _BOTTOM - _MARGIN)

    return Plot(
        title,
        across,
        tuple(Line(*head, tuple((right(x), down(y)) for x, y in points)) for head, points in lines.items()),
        _ticks(x_marks, map(right, x_marks)),
        _ticks(y_marks, map(down, y_marks)),
    )


def _marks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, the first at or below ``low`` and the last at or above ``high``."""
    span = max(high - low, 1e-3)
    power = 1e-6
    while power * 10 < span / _TICKS:
        power *= 10
    step = next(power * step for step in _STEPS if power * step * _TICKS >= span)
    first, last = int(low // step), int(-(-max(high, low + 1e-3) // step))
    return [number * step for number in range(first, last + 1)]


def _ticks(marks: Sequence[float], places: Iterable[float]) -> tuple[tuple[float, str], ...]:
    return tuple((place, f"{mark:.6g}") for place, mark in zip(places, marks, strict=True))
