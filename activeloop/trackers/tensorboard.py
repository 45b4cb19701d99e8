"""TensorBoard: event files in the run's directory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from activeloop.checks import whole
from activeloop.errors import ConfigError
from activeloop.listeners import Silent
from activeloop.trackers.images import grid
from activeloop.types import Pixels, Query, Round, TrackedRun


class TensorBoard(Silent):
    """Writes metrics, config, the curve and picked images to `tensorboard/` in the run's directory.

    A round's step is its number of labels, and its time that at which the tracker was first told
    of the run plus the seconds of all rounds by then: TensorBoard's relative axis is the time that
    was computed, without interruptions. A run that goes on writes another file there.

    Args:
        images: how many of a query's images are shown; 0: none.

    Raises:
        ConfigError: the package `tensorboard` is not installed.
    """

    def __init__(self, *, images: int = 64) -> None:
        self._images = whole("tracker.images", images)
        self._events = Events()
        self._path = Path()
        self._query: Query | None = None
        self._at = 0.0

    def on_begin(self, run: TrackedRun) -> int:
        """Begin a new event file after those that are there."""
        self._run, self._at = run, run.began
        folder = run.directory / "tensorboard"
        folder.mkdir(exist_ok=True)
        before = list(folder.glob("events.out.tfevents.*"))
        told = run.told if before else 0
        self._path = folder / f"events.out.tfevents.{len(before):04d}"
        events = [self._events.version(run.began)]
        if before:
            # What an interruption left of the round after: read, it would be there twice.
            kept = run.rounds[told - 1].labels + 1 if told else 0
            events.append(self._events.drop_from(kept, run.began))
        if not told:
            config = self._events.text("config", json.dumps(run.config, indent=2, default=str))
            events.append(self._events.event([config], 0, run.began))
        self._write(events)
        return told

    def on_query(self, query: Query) -> None:
        """Keep it until its round is done."""
        self._query = query

    def on_round(self, round: Round, test_probs: Tensor | None) -> None:
        """Write the round's metrics and the images that it learnt anew."""
        values = [self._events.scalar(name, value) for name, value in round.metrics.items()]
        if self._images and self._query is not None:
            pictures = self._run.images(self._query.indices[: self._images])
            if pictures is not None and len(pictures):
                values.append(self._events.image("picks", grid(pictures)))
        self._at = self._run.began + round.metrics["seconds"]
        self._write([self._events.event(values, round.labels, self._at)])

    def on_end(self, reason: str) -> None:
        """Write the curve."""
        path = self._run.directory / "curve.png"
        if path.exists():
            curve = self._events.image("curve", np.asarray(Image.open(path).convert("RGB")))
            self._write([self._events.event([curve], self._run.rounds[-1].labels, self._at)])

    def _write(self, events: list[Any]) -> None:
        """Append to the file at once: what cannot be written is an error here and now.

        torch's SummaryWriter writes in a thread; one that fails leaves the run waiting for ever.
        """
        with self._path.open("ab") as handle:
            writer = self._events.record_writer(handle)
            for event in events:
                writer.write(event.SerializeToString())


class Events:
    """Makes TensorBoard's events.

    Attributes:
        record_writer: the class that writes them into an open file.

    Raises:
        ConfigError: the package `tensorboard` is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ConfigError(
                f"tracker=tensorboard needs the package tensorboard ({error}): "
                "pip install 'activeloop[tensorboard]'"
            ) from error
        self._event: Any = event_pb2
        self._summary: Any = summary_pb2
        self._tensor: Any = tensor_pb2
        self._types: Any = types_pb2
        self.record_writer: Any = RecordWriter

    def version(self, at: float) -> Any:
        """Return the first event of a file."""
        return self._event.Event(wall_time=at, file_version="brain.Event:2")

    def drop_from(self, step: int, at: float) -> Any:
        """Return the event that has readers forget what earlier files hold from `step` on."""
        start = self._event.SessionLog(status=self._event.SessionLog.START)
        return self._event.Event(wall_time=at, step=step, session_log=start)

    def event(self, values: list[Any], step: int, at: float) -> Any:
        """Return an event of several values."""
        return self._event.Event(
            wall_time=at, step=step, summary=self._summary.Summary(value=values)
        )

    def scalar(self, name: str, value: float) -> Any:
        """Return a number."""
        return self._summary.Summary.Value(tag=name, simple_value=value)

    def image(self, name: str, pixels: Pixels) -> Any:
        """Return an image `[height, width, 3]`."""
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, format="png")
        height, width, channels = pixels.shape
        image = self._summary.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue()
        )
        return self._summary.Summary.Value(tag=name, image=image)

    def text(self, name: str, text: str) -> Any:
        """Return a text, shown as it is: indented by four spaces, Markdown takes it for code."""
        code = "\n".join(f"    {line}" for line in text.splitlines())
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text")
        return self._summary.Summary.Value(
            tag=name,
            metadata=self._summary.SummaryMetadata(plugin_data=plugin),
            tensor=self._tensor.TensorProto(
                dtype=self._types.DT_STRING, string_val=[code.encode()]
            ),
        )
