"""Intake: what is said is checked, put on disk, and then on the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from activeloop.errors import OrderError
from activeloop.label.cards import Conflict, Said
from activeloop.label.ledger import Ledger, catch_up
from activeloop.label.trainer import Trainer
from activeloop.label.turns import Turns
from activeloop.loop import ActiveLoop
from activeloop.store import Event
from activeloop.types import Answer, Skip

_KINDS = {"skip": Skip.SKIP, "none": Skip.NONE}


class Intake:
    """Takes answers; the desk's lock is held by whoever calls it.

    Args:
        loop: puts them on disk.
        ledger: the answers as they are.
        index: the pool index of each sample with an answer, by key; it is kept up.
        turns: nobody has what is answered.
        trainer: is told of them.
    """

    def __init__(
        self,
        loop: ActiveLoop,
        ledger: Ledger,
        index: dict[str, int],
        turns: Turns,
        trainer: Trainer,
    ) -> None:
        self._loop, self._ledger, self._index = loop, ledger, index
        self._turns, self._trainer = turns, trainer

    def checked(self, index: int) -> int:
        """Return the number of a sample.

        Raises:
            OrderError: there is none of that number.
        """
        if isinstance(index, bool) or not isinstance(index, int):
            raise OrderError(f"a sample has a whole number, got {index!r}")
        if not 0 <= index < len(self._loop.pool):
            raise OrderError(f"there is no sample {index}: the pool has {len(self._loop.pool)}")
        return index

    def label(self, name: str | None) -> int:
        """Return the number of a class.

        Raises:
            OrderError: there is none of that name.
        """
        classes = self._loop.data.classes
        if name not in classes:
            raise OrderError(f"there is no class {name!r}: add it first")
        return classes.index(name)

    def meant(self, said: Said) -> Answer:
        """Return what `said` means.

        Raises:
            OrderError: it makes no sense.
        """
        key = self._loop.data.pool.keys[self.checked(said.id)]
        if said.key is not None and said.key != key:  # seen before the server was started again
            raise OrderError(f"image {said.id} is another one by now ({key})")
        if said.kind == "label":
            return self.label(said.label)
        if said.kind not in _KINDS or said.label is not None:
            raise OrderError(f"sample {said.id}: an answer is a label, a skip or none, got {said}")
        return _KINDS[said.kind]

    def is_new(self, said: Said, who: str) -> bool:
        """Return False for an answer that was taken already, and has come again.

        Raises:
            Conflict: the present answer is not what was seen.
        """
        given = self._ledger.given(said.id)
        if (given and given.event) == said.replaces:
            return True
        if given is None:
            raise Conflict("the answer that this replaces was taken back meanwhile", None)
        if (given.who, given.kind, given.label) == (who, said.kind, said.label):
            return False
        shown = given.label if given.kind == "label" else given.kind
        raise Conflict(f"{given.who} has answered meanwhile: {shown}", given)

    def record(
        self,
        answers: Mapping[int, Answer],
        who: str,
        seconds: float | None,
        origins: Mapping[int, str],
    ) -> None:
        """Put answers on disk, and why each came, then on the ledger."""
        self._loop.record(answers, who, seconds, origins=origins)
        self._take_up(answers)

    def take_back(self, said: Mapping[int, Event], who: str) -> None:
        """Have the answers beneath those that were `said` count again, all or none."""
        beneath = {index: self._ledger.beneath(index) for index in said}
        self._loop.record(
            {i: None if event is None else self._answer(event) for i, event in beneath.items()},
            who,
            takes_back={index: event.id for index, event in said.items()},
            brings_back={i: event.id for i, event in beneath.items() if event is not None},
            origins=dict.fromkeys(said, "undo"),
        )
        self._take_up(said)

    def _answer(self, event: Event) -> Answer:
        return self.label(event.label) if event.kind == "label" else _KINDS[event.kind]

    def _take_up(self, answers: Collection[int]) -> None:
        for index in answers:
            self._index[self._loop.data.pool.keys[index]] = index
        catch_up(self._ledger, self._index, self._loop.files.store, self._loop.data)
        self._turns.drop(answers)
        self._trainer.answered(answers)
