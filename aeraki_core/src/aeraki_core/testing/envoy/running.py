"""A running Envoy: its log as it is written, its admin interface, its end."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aeraki_core.testing.envoy.binary import EnvoyError
from aeraki_core.testing.envoy.local import Address
from aeraki_core.testing.envoy.log import LogRecord, parse_log, reason_of

__all__ = ["RunningEnvoy"]

T = TypeVar("T")

_TICK = 0.01  # seconds between two looks at something that Envoy does not announce
_STOP_TIMEOUT = 5.0


class _AdminConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class RunningEnvoy:
    """One Envoy process, made by ``Envoy.run``; ``bootstrap`` is what it was started with."""

    def __init__(
        self, child: subprocess.Popen[bytes], admin: Path, bootstrap: Mapping[str, Any]
    ) -> None:
        self.bootstrap = bootstrap
        self._child = child
        self._admin = admin
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._warnings: tuple[str, ...] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self._child.stdout is None:
            raise EnvoyError("Envoy was started without a pipe for its output")
        with self._child.stdout as pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line.decode(errors="replace"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    # -- its life

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal, as when it crashed."""
        return self._child.poll()

    def wait_until_live(self, timeout: float = 30.0) -> None:
        """Wait until it serves.

        Raises:
            EnvoyError: it ended, or does not serve within ``timeout`` seconds; with the reason.
        """
        self.wait_for(lambda: self._ready() == "LIVE", timeout, "to be live")

    def _ready(self) -> str:
        try:
            return self.admin("/ready").strip()
        except (OSError, http.client.HTTPException):
            return ""

    def wait_for(self, condition: Callable[[], T | None], timeout: float, what: str) -> T:
        """Wait for a true ``condition``; ``what`` completes "waited 10 s for Envoy ...".

        Raises:
            EnvoyError: Envoy ended, or the condition did not come true within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            if value := condition():
                return value
            if self.exit_code is not None:
                self._reader.join()
                raise EnvoyError(f"Envoy ended with {self.exit_code}: {self._reason()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise EnvoyError(f"waited {timeout:g} s for Envoy {what}; {self._reason()}")
            with self._changed:
                self._changed.wait(min(_TICK, left))

    def _reason(self) -> str:
        bad = [record for record in self.records if record.is_warning]
        if bad:
            return "\n".join(reason_of(record.text) for record in bad)
        return f"the end of its log:\n{''.join(self._lines[-20:])}"

    def stop(self) -> None:
        """End it; does nothing when it has ended."""
        if self._warnings is None:
            self._warnings = self.warnings  # its words about the signal are no warnings
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._reader.join()

    # -- what it says

    @property
    def log(self) -> str:
        """All that it has written so far."""
        with self._changed:
            return "".join(self._lines)

    @property
    def records(self) -> list[LogRecord]:
        """Its log as records."""
        with self._changed:
            return parse_log(self._lines)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Its warnings and errors; a sound configuration gives none."""
        if self._warnings is not None:
            return self._warnings
        return tuple(reason_of(str(record)) for record in self.records if record.is_warning)

    def wait_for_log(self, text: str, timeout: float = 10.0) -> LogRecord:
        """Wait for the first record that contains ``text``.

        Raises:
            EnvoyError: there is none within ``timeout`` seconds.
        """

        def find() -> LogRecord | None:
            return next((item for item in self.records if text in item.text), None)

        return self.wait_for(find, timeout, f"to log {text!r}")

    # -- the admin interface

    def admin(self, path: str, method: str = "GET") -> str:
        """Return the admin interface's answer for a path such as ``/clusters``.

        Raises:
            OSError: it does not answer.
        """
        connection = _AdminConnection(self._admin, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose name begins with ``prefix``."""
        stats = json.loads(self.admin("/stats?format=json"))["stats"]
        return {
            item["name"]: item["value"]
            for item in stats
            if "value" in item and item["name"].startswith(prefix)
        }

    def wait_for_stat(self, name: str, at_least: int = 1, timeout: float = 10.0) -> int:
        """Wait until a counter or gauge has reached ``at_least``; return its value.

        Raises:
            EnvoyError: it has not within ``timeout`` seconds.
        """

        def reached() -> bool:
            return self.stats(name).get(name, 0) >= at_least

        self.wait_for(reached, timeout, f"to count {at_least} of {name}")
        return self.stats(name)[name]

    def listeners(self) -> dict[str, Address]:
        """Return the address of each active listener, bound or not, by name."""
        statuses = json.loads(self.admin("/listeners?format=json")).get("listener_statuses", [])
        return {
            item["name"]: (
                item["local_address"]["socket_address"]["address"],
                item["local_address"]["socket_address"].get("port_value", 0),
            )
            for item in statuses
        }

    def clusters(self) -> dict[str, tuple[Address, ...]]:
        """Return the endpoints of each cluster, by name."""
        statuses = json.loads(self.admin("/clusters?format=json")).get("cluster_statuses", [])
        addresses: dict[str, tuple[Address, ...]] = {}
        for item in statuses:
            at = (
                host.get("address", {}).get("socket_address")
                for host in item.get("host_statuses", ())
            )
            addresses[item["name"]] = tuple(
                (each["address"], each["port_value"]) for each in at if each
            )
        return addresses

    def config_dump(self) -> dict[str, Any]:
        """Return the configuration as Envoy has it (``/config_dump``)."""
        dump: dict[str, Any] = json.loads(self.admin("/config_dump"))
        return dump
