"""Random faults: API server, etcd, istiod and controllers are killed, paused and started."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from urllib3.exceptions import HTTPError

from tests.rig.control_plane import ControlPlane
from tests.rig.errors import ApiError, RigError
from tests.rig.processes import Server

from .replicas import Replica, leader_of


class Faults:
    """Makes one fault after another until it is told to stop."""

    def __init__(self, plane: ControlPlane, replicas: list[Replica], chance: random.Random) -> None:
        self._plane = plane
        self._replicas = replicas
        self._chance = chance
        self._leader = replicas[0]
        self.made: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Make faults until ``stop`` is set, then heal everything."""
        ways: list[tuple[str, Callable[[threading.Event], None]]] = [
            ("API server killed", lambda stop: self._kill(self._plane.apiserver, stop)),
            ("API server paused", lambda stop: self._pause(self._plane.apiserver, stop)),
            ("etcd paused", lambda stop: self._pause(self._plane.etcd, stop)),
            ("istiod killed", lambda stop: self._kill(self._plane.istiod, stop)),
            ("istiod paused", lambda stop: self._pause(self._plane.istiod, stop)),
            ("leader killed", self._kill_leader),
            ("leader paused", self._pause_leader),
            ("standby killed", self._kill_standby),
        ]
        while not stop.wait(self._chance.uniform(1, 6)):
            name, way = self._chance.choice(ways)
            self.made[name] += 1
            with suppress(ApiError, HTTPError, OSError, RigError):
                self._leader = leader_of(self._plane.api, self._replicas) or self._leader
            way(stop)
            self.heal()

    def heal(self) -> None:
        """Make everything run.

        Raises:
            RigError: a server does not come up again.
        """
        self._plane.heal()
        for each in self._replicas:
            each.heal()

    def _kill(self, server: Server, stop: threading.Event) -> None:
        server.kill()
        stop.wait(self._chance.uniform(0, 8))

    def _pause(self, server: Server, stop: threading.Event) -> None:
        server.pause()
        stop.wait(self._chance.uniform(1, 12))

    def _kill_leader(self, stop: threading.Event) -> None:
        self._leader.kill()
        stop.wait(self._chance.uniform(0, 10))

    def _pause_leader(self, stop: threading.Event) -> None:
        self._leader.pause()
        # Often for longer than its Lease holds: the other then leads while it sleeps.
        stop.wait(self._chance.uniform(1, 15))

    def _kill_standby(self, stop: threading.Event) -> None:
        next(each for each in self._replicas if each is not self._leader).kill()
        stop.wait(self._chance.uniform(0, 5))
