"""How every figure looks."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from activeloop.run_files import named_errors, replacing


def axes_of_accuracy(title: str = "") -> tuple[Figure, Axes]:
    """Return a figure with labels across and test accuracy up.

    A `Figure` of its own, not pyplot's: no global state, and no display needed.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy")
    axes.set_title(title, fontsize=11)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a PNG at once."""
    with named_errors(path.parent), replacing(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
