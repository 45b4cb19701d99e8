"""Draw comparisons: a metric against labels, mean and 95% interval of each strategy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from activeloop.report.document import Comparison, Curve
from activeloop.report.figures import dress, save
from activeloop.report.looks import ON_WHITE, Look, looks

# Of one picture with all comparisons: more are not to be told apart.
_MOST_PANELS = 12
_MARKERS = {
    "dot": ".",
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "triangle down": "v",
    "plus": "P",
    "pentagon": "p",
}


def draw_comparisons(comparisons: Sequence[Comparison], path: Path) -> bool:
    """Draw accuracy against labels as a PNG, a panel a comparison; False: there is no accuracy."""
    shown = [each for each in comparisons if curves_of(each, "accuracy")][:_MOST_PANELS]
    if not shown:
        return False
    of_strategies = looks(comparisons)
    across = min(2, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(6.4 * across, 4.2 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, comparison in zip(panels, shown, strict=False):
        draw(axes, comparison, "accuracy", of_strategies)
    for axes in panels[len(shown) :]:
        axes.remove()
    save(figure, path)
    return True


def draw_figures(comparisons: Sequence[Comparison], folder: Path, kind: str) -> list[Path]:
    """Draw a figure for each comparison and metric into `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    of_strategies = looks(comparisons)
    paths: list[Path] = []
    for comparison in comparisons:
        for metric in comparison.metrics:
            if not curves_of(comparison, metric):
                continue
            figure = Figure(figsize=(6.4, 4.2), layout="constrained")
            draw(figure.subplots(), comparison, metric, of_strategies)
            stem = f"{comparison.name}_" + re.sub(r"[^\w.-]", "-", metric)
            # Two metrics may be alike but for what no file name has.
            same = sum(path.name.startswith(f"{stem}.") for path in paths)
            paths.append(folder / f"{stem}{f'.{same + 1}' if same else ''}.{kind}")
            save(figure, paths[-1])
    return paths


def curves_of(comparison: Comparison, metric: str) -> list[Curve]:
    """Return the curves of a metric in the order of the strategies."""
    return [curve for curve in comparison.curves if curve.metric == metric]


def draw(
    axes: Axes, comparison: Comparison, metric: str, of_strategies: Mapping[str, Look]
) -> None:
    """Draw a metric of all strategies into `axes`, each as it looks."""
    curves = curves_of(comparison, metric)
    dress(axes, metric, f"{comparison.title}: {_told(curves)}")
    for strategy in _by_end(comparison, curves):
        (curve,) = (each for each in curves if each.strategy == strategy)
        style = _style(of_strategies[strategy])
        means = [each.mean for each in curve.estimates]
        axes.plot(curve.labels, means, markersize=4, label=strategy, **style)
        low = [each.mean if each.low is None else each.low for each in curve.estimates]
        high = [each.mean if each.high is None else each.high for each in curve.estimates]
        axes.fill_between(curve.labels, low, high, color=style["color"], alpha=0.15, linewidth=0)
    if comparison.ceiling is not None and metric in comparison.ceiling:
        axes.axhline(
            comparison.ceiling[metric],
            color=ON_WHITE["grey"],
            linestyle=(0, (1, 2)),
            label="all labels of the pool",
        )
    if metric == "accuracy":
        _fit_shares(axes)
    _name_lines(axes)


def _name_lines(axes: Axes) -> None:
    """Add a legend with any names: those that begin with `_` too, and `$` is no formula."""
    handles, names = axes.get_lines(), [str(line.get_label()) for line in axes.get_lines()]
    legend = axes.legend(handles, [str(n) for n in range(len(names))], frameon=False, fontsize=9)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def _fit_shares(axes: Axes) -> None:
    """Keep intervals that reach beyond 0 or 1 from making room for what cannot be."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))


def _by_end(comparison: Comparison, curves: Sequence[Curve]) -> list[str]:
    """Return the strategies as their curves end, the best or highest first, as in a legend."""
    sign = 1 if comparison.higher_is_better[curves[0].metric] is False else -1
    ends = {curve.strategy: sign * curve.estimates[-1].mean for curve in curves}
    return sorted(ends, key=lambda strategy: (ends[strategy], strategy))


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": ON_WHITE[look.hue],
        "linestyle": (0, look.dashes) if look.dashes else "-",
        "marker": _MARKERS[look.marker],
    }


def _told(curves: Sequence[Curve]) -> str:
    seeds = sorted({estimate.n for curve in curves for estimate in curve.estimates})
    counted = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    plural = "" if seeds == [1] else "s"
    return f"mean of {counted} seed{plural}" + ("" if seeds == [1] else ", 95% interval")
