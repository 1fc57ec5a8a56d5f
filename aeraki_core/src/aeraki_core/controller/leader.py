"""One of several replicas writes: the one that holds a Lease.

The protocol is client-go's: a replica that sees an unchanged record for a whole lease duration
takes it, by an update that the API server refuses if another was quicker. :meth:`Leader.may_write`
is true only while the Lease is certainly ours by this machine's own clock: a process that was
paused past its lease finds, when it wakes up, that it may not write.

The kubernetes package's own ``leaderelection`` is not used: it can neither be stopped nor give its
Lease back, and a broken connection ends its thread. A replica that loses the Lease does not exit,
as controller-runtime's processes do, but stands by: nothing is written without the Lease, and a
short outage of the API server would otherwise restart all replicas with cold caches.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aeraki_core.errors import SettingsError
from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError, RequestError

__all__ = ["Leader", "LeaseTiming", "elapsed"]

log = logging.getLogger(__name__)

_JITTER = 1.2  # client-go's, so that replicas do not ask all at once
_RELEASE = 1.0  # seconds; a process that ends has no time for more


def elapsed() -> float:
    """Seconds of a clock that also runs while the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Seconds; the defaults are client-go's.

    ``lease``: a Lease that was not renewed for so long is free.
    ``renew``: a holder that could not renew it for so long stops writing.
    ``retry``: the time between two tries.

    Raises:
        SettingsError: each must be longer than the next, and the lease at least a second.
    """

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not (self.lease > self.renew > _JITTER * self.retry > 0 and self.lease >= 1):
            raise SettingsError(
                f"leader election: leaseDuration ({self.lease:g}s) must be at least a second and"
                f" longer than renewDeadline ({self.renew:g}s), and that longer than"
                f" {_JITTER:g} times retryPeriod ({self.retry:g}s)"
            )


class Leader:
    """Holds or awaits the Lease in a thread of its own.

    ``changed`` is called from it with whether this replica leads.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        timing: LeaseTiming | None = None,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._client = client
        self._name = name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._identity = identity
        self._changed = changed
        self._timing = timing or LeaseTiming()
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._until = 0.0
        self._leads = False
        self._seen: tuple[str, float] = (
            "",
            0.0,
        )  # the record's version, and when it was first seen
        self._held: dict[str, Any] | None = None  # the Lease as we wrote it last
        self._holder = ""

    def may_write(self) -> bool:
        """Report whether the Lease is ours at this moment. Call before each write."""
        return self._leads and self._clock() < self._until

    @property
    def leads(self) -> bool:
        """Whether this replica believes that it leads."""
        return self._leads

    @property
    def holder(self) -> str:
        """The holder of the Lease at the last look; empty if there was none."""
        return self._holder

    def start(self) -> None:
        """Begin to try for the Lease; returns at once."""
        self._thread = threading.Thread(target=self._run, name="leader-election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and give the Lease back so that no replica waits for its end.

        Call it after the last write. It takes two seconds at most, whatever the server does.
        """
        self._stop.set()
        held = self._held if self.may_write() else None
        self._set(False)
        if self._thread is not None:
            self._thread.join(_RELEASE)
        if held is not None:
            self._release(self._held or held)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()
            spread = random.uniform(1.0, _JITTER)  # noqa: S311 not for secrets
            self._stop.wait(self._timing.retry * spread)

    def _once(self) -> None:
        asked = self._clock()
        if asked >= self._until:
            self._set(False)  # may_write() says so already
        try:
            holds = self._try()
        except RequestError as error:
            # The current holder is unknown. Our own Lease counts until it expires.
            log.warning("leader election: %s", error)
            return
        if self._stop.is_set():
            return
        if not holds or self._clock() >= self._until:
            # Also if it is ours again: another replica may have led meanwhile, so all is looked at.
            self._set(False)
        if holds:
            self._until = asked + self._timing.renew
            self._set(self._clock() < self._until)

    def _try(self) -> bool:
        """Take or renew the Lease. Returns whether it is ours.

        Raises:
            ApiError: the API server refused it for another reason than that somebody was quicker.
            UnreachableError: no answer.
        """
        try:
            lease = self._request("GET", f"{self._path}/{self._name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return self._write("POST", self._path, {"metadata": {"name": self._name}}, {})
        spec = lease.get("spec") or {}
        self._holder = str(spec.get("holderIdentity") or "")
        version = str(lease["metadata"].get("resourceVersion"))
        # Clocks of different machines differ. So the age of a Lease counts from when this replica
        # saw it change, by its own clock.
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        duration = float(spec.get("leaseDurationSeconds") or self._timing.lease)
        if self._holder not in ("", self._identity) and self._clock() < self._seen[1] + duration:
            return False
        return self._write("PUT", f"{self._path}/{self._name}", lease, spec)

    def _write(self, method: str, path: str, lease: dict[str, Any], spec: dict[str, Any]) -> bool:
        now = _now()
        mine = spec.get("holderIdentity") == self._identity
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease["metadata"],
            "spec": {
                "holderIdentity": self._identity,
                # Whole seconds, and never less than our own duration.
                "leaseDurationSeconds": -int(-self._timing.lease // 1),
                "acquireTime": spec.get("acquireTime") if mine else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0)
                + (0 if mine or not spec else 1),
            },
        }
        try:
            self._held = self._request(method, path, body)
        except ApiError as error:
            if error.status == 409:  # somebody else was quicker
                return False
            raise
        self._holder = self._identity
        return True

    def _release(self, lease: dict[str, Any]) -> None:
        spec = {
            **lease["spec"],
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": _now(),
        }
        try:
            self._client.request(
                "PUT", f"{self._path}/{self._name}", body={**lease, "spec": spec}, timeout=_RELEASE
            )
        except RequestError as error:
            log.warning("the Lease cannot be given back, so its end is waited for: %s", error)
        else:
            log.info("gave the Lease back")

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        # Two tries must end before what is held does.
        timeout = max(0.5, (self._timing.renew - self._timing.retry) / 3)
        return self._client.request(method, path, body=body, timeout=timeout).body

    def _set(self, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            log.info("this replica, %s, %s", self._identity, "leads" if leads else "stands by")
            self._changed(leads)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
