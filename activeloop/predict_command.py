"""`python -m activeloop predict`: what it takes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activeloop.arguments import Parser


def predict(arguments: Sequence[str]) -> None:
    """Write the predictions that the command line asks for, and print what is in them.

    Raises:
        ConfigError: the arguments make no sense, or the table is there already.
        StoreError: there is no run, it has no model yet, or the table cannot be written.
        DataError: there are no images, or one cannot be read.
        LearnerError: the weights are damaged, or of another network.
    """
    given = _parser().parse_args(list(arguments))
    from activeloop.prediction_table import write_predictions

    write_predictions(given)


def _parser() -> Parser:
    parser = Parser(
        "activeloop predict",
        description="Predict the classes of new images with the model of a run, finished or not. "
        "The run's settings say which code is run: predict only by runs that you trust.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="images, in folders of any depth; or one image file. Where folders are named as "
        "classes, it is also said what share is right",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help="table to write: key, predicted, confidence, and the probability of each class "
        "(predictions.csv)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite that file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (auto)")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="images that are decoded and predicted at once (some 64 MiB of them)",
    )
    parser.add_argument(
        "--unreadable",
        choices=("error", "skip"),
        default="error",
        help="skip: leave broken files out, with a warning (error)",
    )
    return parser
