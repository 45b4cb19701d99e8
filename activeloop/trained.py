"""The model of a run's directory, as its last round left it, without the run's data."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from activeloop.data.samples import TensorSamples
from activeloop.errors import ActiveLoopError, ConfigError, DataError, LearnerError, StoreError
from activeloop.journal import read_labels
from activeloop.preprocessing import Preparing, from_plain
from activeloop.report.runs import check_run, opened, read_run
from activeloop.run_files import weights_places
from activeloop.streams import Streams
from activeloop.types import Data, Learner, Preprocessing, Round
from activeloop.whole_files import digest_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A learner that has been trained, and all that it takes to predict images with it.

    Attributes:
        learner: ready to predict.
        prepare: makes its samples of decoded images.
        preprocessing: what `prepare` was made of.
        classes: names of those that it knows, `[C]`.
        added: names of those that the run got since.
        round: the round that left it.
        data: name of the data set that it was trained on.
        ended: why the run is over; None: it is not.
    """

    learner: Learner
    prepare: Preparing
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    added: tuple[str, ...]
    round: Round
    data: str
    ended: str | None


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What a run's file says of its last round."""

    directory: Path
    identity: Mapping[str, Any]
    classes: tuple[str, ...]
    round: Round
    ended: str | None
    digest: str | None
    preprocessing: Preprocessing

    @property
    def data(self) -> str:
        return str(self.identity["data"]["name"])

    @property
    def known(self) -> tuple[str, ...]:
        return self.classes[: self.round.classes]

    def weights(self) -> Path | None:
        """Return the file of the last round's weights; None where there is none such."""
        if self.digest is None:
            return None
        for path in self.places:
            with contextlib.suppress(FileNotFoundError):
                if digest_of(path) == self.digest:
                    return path
        return None

    @property
    def places(self) -> tuple[Path, ...]:
        """Where these weights may be."""
        return weights_places(self.directory, self.round.round)


def load_trained(
    directory: Path, *, learner: Learner | None = None, device: str | torch.device = "auto"
) -> Trained:
    """Return the model of the run in `directory`, which may be under way.

    The learner is what the run's config says, and its code is run: load only runs that you trust.
    One that keeps no weights (scikit-learn's, which would need pickle) is fitted again, where the
    run's data are still there.

    Args:
        directory: the run's.
        learner: made like the run's, for runs made in Python, which keep no settings of theirs.
        device: where to compute: "auto", "cpu", "cuda" or "cuda:<number>".

    Raises:
        StoreError: there is no run, or it has no model yet.
        DataError: no image file is such a sample; or the data are gone, and are needed.
        LearnerError: the weights are damaged, or of another network.
        ConfigError: the learner's settings have no meaning here.
    """
    kept = _read(directory)
    prepare = Preparing(kept.preprocessing, device)
    empty, before = learner or _learner(kept, device, trained=True), -1
    while not (loaded := _loaded(kept, empty, prepare.shape)) and kept.round.round != before:
        # A run under way may have put them elsewhere, or newer ones in their place.
        before, kept = kept.round.round, _read(directory)
    if not loaded:
        empty = _fitted_again(kept, learner, device)
    return Trained(
        learner=empty,
        prepare=prepare,
        preprocessing=kept.preprocessing,
        classes=kept.known,
        added=kept.classes[kept.round.classes :],
        round=kept.round,
        data=kept.data,
        ended=kept.ended,
    )


def _read(directory: Path) -> _Kept:
    check_run(directory)
    with opened(directory) as store:
        identity, rounds = store.meta("identity"), store.rounds()
        plain, classes = store.meta("preprocessing"), store.meta("classes")
        ended = store.meta("ended")
        digest = store.weights(rounds[-1].round) if rounds else None
    if not rounds:
        raise StoreError(
            f"{directory} has no model yet: the run has finished no round; go on with it first"
        )
    if plain is None:
        raise DataError(
            f"{directory} was trained on {identity['data']['name']}, and no image file can be made "
            "a sample of that: it needs a data set of 8-bit images, grey or RGB"
        )
    return _Kept(
        directory=directory,
        identity=identity,
        classes=tuple(classes or identity["data"]["classes"]),
        round=rounds[-1],
        ended=ended,
        digest=digest,
        preprocessing=from_plain(plain, directory),
    )


def _loaded(kept: _Kept, learner: Learner, shape: tuple[int, ...]) -> bool:
    """Give `learner` the weights of the last round, for samples of `shape`; False without them."""
    if (path := kept.weights()) is None:
        return False
    # Weights are read for these classes and this shape, whatever the samples are.
    nothing, ones = torch.zeros(shape[0]), torch.ones(shape[0])
    blank = TensorSamples(torch.zeros(1, *shape), ["blank"], nothing, ones)
    return learner.load(path, Data(name=kept.data, classes=kept.known, pool=blank))


def _learner(kept: _Kept, device: str | torch.device, *, trained: bool) -> Learner:
    """Return the run's learner; one that is trained already needs no weights to start from."""
    from activeloop.building import build_learner

    config = kept.identity["config"]
    if not isinstance(config.get("learner"), Mapping):
        raise ConfigError(
            f"{kept.directory} was not started from the command line, and kept no settings of its "
            f"learner ({config.get('learner')}): activeloop.predict(..., learner=...) takes one "
            "made like it"
        )
    model = dict(config["model"])
    if trained and model.get("_target_") == "activeloop.models.resnet18":
        model["weights"] = None  # which may not be there any more
    learner: Learner = build_learner(
        OmegaConf.create({**config, "model": model, "device": str(device)})
    )
    return learner


def _fitted_again(kept: _Kept, given: Learner | None, device: str | torch.device) -> Learner:
    """Return the run's learner, or the one `given`, fitted as in the run's last round.

    Raises:
        LearnerError: the weights are damaged; or it takes more than the labels, or the data, which
            are not there.
    """
    number, missing = kept.round.round, f"{kept.directory} has no weights of its last round"
    if kept.digest is not None and (there := [path for path in kept.places if path.exists()]):
        raise LearnerError(
            f"{there[0]} is damaged, or of another round: it is not what round {number} wrote; "
            "put a copy back, or remove it to have the learner fitted again"
        )
    learner = given or _learner(kept, device, trained=False)
    if getattr(learner, "warm_start", False):
        raise LearnerError(f"{missing}, and with learner.warm_start these cannot be made again")
    try:
        data = _data(kept, device)
    except Exception as error:  # whatever building a data set raises
        why = str(error) if isinstance(error, ActiveLoopError) else repr(error)
        raise LearnerError(
            f"{missing}, so the learner must be fitted again, and the run's data cannot be had for "
            f"that: {why}"
        ) from error
    log.info("%s: the learner is fitted again, on %d labels", missing, kept.round.labels)
    with opened(kept.directory) as store:
        indices, labels = read_labels(store, data, number)
    rng = Streams(kept.identity["config"]["seed"]).rng("training", number)
    learner.fit(data, indices, labels, rng)
    return learner


def _data(kept: _Kept, device: str | torch.device) -> Data:
    from activeloop.reloading import rebuilt

    run = read_run(kept.directory)
    assert run is not None  # it has rounds
    return rebuilt(run, kept.known, device)
