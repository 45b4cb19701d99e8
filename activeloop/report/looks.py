"""How each strategy looks, in every figure and on the page: its colour, dashes and marker.

The hues are told apart by readers who see no red, no green or no blue, and stand out from paper and
from a dark screen alike: neighbours differ in lightness too. Baselines are grey and dashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from activeloop.report.document import Comparison

# On white, and on a dark screen. Strategies take the first, classes on a map all of them.
_ON_WHITE = (
    *("#0b62a8", "#d27a36", "#175f2f", "#6d1a4f", "#866a14", "#3f95c4", "#a02af0"),
    *("#aa1a0d", "#fd5186", "#6c9b5b"),
)
_ON_DARK = (
    *("#6db3f2", "#c85118", "#73feaf", "#ba619b", "#d7c41a", "#48d8dd", "#a52ff6"),
    *("#f78b7a", "#d00aca", "#ecfb14"),
)

ON_WHITE: Mapping[str, str] = {"grey": "#5a6169"} | {str(n): c for n, c in enumerate(_ON_WHITE)}
ON_DARK: Mapping[str, str] = {"grey": "#a6adb5"} | {str(n): c for n, c in enumerate(_ON_DARK)}

_HUES = 7  # that strategies have; one more strategy has the first again, with other dashes
_DASHES = ((), (4.0, 1.5), (1.0, 1.25), (4.5, 1.5, 1.0, 1.5))
_MARKERS = ("circle", "square", "triangle", "diamond", "triangle down", "plus", "pentagon")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one strategy looks.

    Attributes:
        hue: in `ON_WHITE` and `ON_DARK`.
        dashes: lengths of dash and gap by turns, in widths of the line; none: a whole line.
        marker: its name.
    """

    hue: str
    dashes: tuple[float, ...]
    marker: str


_BASELINE = Look(hue="grey", dashes=(2.5, 2.0), marker="dot")


def looks(comparisons: Iterable[Comparison]) -> dict[str, Look]:
    """Return the look of each strategy: the same in all comparisons of a report.

    Colours go round in the order of the strategies, so that the best have those that are told
    apart best.
    """
    comparisons = list(comparisons)
    baselines = [each.baseline for each in comparisons if each.baseline is not None]
    found = dict.fromkeys(baselines, _BASELINE)
    numbers = count()
    for strategy in (name for each in comparisons for name in each.strategies):
        if strategy not in found:
            found[strategy] = look(next(numbers))
    return found


def look(number: int) -> Look:
    """Return the look of the strategy with this number, baselines not counted."""
    turn = number // _HUES
    return Look(
        hue=str(number % _HUES),
        dashes=_DASHES[turn % len(_DASHES)],
        marker=_MARKERS[(number + turn) % len(_MARKERS)],
    )
