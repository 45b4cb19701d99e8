"""Draw accuracy against labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activeloop.report.figures import axes_of_accuracy, save
from activeloop.types import Round


def draw_curve(rounds: Sequence[Round], path: Path, *, title: str = "") -> None:
    """Write the run's accuracy against labels as a PNG; nothing where there is no accuracy."""
    points = [(r.labels, r.metrics["accuracy"]) for r in rounds if "accuracy" in r.metrics]
    if not points:
        return
    figure, axes = axes_of_accuracy(title)
    labels, accuracy = zip(*points, strict=True)
    axes.plot(labels, accuracy, marker="o", markersize=4, color="C0")
    axes.annotate(
        f"{accuracy[-1]:.1%}",
        (labels[-1], accuracy[-1]),
        textcoords="offset points",
        xytext=(0, 7),
        ha="center",
        color="C0",
    )
    save(figure, path)
