"""Ask one strategy first and another later."""

from __future__ import annotations

from dataclasses import dataclass

from activeloop.checks import whole
from activeloop.strategies.asking import ask
from activeloop.strategies.loading import Inner
from activeloop.strategies.wrapping import Wrapper
from activeloop.types import Context, Picks, Strategy


@dataclass(kw_only=True, repr=False, eq=False)
class Switch(Wrapper):
    """One strategy first, another from so many labels, or from a round, on.

    Only what the one in turn needs is predicted.

    Budget: any; typicality or coverage first, uncertainty later.
    Time: O(1), and the inner one's in turn.
    Memory: O(1), and the inner one's in turn.

    Args:
        first: asked at the start.
        then: asked afterwards.
        at: labelled samples from which `then` is asked.
        round: query from which `then` is asked, where `at` is None; the first after the initial
            set is 1.
    """

    wraps = ("first", "then")
    first: Inner = "random"
    then: Inner = "margin"
    at: int | None = None
    round: int = 4

    def check(self) -> None:
        """Raise `ConfigError` if the switch point is no whole number."""
        if self.at is not None:
            whole("strategy.at", self.at)
        whole("strategy.round", self.round)

    def asked(self, context: Context) -> tuple[Strategy, ...]:
        """Return the strategy whose turn it is."""
        first, then = self.inner
        if self.at is None:
            return (then if context.round >= self.round else first,)
        return (then if len(context.labelled) >= self.at else first,)

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k` by the strategy whose turn it is."""
        (strategy,) = self.asked(context)
        return Picks(*ask(strategy, context))


@dataclass(kw_only=True, repr=False, eq=False)
class Tcm(Switch):
    """TypiClust for a few rounds, then margin (TCM).

    The paper clusters self-supervised features: `{name: typiclust, space: embeddings}` does, with
    `embed=file`. It switches after a few small steps of TypiClust, the initial set included;
    `initial=typiclust` is the first of those.

    Paper: Doucet et al., Bridging Diversity and Uncertainty in Active Learning, PML4LRS 2024.
    Budget: any; made to be good at both ends.
    Time: O(U C), and TypiClust's at first.
    Memory: O(U), and TypiClust's at first.

    Args:
        first: asked at the start.
        then: asked afterwards.
        at: labelled samples from which `then` is asked.
        round: query from which `then` is asked, where `at` is None.
    """

    first: Inner = "typiclust"
    round: int = 3
