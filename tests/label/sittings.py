"""A run that people label, served in this process: stopped and started as a program would be."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from hydra import compose, initialize_config_dir

from activeloop.building import build, build_learner
from activeloop.config import config_dir, register
from activeloop.label.app import make_app
from activeloop.label.desk import Desk
from activeloop.label.images import Images
from activeloop.label.leases import Leases
from activeloop.label.security import Credentials, Guard, hosts_of
from activeloop.label.serving import link_of, listen, serving
from activeloop.label.unchanged import Unchanged
from activeloop.manifest import Manifest
from activeloop.stopping import Never


class Sitting:
    """The page of one run, at the same address each time it is started.

    Args:
        directory: of the run.
        overrides: of the config.
    """

    def __init__(self, directory: Path, overrides: list[str]) -> None:
        register()
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            self.config = compose("config", ["oracle=people", *overrides])
        self.directory = directory
        self.port = 0

    def start(self) -> str:
        """Serve the page, and return the link."""
        self.loop, _ = build(self.config, self.directory)
        (rule,) = self.loop.stopping
        self.loop.stopping.clear()
        self.desk = Desk(
            self.loop,
            run=self.directory.name,
            make_learner=partial(build_learner, self.config),
            rule=None if isinstance(rule, Never) else rule,
        )
        listening = listen("127.0.0.1", self.port, exactly=self.port != 0)
        self.port = listening.getsockname()[1]
        unchanged = Unchanged(self.loop.data, Manifest.read(self.loop.files.store))
        app = make_app(self.desk, Images(self.loop.data, None, unchanged))
        guard = Guard(app, Credentials("t" * 43, self.port), hosts_of("127.0.0.1"))
        self.serving: Any = serving(guard, listening)
        self.thread: Thread = self.serving.__enter__()
        self.desk.start()
        return link_of(listening, "127.0.0.1", "t" * 43)

    def held(self, who: str) -> list[int]:
        """Return the samples that somebody has to answer."""
        held = Leases(self.directory).read().get(who, {})
        keys = list(self.loop.data.pool.keys)
        return [keys.index(key) for key in held]

    def stop(self) -> None:
        """Stop as the command does when it is interrupted."""
        self.serving.__exit__(None, None, None)
        while not self.desk.stop(1.0):
            time.sleep(0.01)
        self.loop.files.close()
