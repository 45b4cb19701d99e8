"""MLflow: a store of runs in one SQLite file, or a server."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from activeloop.checks import whole
from activeloop.errors import ConfigError
from activeloop.flat_settings import flat
from activeloop.listeners import Silent
from activeloop.trackers.images import grid
from activeloop.types import Query, Round, TrackedRun
from activeloop.whole_files import replacing

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows: nothing keeps two processes apart there
    flock = None  # type: ignore[assignment]  # the other branch is the function

# Parameters of one request, and characters of one, that every MLflow takes.
_BATCH = 100
_LONGEST = 500


class MLflow(Silent):
    """Keeps metrics, config, the curve and picked images in a run of MLflow.

    A round's step is its number of labels, and its time that at which the tracker was first told
    of the run plus the seconds of all rounds by then. `mlflow.json` in the run's directory says
    which run of MLflow it is, so that one that is interrupted goes on there.

    Args:
        uri: of a server or store, as in http://localhost:5000; None: `mlflow.db` in the sweep's
            directory, or the run's own, with the files in `mlflow/` beside it.
        experiment: of MLflow, made if it is not there.
        images: how many of a query's images are shown; 0: none.

    Raises:
        ConfigError: a package is not installed, or the server does not answer.
    """

    def __init__(
        self, *, uri: str | None = None, experiment: str = "activeloop", images: int = 64
    ) -> None:
        self._uri, self._experiment = uri or None, experiment
        self._images = whole("tracker.images", images)
        self._query: Query | None = None
        self._ended = False
        self._mlflow = _imported()
        if self._uri is not None:
            self._open(self._uri)  # now, and not when all data are loaded

    def on_begin(self, run: TrackedRun) -> int:
        """Go on with the run of MLflow that this run has there, or make one."""
        self._run = run
        if self._uri is None:
            # Processes that make one store at the same time would each leave half of it.
            with _alone(run.home / ".mlflow.lock"):
                self._client = self._open(f"sqlite:///{run.home.absolute() / 'mlflow.db'}")
        else:
            self._client = self._open(self._uri)
        note = run.directory / "mlflow.json"
        now = {"uri": self._uri, "experiment": self._experiment}
        kept = json.loads(note.read_text("utf-8")) if note.exists() else {}
        if now.items() <= kept.items() and self._exists(kept["run_id"]):
            self._id = kept["run_id"]
            self._client.update_run(self._id, status="RUNNING")
            return len(self._client.get_metric_history(self._id, "seconds"))
        self._id = self._make()
        with replacing(note, durable=False) as temporary:
            temporary.write_text(json.dumps(now | {"run_id": self._id}) + "\n", "utf-8")
        return 0

    def on_query(self, query: Query) -> None:
        """Keep it until its round is done."""
        self._query = query

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Log the round's metrics, and the images that it learnt anew."""
        # Images first, by names that are the same if they come again: when the metrics are there,
        # so is the round.
        if self._images and self._query is not None:
            pictures = self._run.images(self._query.indices[: self._images])
            if pictures is not None and len(pictures):
                name = f"picks/round_{round.round:04d}.png"
                self._client.log_image(self._id, grid(pictures), artifact_file=name)
        at = int(1000 * (self._run.began + round.metrics["seconds"]))
        metrics = [
            self._mlflow.entities.Metric(name, float(value), at, round.labels)
            for name, value in round.metrics.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def on_end(self, reason: str) -> None:
        """Log the curve, and say that the run of MLflow is finished."""
        curve = self._run.directory / "curve.png"
        if curve.exists():
            self._client.log_artifact(self._id, str(curve))
        self._client.set_tag(self._id, "ended", reason)
        self._client.set_terminated(self._id, status="FINISHED")
        self._ended = True

    def close(self) -> None:
        """Say that the run of MLflow failed, unless it is finished."""
        if not self._ended:
            self._client.set_terminated(self._id, status="FAILED")

    def _open(self, uri: str) -> Any:
        """Return a client that has had an answer.

        Raises:
            ConfigError: there is none.
        """
        try:
            with _logging_kept():
                client = self._mlflow.MlflowClient(tracking_uri=uri)
                client.search_experiments(max_results=1)
        except Exception as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"tracker.uri={uri} cannot be used: {text[:300]}") from error
        return client

    def _exists(self, run_id: str) -> bool:
        try:
            info = self._client.get_run(run_id).info
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return bool(info.lifecycle_stage == "active")

    def _make(self) -> str:
        """Return the id of a new run of MLflow, with tags, parameters and config."""
        run = self._run
        tags = {name: str(value) for name, value in run.labels.items()}
        made = self._client.create_run(
            self._experiment_id(), int(1000 * run.began), tags, run_name=run.name
        )
        run_id = str(made.info.run_id)
        parameters = [
            self._mlflow.entities.Param(name, str(value)[:_LONGEST])
            for name, value in flat(run.config).items()
        ]
        for at in range(0, len(parameters), _BATCH):
            self._client.log_batch(run_id, params=parameters[at : at + _BATCH])
        self._client.log_artifact(run_id, str(run.directory / "config.yaml"))
        return run_id

    def _experiment_id(self) -> str:
        where = None if self._uri else (self._run.home.absolute() / "mlflow").as_uri()
        for _ in range(2):
            found = self._client.get_experiment_by_name(self._experiment)
            if found is not None:
                return str(found.experiment_id)
            try:
                return str(self._client.create_experiment(self._experiment, where))
            except self._mlflow.exceptions.MlflowException as error:
                # Another run of the sweep has just made it.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise ConfigError(f"tracker.experiment={self._experiment} can be neither found nor made")


def _imported() -> Any:
    """Return MLflow, which sends no word of its use and does not wait for minutes."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    # They say at length how they make the tables of a store, alembic from its import on.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        import alembic  # noqa: F401  # of the local store, which mlflow-skinny comes without
        import mlflow
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"tracker=mlflow needs the package {error.name or 'mlflow'} ({error}): "
            "pip install 'activeloop[mlflow]'"
        ) from error
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return mlflow


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes out meanwhile; those that wait come one after another."""
    with path.open("a+b") as file:
        if flock is not None:
            flock(file, LOCK_EX)
        yield


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Have the root logger as it was after the body: making a store sets up logging anew."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
