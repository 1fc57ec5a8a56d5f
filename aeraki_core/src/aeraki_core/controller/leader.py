"""One of several replicas writes: the one that holds a Lease.

In: a client of the API server, the Lease's name, this replica's identity. Out: :meth:`Leader.may_write`, true only while
the Lease is
certainly ours by this process's own clock: a process that was paused past its lease wakes up and finds that it may not.

The protocol is client-go's: whoever sees an unchanged record for a whole lease duration takes it, by an update that the API server
refuses if somebody else was quicker. The kubernetes package's own ``leaderelection`` is not used: it can neither be
stopped nor give
its Lease back, and a broken connection ends its thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError, UnreachableError

__all__ = ["Leader", "Timing"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the defaults are client-go's.

    A Lease that was not renewed for ``lease`` is free; its holder gives up writing after ``renew``; tries are ``retry`` apart.
    """

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease > self.renew > self.retry > 0:
            raise ValueError(
                "leader election: the lease must be longer than the renew deadline, and that than the retry period"
            )


class Leader:
    """Holds or awaits the Lease in a thread of its own. ``changed`` is called from it with whether this replica leads."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        timing: Timing | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._identity = identity
        self._changed = changed
        self._timing = timing or Timing()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._until = 0.0  # by the monotonic clock
        self._leads = False
        self._seen: tuple[str, float] = ("", 0.0)  # the record's version, and when it was first seen

    def may_write(self) -> bool:
        """Whether the Lease is ours now. Ask before each write."""
        return self._leads and time.monotonic() < self._until

    @property
    def leads(self) -> bool:
        """Whether this replica believes that it leads."""
        return self._leads

    def start(self) -> None:
        """Begin to try for the Lease; returns at once."""
        self._thread = threading.Thread(target=self._run, name="leader-election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and give the Lease back so that another replica need not wait for its end. Call after the last write."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._timing.renew)
        if self._leads:
            self._release()
        self._set(False)

    def _run(self) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                holds = self._try()
            except (ApiError, UnreachableError) as error:
                log.warning("leader election: %s", error)
                holds = self._leads and asked < self._until  # not known: what is held is held until its end
            else:
                if holds:
                    self._until = asked + self._timing.renew
            self._set(holds and time.monotonic() < self._until)
            self._stop.wait(self._timing.retry)

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
        holder = spec.get("holderIdentity") or ""
        version = str(lease["metadata"].get("resourceVersion"))
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        duration = float(spec.get("leaseDurationSeconds") or self._timing.lease)
        if holder not in ("", self._identity) and time.monotonic() < self._seen[1] + duration:
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
                "leaseDurationSeconds": max(1, round(self._timing.lease)),
                "acquireTime": spec.get("acquireTime") if mine else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine or not spec else 1),
            },
        }
        try:
            self._request(method, path, body)
        except ApiError as error:
            if error.status == 409:  # somebody else was quicker
                return False
            raise
        return True

    def _release(self) -> None:
        try:
            lease = self._request("GET", f"{self._path}/{self._name}")
            spec = lease.get("spec") or {}
            if spec.get("holderIdentity") != self._identity:
                return
            lease["spec"] = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            self._request("PUT", f"{self._path}/{self._name}", lease)
        except (ApiError, UnreachableError) as error:
            log.warning("the Lease could not be given back, another replica waits for its end: %s", error)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        # A try must end before what is held does.
        timeout = max(1.0, self._timing.renew - self._timing.retry) / 2
        return self._client.request(method, path, body=body, timeout=timeout).body

    def _set(self, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            log.info("this replica, %s, %s", self._identity, "leads" if leads else "stands by")
            self._changed(leads)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
