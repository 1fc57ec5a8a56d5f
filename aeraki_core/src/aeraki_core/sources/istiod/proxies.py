"""Which proxies reject their configuration.

istiod's ``syncz`` (type ``istio.io/debug``) lists for each connected proxy what was sent to it and
what it acknowledged. A proxy that rejects keeps its last good configuration, and no other interface
reports that. One istiod knows only the proxies that are connected to it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aeraki_core.errors import AerakiError
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.findings.codes import PROXY_REFUSES
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.backoff import Backoff
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.stream import XdsStream

__all__ = [
    "ProxyWatch",
    "Refusal",
    "Unacknowledged",
    "explain",
    "parse_syncz",
    "refusals",
    "suspects",
]

_log = logging.getLogger(__name__)
_TYPE = "istio.io/debug"
_QUESTION = "syncz"
# What an EnvoyFilter of ours can change.
_PARTS = ("listener", "cluster")
_STOP = 2.0
# Seconds: from our write to istiod's push, and the time between two questions.
_ROOM = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Unacknowledged:
    """A proxy that has not acknowledged what was sent to it last."""

    proxy: str
    """``pod.namespace``."""
    part: str
    """``listener`` or ``cluster``."""
    sent: str


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """A proxy that refuses its listeners or clusters."""

    proxy: str
    part: str
    seconds: float
    """For how long, at least."""

    @property
    def namespace(self) -> str:
        """The proxy's namespace."""
        return self.proxy.rpartition(".")[2]


def parse_syncz(content: Any) -> frozenset[Unacknowledged]:
    """Return the proxies in istiod's answer that have not acknowledged the last push.

    Raises:
        ValueError: it is not of the form that istiod sends.
    """
    if not isinstance(content, list):
        raise ValueError("syncz is not a list")
    unacknowledged: set[Unacknowledged] = set()
    for entry in content:
        if not isinstance(entry, Mapping):
            raise ValueError("an entry of syncz is not an object")
        for part in _PARTS:
            sent, acked = entry.get(f"{part}_sent"), entry.get(f"{part}_acked")
            if sent and sent != acked:
                unacknowledged.add(Unacknowledged(str(entry.get("proxy", "")), part, str(sent)))
    return frozenset(unacknowledged)


def refusals(
    seen: Mapping[tuple[str, str], float], now: Iterable[Unacknowledged], at: float, patience: float
) -> tuple[dict[tuple[str, str], float], tuple[Refusal, ...]]:
    """Return since when each proxy has not acknowledged a part, and those past ``patience`` s.

    The time continues when a proxy receives something new before it has acknowledged the last: it
    rejects that too, or is slow.
    """
    since = {key: seen.get(key, at) for key in ((item.proxy, item.part) for item in now)}
    late = (
        Refusal(proxy, part, at - first)
        for (proxy, part), first in since.items()
        if at - first >= patience
    )
    return since, tuple(sorted(late))


def suspects(
    refusal: Refusal, written: Mapping[FilterKey, float], at: float, root_namespace: str
) -> list[FilterKey]:
    """Return the filters that the refusal may be about, the likeliest first.

    ``written``: when each filter of ours was written last, by the same clock as ``at`` (now). Only
    filters of the root namespace and of the proxy's own apply to it, and only those written before
    it began to refuse (with some room) can be the cause.
    """
    began = at - refusal.seconds
    scope = (root_namespace, refusal.namespace)
    names = [
        key for key, when in written.items() if key.namespace in scope and when <= began + _ROOM
    ]
    return sorted(names, key=lambda key: (-written[key], key))


def explain(refusal: Refusal, causes: Sequence[FilterKey]) -> Finding:
    """Return the finding about one proxy, at the filter that is most likely the cause."""
    likely = f"; most likely because of {causes[0]}" if causes else ""
    message = (
        f"proxy {refusal.proxy} does not accept the {refusal.part}s that it was sent "
        f"and keeps the last good ones{likely}"
    )
    ref = ObjectRef("EnvoyFilter", causes[0].namespace, causes[0].name) if causes else None
    return Finding(PROXY_REFUSES, message, ref)


class ProxyWatch:
    """Asks istiod every ``every`` seconds, in a thread of its own.

    ``changed`` gets all refusals whenever who refuses what changes.
    """

    def __init__(
        self,
        istiod: Istiod | Callable[[], Istiod],
        changed: Callable[[tuple[Refusal, ...]], None],
        *,
        root_namespace: str = "istio-system",
        every: float = 5.0,
        patience: float = 10.0,
    ) -> None:
        self._istiod = istiod
        self._changed = changed
        self._root_namespace = root_namespace
        self._every = every
        self._patience = patience
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._stream: XdsStream | None = None
        self._since: dict[tuple[str, str], float] = {}
        self._reported: frozenset[tuple[str, str]] = frozenset()
        self._thread = threading.Thread(target=self._run, name="syncz", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within two seconds."""
        self._stopped.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread.is_alive():
            self._thread.join(_STOP)

    def _run(self) -> None:
        backoff = Backoff(first=1.0, limit=30.0)
        while not self._stopped.is_set():
            try:
                istiod = self._istiod() if callable(self._istiod) else self._istiod
                stream = XdsStream(istiod, self._root_namespace, "aeraki-syncz")
                with self._lock:
                    self._stream = stream
                stream.ask(_TYPE, _QUESTION)
                for response in stream.responses():
                    self._handle(b"".join(item.value for item in response.resources[:1]))
                    backoff.reset()
                    if self._stopped.wait(self._every):
                        return
                    stream.ask(_TYPE, _QUESTION)
            except (AerakiError, ValueError) as error:
                if self._stopped.is_set():
                    return
                # The source reports an istiod that does not answer; here nothing is known then.
                _log.info("which proxies refuse is not known: %s", error)
            finally:
                with self._lock:
                    broken, self._stream = self._stream, None
                if broken is not None:
                    broken.close()
            self._stopped.wait(backoff.next())

    def _handle(self, answer: bytes) -> None:
        self._since, late = refusals(
            self._since, parse_syncz(json.loads(answer)), time.monotonic(), self._patience
        )
        who = frozenset((item.proxy, item.part) for item in late)
        if who != self._reported:
            self._reported = who
            self._changed(late)
