"""What strategies chose, round by round, as one can look at it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from activeloop.report.document import Gallery, Thumbnail
from activeloop.report.runs import Run
from activeloop.report.samples import Part
from activeloop.report.thumbnails import thumbnails
from activeloop.store import Asked

PICKS = 12  # first picks that are shown of a round
_ROUNDS = 10  # most rounds that are shown of a run
_PICTURES = 1200  # most pictures, of all strategies together

Shown = Mapping[int, tuple[Asked, ...]]


def galleries(runs: Mapping[str, Run], pool: Part | None) -> tuple[Gallery, ...]:
    """Return the first picks of some rounds of one run for each strategy.

    The rounds are evenly spread, the first (the initial set) and the last among them. Picks of the
    audit are left out: no strategy chose them.

    Args:
        runs: by strategy.
        pool: for the images; None: without.
    """
    most = max(2, min(_ROUNDS, _PICTURES // (PICKS * max(1, len(runs)))))
    shown = {strategy: _shown(run, most) for strategy, run in runs.items()}
    indices = {a.index for rounds in shown.values() for asked in rounds.values() for a in asked}
    images = {} if pool is None else thumbnails(pool, indices)
    return tuple(
        Gallery(
            strategy=strategy,
            seed=run.seed,
            rounds={
                number: tuple(thumbnail(a, run, images.get(a.index)) for a in asked)
                for number, asked in shown[strategy].items()
            },
        )
        for strategy, run in runs.items()
    )


def _shown(run: Run, most: int) -> Shown:
    rounds: dict[int, list[Asked]] = {}
    for a in run.queries:
        if not a.audit:
            rounds.setdefault(a.round, []).append(a)
    numbers = sorted(rounds)
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)
    return {numbers[place]: tuple(rounds[numbers[place]][:PICKS]) for place in places.tolist()}


def thumbnail(asked: Asked, run: Run, image: str | None) -> Thumbnail:
    """Return a pick with all that is known of it."""
    return Thumbnail(
        image=image,
        key=asked.key,
        label=run.answers.get(asked.key),
        score=asked.score,
        predicted=asked.predicted,
        confidence=asked.confidence,
        answered=asked.key in run.answers,
    )
