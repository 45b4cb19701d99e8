"""How every figure looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from activeloop.whole_files import named_errors, replacing

# Metrics that are shares, and written in percent.
_SHARES = ("accuracy", "f1", "calibration_error")
# Files that are the same for the same figure: no date, and no names drawn by chance.
_REPRODUCIBLE: dict[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def axes_of_accuracy(title: str = "") -> tuple[Figure, Axes]:
    """Return a figure with labels across and test accuracy up.

    A `Figure` of its own, not pyplot's: no global state, and no display needed.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    dress(axes, "accuracy", title)
    return figure, axes


def dress(axes: Axes, metric: str, title: str = "") -> None:
    """Give `axes` labels across and a metric up."""
    axes.set_xlabel("labels")
    name = metric.replace("_", " ")
    # Names are text: a dollar in them begins no formula.
    axes.set_ylabel("test accuracy" if metric == "accuracy" else name, parse_math=False)
    axes.set_title(title, fontsize=11, parse_math=False)
    if any(share in metric for share in _SHARES):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, PDF or SVG at once, by the path's ending."""
    kind = path.suffix.removeprefix(".")
    # Type 42: letters stay letters, as journals want them.
    settings: dict[Any, Any] = {"pdf.fonttype": 42, "svg.hashsalt": "activeloop"}
    with (
        matplotlib.rc_context(settings),
        named_errors(path.parent),
        replacing(path) as temporary,
    ):
        figure.savefig(temporary, format=kind, dpi=150, metadata=_REPRODUCIBLE[kind])
