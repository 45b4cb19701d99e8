"""`python -m activeloop export`: a run's labels, for other tools."""

from __future__ import annotations

import contextlib
import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from posixpath import basename

from activeloop.arguments import Parser
from activeloop.errors import ConfigError, DataError
from activeloop.exchange import folders, label_studio, tables
from activeloop.exchange.copying import copier
from activeloop.exchange.files import check_free, place, write_lines
from activeloop.exchange.images import data_of, painter
from activeloop.exchange.records import Labels, read
from activeloop.messages import shown
from activeloop.report.runs import read_run
from activeloop.run_paths import image_root
from activeloop.store import Event
from activeloop.words import counted, some

# What each format is called where no --out says otherwise.
NAMES = {
    "csv": "labels.csv",
    "jsonl": "labels.jsonl",
    "label-studio": "label-studio.json",
    "image-folder": "labelled",
}


def export(arguments: Sequence[str]) -> None:
    """Write a run's labels as the command line says, and tell where they are.

    Raises:
        ConfigError: the arguments make no sense, or something is there already.
        StoreError: there is no run, or something cannot be read or written.
        DataError: the run's images cannot be had.
    """
    given = _parser().parse_args(list(arguments))
    if given.all_events and given.format not in ("csv", "jsonl"):
        raise ConfigError("--all-events is the history of answers: choose --format csv or jsonl")
    if given.link and given.format != "image-folder":
        raise ConfigError("--link is for --format image-folder")
    name = NAMES[given.format]
    if given.format == "image-folder":
        out = given.out or given.directory / name
    else:
        out = place(given.out, given.directory, name)
        check_free(out, given.force)
    labels = read(given.directory)
    if not labels.present and not (given.all_events and labels.events):
        print(f"{shown(given.directory)} has no labels yet: nothing was exported")
    elif given.format == "image-folder":
        _export_folder(given, labels, out)
    else:
        _WRITERS[given.format](given, labels, out)


# -- tables -----------------------------------------------------------------------------


def _table(given: Namespace, labels: Labels, out: Path) -> None:
    lines: Callable[..., Iterator[str]]
    lines = tables.csv_lines if given.format == "csv" else tables.json_lines
    events = labels.events if given.all_events else labels.present
    write_lines(out, lines(labels, events, numbered=given.all_events))
    print(f"{_counted(events)}: {shown(out)}")
    if given.format == "csv" and not given.all_events:
        path = shlex.quote(shown(out))
        print(f"to start a run from them: initial=file {shlex.quote(f'initial.path={shown(out)}')}")
        print(f"to give them to another run: python -m activeloop import DIR {path}")


def _tasks(given: Namespace, labels: Labels, out: Path) -> None:
    config = out.with_name(f"{out.stem}-config.xml")
    check_free(config, given.force)
    write_lines(config, label_studio.config_lines(labels.classes))
    events = labels.present
    write_lines(out, label_studio.task_lines(labels, events, given.image_prefix))
    print(f"{_counted(events)}: {shown(out)}")
    print(
        f"import it into a project of Label Studio with the labelling configuration in "
        f"{shown(config)}; it will look for the images at {given.image_prefix}KEY"
    )
    if any(label_studio.is_address(event.who) for event in events):
        print("it refuses answers by people (completed_by) whose addresses are not known to it")
    with contextlib.suppress(DataError):  # it kept nothing of its data
        _tell_of_images(given)


def _tell_of_images(given: Namespace) -> None:
    """Say how Label Studio gets at the images."""
    run = read_run(given.directory)
    assert run is not None  # what has labels has a name
    if (root := image_root(run)) is None:
        print("the samples of this run are no files: export --format image-folder writes images")
    elif given.image_prefix == label_studio.LOCAL_FILES:
        print(
            "to serve them from here: start it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shlex.quote(str(root))}"
        )


_WRITERS = {"csv": _table, "jsonl": _table, "label-studio": _tasks}


def _counted(events: Sequence[Event]) -> str:
    """Return how many events of each kind there are, in words."""
    counts = Counter[str](event.kind for event in events)
    others = {"skip": "skipped", "none": "of no class", "undo": "taken back"}
    labels = [counted(counts["label"], "label")] if counts["label"] else []
    rest = (f"{counts[kind]:,} {name}" for kind, name in others.items() if counts[kind])
    return ", ".join([*labels, *rest])


# -- images -----------------------------------------------------------------------------


def _export_folder(given: Namespace, labels: Labels, out: Path) -> None:
    labelled = [event for event in labels.present if event.kind == "label"]
    if not labelled:
        print(f"{shown(given.directory)} has no labels yet: nothing was exported")
        return
    run = read_run(given.directory)
    assert run is not None  # what has labels has a name
    root, keys = image_root(run), [event.key for event in labelled]
    folders.check_place(out, root, given.force)
    if root is None:
        suffix, write = ".png", painter(data_of(run).pool, keys)
    else:
        suffix, write = "", copier(root, keys, link=given.link)
    by_class = folders.folders(labels.classes)
    paths = folders.files(labelled, by_class, suffix)
    folders.write_folder(out, paths, by_class, write)
    used = {path.partition("/")[0] for path in paths.values()}
    print(f"{counted(len(paths), 'image')} in {counted(len(used), 'folder')}: {shown(out)}")
    if left := len(labels.present) - len(labelled):
        print(f"{left:,} without a class were left out (skipped, or none of the classes fits)")
    renamed = {name: folder for name, folder in by_class.items() if name != folder}
    _tell_renamed(("class", "classes"), "with a name that is no folder's", renamed)
    if root is not None:
        renamed = {k: p for k, p in paths.items() if basename(k) != basename(p)}
        why = "with a name that was taken or is no file's"
        _tell_renamed(("image", "images"), why, renamed)


def _tell_renamed(what: tuple[str, str], why: str, renamed: dict[str, str]) -> None:
    if not renamed:
        return
    have = "has" if len(renamed) == 1 else "have"
    others = some([f"{name!r} is {given}" for name, given in renamed.items()])
    print(f"{counted(len(renamed), *what)}, {why}, {have} another: {others}")


def _parser() -> Parser:
    parser = Parser("activeloop export", description="Write a run's labels for other tools.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument("--format", choices=list(NAMES), required=True, help="what to write")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help=f"file or folder to write (in DIR: {', '.join(NAMES.values())})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite what was exported before")
    parser.add_argument(
        "--all-events",
        action="store_true",
        help="csv, jsonl: every answer as it was given, those corrected or taken back included",
    )
    parser.add_argument(
        "--image-prefix",
        default=label_studio.LOCAL_FILES,
        metavar="PREFIX",
        help=f"label-studio: what comes before a key in an image's address "
        f"({label_studio.LOCAL_FILES})".replace("%", "%%"),
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="image-folder: hard links in the place of copies, where the disk has them",
    )
    return parser
