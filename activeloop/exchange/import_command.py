"""`python -m activeloop import`: labels made elsewhere, as answers of a run."""

from __future__ import annotations

import contextlib
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from activeloop.arguments import Parser
from activeloop.errors import IN_USE, ConfigError, DataError, StoreError
from activeloop.exchange.planning import Plan, plan
from activeloop.exchange.reading import read_rows
from activeloop.exchange.records import classes_of
from activeloop.exchange.rows import Columns, Row
from activeloop.manifest import Manifest
from activeloop.messages import command_of, shown
from activeloop.report.runs import check_run, opened
from activeloop.run_directory import RunDirectory
from activeloop.store import Event, Store, now
from activeloop.words import counted

_WHO = "import"


def import_labels(arguments: Sequence[str]) -> None:
    """Give a run the labels in a file, and say what was done and what comes next.

    Raises:
        ConfigError: the arguments make no sense.
        DataError: something is wrong with the file; nothing was written then.
        StoreError: there is no run, or another process is at it.
    """
    given = _parser().parse_args(list(arguments))
    if given.who is not None and not given.who.strip():
        raise ConfigError("--who needs a name")
    _check_begun(given.directory)
    rows = read_rows(given.file, Columns(given.key_column, given.label_column))
    if given.dry_run:
        with opened(given.directory) as store:
            made = _checked(given, rows, store)
        _tell(given, made)
        print("nothing was written (--dry-run)")
        return
    with contextlib.closing(_taken(given.directory)) as files:
        made = _checked(given, rows, files.store)
        events = _write(given, made, files.store)
        if events:
            files.write_tables()
        _tell(given, made)
        _tell_next(given.directory, files.store, len(events))


def _check_begun(directory: Path) -> None:
    """Raise `StoreError` if there is no run; how to begin one."""
    try:
        check_run(directory)
    except StoreError as error:
        where = shlex.quote(f"hydra.run.dir={directory}")
        raise StoreError(
            f"{error}; to begin one with labels that are there already: python -m activeloop label "
            f"data=image_folder data.root=photos 'data.classes=[cat,dog]' {where}, stop it "
            "(Ctrl-C), and this command again"
        ) from None


def _taken(directory: Path) -> RunDirectory:
    """Return the files of a run, which nobody else writes to meanwhile."""
    try:
        return RunDirectory(directory)
    except StoreError as error:
        if not str(error).endswith(IN_USE):
            raise
        raise StoreError(f"{error}; stop it first (Ctrl-C in its terminal)") from error


def _checked(given: Namespace, rows: Sequence[Row], store: Store) -> Plan:
    """Return what to do with `rows`, having told what is wrong with them.

    Raises:
        DataError: too much is wrong to write anything.
        StoreError: the run has no samples yet.
    """
    if (kept := Manifest.read(store)) is None:
        raise StoreError(_not_begun(given.directory, store))
    keys, classes = frozenset(kept.parts["pool"].keys), classes_of(store)
    made = plan(rows, keys, classes, store.answers(), adds_classes=given.add_classes)
    problems = made.problems(classes)
    for problem in problems:
        print(problem)
    if problems and not given.skip_unknown:
        ways = ["mend the file", "leave these rows out with --skip-unknown"]
        ways += ["have its classes added with --add-classes"] * bool(made.strange)
        raise DataError(f"nothing was imported from {given.file}: {', or '.join(ways)}")
    return made


def _not_begun(directory: Path, store: Store) -> str:
    """Return why nothing can be imported into a run that has no samples yet, and what to do."""
    command = command_of(store.meta("run"))
    starts = f": python -m activeloop {command} {shlex.quote(shown(directory))}" if command else ""
    return (
        f"the run in {shown(directory)} has not begun, and does not know its samples yet: start it"
        f"{starts}, stop it (Ctrl-C), and this command again"
    )


def _write(given: Namespace, made: Plan, store: Store) -> list[Event]:
    """Write what a plan says, all or nothing, and return it."""
    rows = dict(made.new)
    if given.overwrite:
        rows |= {key: row for key, (_, row) in made.conflicts.items()}
    if not rows:
        return []
    classes = classes_of(store)
    added = dict.fromkeys(row.label for row in rows.values() if row.label not in classes)
    round, at = store.closed(), now()
    events = [
        Event(
            id=0,
            key=key,
            kind="label",
            label=row.label,
            who=given.who or row.who or _WHO,
            at=at,
            round=round,
            seconds=row.seconds,
            origin="import",
        )
        for key, row in rows.items()
    ]
    # A query of which that answers all is closed by the run, which knows when that is enough.
    store.add_events(events, values={"classes": [*classes, *added]} if added else {})
    return events


# -- what was done ----------------------------------------------------------------------


def _tell(given: Namespace, made: Plan) -> None:
    if made.left_out:
        print(f"images are known by what comes after {made.left_out!r}")
    print(f"{counted(len(made.new), 'new label')} in {given.file}")
    if made.same:
        print(f"{made.same:,} there already")
    if made.skipped:
        print(f"{made.skipped:,} skipped or of no class, left out")
    if made.conflicts:
        done = "overwritten" if given.overwrite else "kept; --overwrite takes the file's"
        print(f"{len(made.conflicts):,} with another answer ({done}): {made.conflict_lines()}")


def _tell_next(directory: Path, store: Store, written: int) -> None:
    where = shlex.quote(shown(directory))
    by_people = (store.meta("run") or {}).get("labelled_by_people")
    if not written:
        print("nothing was written")
    elif (ended := store.meta("ended")) is not None:
        print(
            f"the run is over ({ended}): python -m activeloop branch {where} starts a new one from "
            "all labels of this one"
        )
    elif by_people:
        print(f"the next round trains on them: python -m activeloop label {where}")
    else:
        print(f"the next round trains on them: python -m activeloop resume {where}")


def _parser() -> Parser:
    parser = Parser("activeloop import", description="Give a run labels made elsewhere.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="CSV with the columns key and label, or JSON or JSON-MIN exported by Label Studio",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="where a sample has another answer already, take the file's",
    )
    parser.add_argument(
        "--who", metavar="NAME", help=f"who gave the labels (as the file says, else {_WHO})"
    )
    parser.add_argument(
        "--add-classes", action="store_true", help="add classes that there are not to the run"
    )
    parser.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out what is unknown, without a label, or has several, and import the rest",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument(
        "--key-column", metavar="NAME", help="what the file calls the sample (key, image, ...)"
    )
    parser.add_argument(
        "--label-column", metavar="NAME", help="what the file calls the class (label, choice, ...)"
    )
    return parser
