"""Proxies that refuse what we wrote, as findings.

istiod's ``syncz`` says which proxies refuse their configuration (sources/istiod/proxies.py), and
the controller knows when it wrote each filter. Together they give a finding for each such proxy at
the filter that is most likely the cause, which is logged, counted and published like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aeraki_core.controller.observer import ControllerEvent, PassReport
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sources.events import Problems
from aeraki_core.sources.istiod.proxies import ProxyWatch, Refusal, explain, suspects

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.sources.events import Event
    from aeraki_core.sources.istiod.connection import Istiod

__all__ = ["Refusals"]


class Refusals:
    """Watches the proxies of one istiod.

    ``tell`` is called with the findings, from a thread of its own.
    """

    def __init__(
        self,
        istiod: Callable[[], Istiod],
        tell: Callable[[Event], None],
        *,
        root_namespace: str,
        every: float = 5.0,
        patience: float = 10.0,
    ) -> None:
        self._tell = tell
        self._root_namespace = root_namespace
        self._lock = threading.Lock()
        self._written: dict[FilterKey, float] = {}
        self._watch = ProxyWatch(
            istiod, self._changed, root_namespace=root_namespace, every=every, patience=patience
        )

    def start(self) -> None:
        """Begin to ask istiod."""
        self._watch.start()

    def stop(self) -> None:
        """End, within two seconds."""
        self._watch.stop()

    def __call__(self, event: ControllerEvent) -> None:
        """Remember when a filter was written: only what came before a refusal can be its cause."""
        if not isinstance(event, PassReport):
            return
        now = time.monotonic()
        with self._lock:
            for done in event.written:
                if done.step.action is Action.DELETE:
                    self._written.pop(done.step.key, None)
                elif done.error is None:
                    self._written[done.step.key] = now

    def _changed(self, refused: tuple[Refusal, ...]) -> None:
        with self._lock:
            written = dict(self._written)
        now = time.monotonic()
        findings = (
            explain(refusal, suspects(refusal, written, now, self._root_namespace))
            for refusal in refused
        )
        self._tell(Problems("istiod", "proxies", tuple(findings)))
