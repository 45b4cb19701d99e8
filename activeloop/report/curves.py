"""Draw accuracy against labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activeloop.report.figures import axes_of_accuracy, save
from activeloop.report.looks import ON_WHITE, look
from activeloop.types import Round

_COLOUR = ON_WHITE[look(0).hue]  # of a strategy that is alone


def draw_curve(rounds: Sequence[Round], path: Path, *, title: str = "") -> None:
    """Write the run's accuracy against labels as a PNG; nothing where there is no accuracy."""
    points = [(r.labels, r.metrics["accuracy"]) for r in rounds if "accuracy" in r.metrics]
    if not points:
        return
    figure, axes = axes_of_accuracy(title)
    labels, accuracy = zip(*points, strict=True)
    axes.plot(labels, accuracy, marker="o", markersize=4, color=_COLOUR)
    axes.annotate(
        f"{accuracy[-1]:.1%}",
        (labels[-1], accuracy[-1]),
        textcoords="offset points",
        xytext=(0, 7),
        ha="center",
        color=_COLOUR,
    )
    save(figure, path)
