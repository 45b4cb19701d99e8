"""The files of a run: what makes it that run, and the weights and predictions of its rounds."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from activeloop.changes import Changes, changed_text
from activeloop.durable import sync_directory, sync_file
from activeloop.errors import StoreError
from activeloop.flat_settings import differences, flat
from activeloop.manifest import Manifest
from activeloop.messages import command_of
from activeloop.preprocessing import TENSORS, to_plain
from activeloop.run_directory import RunDirectory
from activeloop.stop_set import KeptProbs
from activeloop.store import Store
from activeloop.types import Data, Indices, Labels, Learner, Preprocessing
from activeloop.whole_files import digest_of, keep_array, named_errors, replacing, write_array

log = logging.getLogger(__name__)

# Of a run that is over: the weights of its last round.
MODEL = "model.safetensors"

# Where the samples of a run changed, and nothing else.
_OF_SAMPLES = {f"data.{part}" for part in ("pool", "test", "validation", "embeddings")}
_OF_SAMPLES |= {"config.pool"}  # the size that a loop made in Python knows


class RunFiles(RunDirectory):
    """A run's directory; without one, all that must not be lost is kept in memory.

    Args:
        directory: made if it is not there.

    Raises:
        StoreError: the directory cannot be used.
    """

    def __init__(self, directory: Path | None) -> None:
        super().__init__(directory)
        # Of the last rounds, without a directory.
        self._stop_probs: dict[int, KeptProbs | None] = {}

    def claim(
        self,
        identity: Mapping[str, Any],
        data: Data | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Make this directory that of the run with `identity`, or see that it is.

        Args:
            identity: what makes the run that run.
            data: its samples, as they are before embedding, of which the keys are kept.
            about: what else to keep of a run that begins, by name.

        Raises:
            StoreError: it holds another run; the message names what differs.
        """
        kept = self.store.meta("identity")
        if kept is None:
            values = {**(about or {}), "identity": identity}
            manifest = None if data is None else Manifest.of(data)
            self.store.set_all(
                values | (manifest.kept if manifest else {}), manifest.packed if manifest else None
            )
            return
        before, now = flat(kept), flat(identity)
        names = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        if names and data is not None and self.directory and names <= _OF_SAMPLES:
            listed = Manifest.read(self.store)
            if listed is not None and str(changes := Changes.between(listed, data)):
                command = command_of(self.store.meta("run"))
                raise StoreError(changed_text(self.directory, changes, command))
        if names:
            raise StoreError(
                f"{self.directory} holds another run ({differences(before, now)}): "
                "choose another directory (hydra.run.dir=... on the command line); initial=file "
                f"initial.path={self.directory}/queries.csv starts a new run from its labels"
            )

    def join(self, identity: Mapping[str, Any], data: Data, joined: int) -> None:
        """Have the last `joined` samples of the pool of `data` join the run, all or nothing.

        Args:
            identity: what makes the run that run from now on.
            data: as in `claim`.
            joined: how many they are.
        """
        manifest = Manifest.of(data)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"at": at, "samples": joined, "pool_size": len(data.pool) - joined}
        earlier = self.store.meta("joined") or []
        self.store.set_all(
            {"identity": identity, "joined": [*earlier, record], **manifest.kept},
            manifest.packed,
        )

    def first_pool_size(self, size: int) -> int:
        """Return how many of the `size` samples of the pool were there when the run began."""
        return first_pool_size(self.store, size)

    def keep_preprocessing(self, preprocessing: Preprocessing | None) -> None:
        """Keep how images become samples, so that the model predicts others without the data."""
        if preprocessing is None or self.store.meta("preprocessing") is not None:
            return  # samples that join later are normalised as the first ones were
        plain, tensors = to_plain(preprocessing)
        if self.directory is not None and tensors:
            with named_errors(self.directory), replacing(self.directory / TENSORS) as temporary:
                temporary.write_bytes(save(tensors))
        self.store.set_meta("preprocessing", plain)

    # -- what a round leaves ----------------------------------------------------------------

    def save_round(
        self,
        learner: Learner,
        round: int,
        test_probs: Tensor | None,
        stop_probs: KeptProbs | None,
    ) -> str | None:
        """Write weights and probabilities, before the store says that the round is there.

        Returns:
            The digest of the file with the weights, for the store; None where none are kept.
        """
        if self.directory is None:
            self._stop_probs[round] = stop_probs
            self._stop_probs.pop(round - 2, None)
            return None
        with named_errors(self.directory):
            with replacing(self._weights(round)) as temporary:
                weights = digest_of(temporary) if learner.save(temporary) else None
            if test_probs is not None:
                kept = test_probs.cpu().numpy().astype(np.float16)
                write_array(self._probs("test_probs", round), kept)
            if stop_probs is not None:
                write_array(self._probs("stop_probs", round), stop_probs)
        return weights

    def stop_probs(self, round: int) -> KeptProbs | None:
        """Return what the network of one of the last rounds said of the stop set, `[S, C]`.

        None where it is not kept.
        """
        if self.directory is None:
            return self._stop_probs.get(round)
        path = self._probs("stop_probs", round)
        if not path.exists():
            log.warning("%s is not there: the next round is not compared with that one", path)
            return None
        try:
            kept: KeptProbs = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"{path} is damaged: put a copy back, or remove it, and the next round is not "
                "compared with that one"
            ) from error
        return kept

    def save_stop_indices(self, indices: Indices) -> None:
        """Write which samples of the pool the rows of the stop set's predictions are of."""
        if self.directory is not None:
            with named_errors(self.directory):
                keep_array(self.directory / "stop_probs" / "indices.npy", indices)

    def load_weights(self, learner: Learner, round: int, data: Data) -> bool:
        """Give `learner` the weights of a round; False where it must be fitted again.

        Those that are not what was written are not read, and said to be so.
        """
        if self.directory is None or (kept := self.store.weights(round)) is None:
            return False
        with named_errors(self.directory):
            for path in filter(Path.exists, weights_places(self.directory, round)):
                if digest_of(path) == kept:
                    return learner.load(path, data)
                if path == self._weights(round):
                    log.warning("%s is damaged: it is not what was written there", path)
        return False

    def weights_name(self, round: int) -> str:
        """Return how to call the weights of a round."""
        return "memory" if self.directory is None else str(self._weights(round))

    def drop_older_weights(self, round: int) -> None:
        """Delete the weights of the rounds before: only the last are ever needed."""
        if self.directory is None:
            return
        with named_errors(self.directory):
            for path in self.directory.glob("weights_*.safetensors"):
                if path.name < self._weights(round).name:
                    path.unlink(missing_ok=True)

    def save_test_labels(self, labels: Labels | None) -> None:
        """Write the test labels beside the predictions, so that any metric can be had later."""
        if self.directory is None or labels is None:
            return
        path = self.directory / "test_probs" / "labels.npy"
        with named_errors(self.directory):
            keep_array(path, np.asarray(labels, np.int64))

    def end(self, reason: str, round: int) -> None:
        """Say in the store that the run is over, and give the last weights their final name."""
        with named_errors(self.directory):
            if self.directory is not None and self._weights(round).exists():
                self._weights(round).replace(self.directory / MODEL)
                sync_directory(self.directory)
        self.drop_older_weights(round)  # left where the run was interrupted just before that
        self._sync_tables()
        self.store.set_meta("ended", reason)

    def _sync_tables(self) -> None:
        """Have the tables and all names on the disk: of a run that is over none is made anew."""
        if self.directory is None:
            return
        tables = [self.directory / name for name in ("curve.csv", "queries.csv")]
        if not all(path.exists() for path in tables):
            self.write_tables()
        with named_errors(self.directory):
            for path in tables:
                sync_file(path)
            sync_directory(self.directory)

    def reopen(self, round: int) -> None:
        """Have a run that is over go on: the model stays, and is the last round's weights again."""
        with named_errors(self.directory):
            if self.directory is not None and not self._weights(round).exists():
                model = self.directory / MODEL
                if model.exists():
                    with replacing(self._weights(round)) as temporary:
                        shutil.copyfile(model, temporary)
        self.store.set_meta("ended", None)

    def _weights(self, round: int) -> Path:
        assert self.directory is not None
        return weights_places(self.directory, round)[0]

    def _probs(self, part: str, round: int) -> Path:
        assert self.directory is not None
        return self.directory / part / f"round_{round:04d}.npy"


def first_pool_size(store: Store, size: int) -> int:
    """Return how many of the `size` samples of a run's pool were there when it began."""
    joined = store.meta("joined")
    return int(joined[0]["pool_size"]) if joined else size


def weights_places(directory: Path, round: int) -> tuple[Path, Path]:
    """Return where the weights of a round are in a run under way, and in one that is over.

    One that was stopped as it ended may have them in either place.
    """
    return directory / f"weights_{round:04d}.safetensors", directory / MODEL
