"""The table of a comparison for papers: LaTeX with the package booktabs."""

from __future__ import annotations

from collections.abc import Iterator

from activeloop.report.document import Comparison, Estimate, Reach, Report, Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Return `text` as LaTeX prints it."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def tables(report: Report) -> str:
    """Return a table for each comparison; needs `\\usepackage{booktabs}`."""
    return "\n".join(table(comparison) for comparison in report.comparisons if comparison.table)


def table(comparison: Comparison) -> str:
    """Return one comparison as a table: means and half of their 95% intervals."""
    with_accuracy = any(row.area is not None for row in comparison.table)
    heads = ["Strategy", "Seeds", *(_heads(comparison) if with_accuracy else [])]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(comparison)}}}",
        rf"\label{{tab:{_anchor(comparison.name)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in comparison.table:
        cells = list(_cells(row, comparison)) if with_accuracy else []
        lines.append(" & ".join([escaped(row.strategy), str(row.seeds), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in name)


def _caption(comparison: Comparison) -> str:
    text = (
        "area under the curve of test accuracy, accuracy at label counts, and labels to reach "
        "accuracies, with how many runs came so far where not all; mean over seeds and half of "
        "the 95% interval by Student's t."
    )
    if comparison.baseline is not None:
        text += f" Area against {comparison.baseline}: mean difference paired by seed, in points."
    return escaped(f"{comparison.title}: {text}")


def _heads(comparison: Comparison) -> Iterator[str]:
    yield r"Area (\%)"
    if comparison.differences:
        yield f"Against {escaped(comparison.baseline or '')}"
    for labels in comparison.budgets:
        yield rf"{labels:,} labels (\%)"
    for target in comparison.targets:
        yield rf"Labels to {100 * target:g}\%"


def _cells(row: Row, comparison: Comparison) -> Iterator[str]:
    yield _of(row.seeds, row.area)
    if comparison.differences:
        found = [d for d in comparison.differences if d.strategy == row.strategy]
        yield _of(row.seeds, found[0].estimate) if found else "--"
    for labels in comparison.budgets:
        yield _of(row.seeds, row.at.get(labels))
    reached = {reach.target: reach for reach in row.reach}
    for target in comparison.targets:
        yield _reach(reached.get(target))


def _of(seeds: int, estimate: Estimate | None) -> str:
    """Return an accuracy, and of how many runs where not of all."""
    text = _interval(estimate, 100)
    return text if estimate is None or estimate.n == seeds else f"{text} ({estimate.n} of {seeds})"


def _interval(estimate: Estimate | None, scale: float = 1, digits: int = 1) -> str:
    if estimate is None:
        return "--"
    mean = f"{scale * estimate.mean:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"${mean}$"
    half = scale * (estimate.high - estimate.low) / 2
    return rf"${mean} \pm {half:.{digits}f}$"


def _reach(reach: Reach | None) -> str:
    if reach is None:
        return "--"
    if reach.labels is not None:
        return _interval(reach.labels, digits=0)
    if reach.median is not None:
        return f"median {reach.median:.0f} ({reach.reached} of {reach.of})"
    return f"{reach.reached} of {reach.of}"
