"""Load over connections that stay open, counted by when a call began.

Each load has :data:`CONNECTIONS` connections, and a thread for each. A call that fails is recorded;
nothing tries it again.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tests.istio.traffic import Caller
from tests.peers.apache_dubbo import Counts, DubboConsumer
from tests.rig.interception import Pod
from tests.waiting import wait_until

CONNECTIONS = 16
_PAUSE = 0.1  # seconds after a call; sixteen threads then make some 150 calls a second
_SIGMAS = 5  # one in two million


class SteadyLoad(Protocol):
    """Calls without end over connections that stay open."""

    @property
    def name(self) -> str:
        """For messages."""

    def start(self) -> None:
        """Begins to call."""

    def mark(self) -> None:
        """From now on `recent` counts the calls that begin after this."""

    def recent(self) -> Counts:
        """Of the calls that began after the last mark."""

    def counts(self) -> Counts:
        """Of all calls so far."""

    def stop(self) -> None:
        """Ends it."""


class ApacheLoad:
    """Apache Dubbo's own client. ``consumer`` runs in the client's pod."""

    def __init__(self, name: str, consumer: DubboConsumer, method: str = "sayHello") -> None:
        self.name = name
        self._consumer = consumer
        self._method = method

    def start(self) -> None:
        """Begins to call."""
        pause = int(_PAUSE * 1000)
        self._consumer.start_load(self._method, "x", threads=CONNECTIONS, pause_ms=pause)

    def mark(self) -> None:
        """From now on `recent` counts the calls that begin after this."""
        self._consumer.mark_load()

    def recent(self) -> Counts:
        """Of the calls that began after the last mark."""
        return self._consumer.recent_counts()

    def counts(self) -> Counts:
        """Of all calls so far."""
        return self._consumer.load_counts()

    def stop(self) -> None:
        """Ends it."""
        self._consumer.stop_load()


@dataclass
class _Tally:
    servers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def counts(self) -> Counts:
        return Counts(dict(self.servers), dict(self.errors))


class ThreadLoad:
    """A client written in Python: ``caller`` opens a connection; ``pod`` is where it is made."""

    def __init__(
        self,
        name: str,
        pod: Pod,
        caller: Callable[[], AbstractContextManager[Caller]],
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        self.name = name
        self._pod = pod
        self._caller = caller
        self._all = _Tally()
        self._recent = _Tally()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(connections)]

    def start(self) -> None:
        """Begins to call."""
        for thread in self._threads:
            thread.start()

    def _go_on(self) -> None:
        with self._pod.inside():
            while not self._stopped.is_set():
                begun = self._recent
                try:
                    with self._caller() as call:
                        while not self._stopped.is_set():
                            begun = self._recent
                            server = call()
                            self._count(begun, server=server)
                            self._stopped.wait(_PAUSE)
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is a failed call
                    self._count(begun, error=repr(error))
                    self._stopped.wait(_PAUSE)

    def _count(self, begun: _Tally, *, server: str = "", error: str = "") -> None:
        with self._lock:
            for tally in (self._all, begun):
                (tally.errors if error else tally.servers)[error or server] += 1

    def mark(self) -> None:
        """From now on `recent` counts the calls that begin after this."""
        with self._lock:
            self._recent = _Tally()

    def recent(self) -> Counts:
        """Of the calls that began after the last mark."""
        with self._lock:
            return self._recent.counts()

    def counts(self) -> Counts:
        """Of all calls so far."""
        with self._lock:
            return self._all.counts()

    def stop(self) -> None:
        """Ends it."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def wait_calls(loads: Sequence[SteadyLoad], count: int) -> dict[str, Counts]:
    """Wait until each load got so many answers to calls that began after this; all their counts."""
    for load in loads:
        load.mark()
    wait_until(
        lambda: all(load.recent().answered >= count for load in loads),
        60,
        f"{count} calls more",
        seen=lambda: {load.name: load.recent() for load in loads},
    )
    return {load.name: load.recent() for load in loads}


def wait_obeyed(loads: Sequence[SteadyLoad], shares: dict[str, int], calls: int = 300) -> None:
    """Check who answers the next calls: the servers with these shares of 100.

    0 and 100 are exact, others within the bounds of chance.
    """
    # A worker of Envoy may hold a call that came before what its main thread shows.
    wait_calls(loads, 1)
    for name, counts in wait_calls(loads, calls).items():
        for server, wanted in shares.items():
            chance = wanted / 100
            allowed = _SIGMAS * math.sqrt(chance * (1 - chance) / counts.answered)
            seen = counts.servers.get(server, 0) / counts.answered
            assert abs(seen - chance) <= allowed, (name, shares, counts)
