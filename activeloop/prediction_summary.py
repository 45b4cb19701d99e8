"""What predictions come to: counts, confidence, and how often they agree with folders' names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from activeloop.predicting import Predicted
from activeloop.words import counted

_MOST_COUNTED = 20  # classes whose counts are printed
_MOST_CONFUSED = 10  # classes in the table of what was taken for what


class Summary:
    """Counts predictions as they come.

    Args:
        classes: names, `[C]`.

    Attributes:
        counts: images predicted as each class, `[C]`.
        confusion: images in a folder named as a class (rows) by the predicted class, `[C, C]`.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._label = {name: label for label, name in enumerate(classes)}
        self._classes = tuple(classes)
        self.counts = np.zeros(len(classes), np.int64)
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)
        self._confidence = 0.0

    def counting(self, rows: Iterable[Predicted]) -> Iterator[Predicted]:
        """Yield `rows`, counted."""
        for row in rows:
            said = self._label[row.predicted]
            self.counts[said] += 1
            self._confidence += row.confidence
            # The outermost of such folders, as image_folder has it.
            named = [part for part in row.key.split("/")[:-1] if part in self._label]
            if named:
                self.confusion[self._label[named[0]], said] += 1
            yield row

    def text(self, known: str | None = None) -> str:
        """Return what was counted, in lines; `known`: how often the model is right."""
        total = int(self.counts.sum())
        order = np.argsort(-self.counts, kind="stable")[:_MOST_COUNTED].tolist()
        lines = _aligned(
            [self._classes[c], f"{self.counts[c]:,}", f"{self.counts[c] / total:.1%}"]
            for c in order
            if self.counts[c]
        )
        if (more := int((self.counts > 0).sum()) - len(lines)) > 0:
            lines.append(f"  and {counted(more, 'more class', 'more classes')}")
        sure = f"{self._confidence / total:.1%}"
        lines.append(
            f"{counted(total, 'image')}, mean confidence {sure}: how sure the model is, not how "
            "often it is right"
        )
        if known is not None:
            lines.append(known)
        return "\n".join([*lines, *self._agreement()])

    def _agreement(self) -> list[str]:
        """Return how often the predicted class is that of the folder; nothing without such."""
        known = int(self.confusion.sum())
        if not known:
            return []
        right = int(self.confusion.trace())
        return [
            f"{right / known:.2%} right ({right:,} of {known:,} in folders named as classes); "
            "rows are folders, columns predictions:",
            *self._table(),
        ]

    def _table(self) -> list[str]:
        wrong = self.confusion - np.diag(self.confusion.diagonal())
        mistakes = wrong.sum(0) + wrong.sum(1)
        there = np.flatnonzero(self.confusion.sum(0) + self.confusion.sum(1))
        worst = there[np.argsort(-mistakes[there], kind="stable")][:_MOST_CONFUSED]
        chosen = np.sort(worst).tolist()
        names = [self._classes[c] for c in chosen]
        counts = ([f"{self.confusion[row, c]:,}" for c in chosen] for row in chosen)
        body = ([name, *line] for name, line in zip(names, counts, strict=True))
        lines = _aligned([["", *names], *body])
        if len(there) > len(chosen):
            lines.append(f"  (those {len(chosen)} of {len(there)} classes with the most mistakes)")
        return lines


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines of columns, the first flush left and the others right."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
