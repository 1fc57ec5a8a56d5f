"""Runs the Envoy binary: to judge a configuration (``--mode validate``), or for traffic.

A process never outlives the block that started it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aeraki_core.testing.envoy.binary import EnvoyError, find_envoy, run_to_end, spawn
from aeraki_core.testing.envoy.bootstrap import ads_bootstrap, static_bootstrap
from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.envoy.log import LOG_FORMAT, parse_log, reason_of
from aeraki_core.testing.envoy.running import RunningEnvoy

__all__ = ["Envoy", "LiveEnvoy", "Verdict"]

_VALIDATE_TIMEOUT = 120.0
_DRAIN_SECONDS = 45  # as Istio's proxies


@dataclass(frozen=True, slots=True)
class Verdict:
    """Envoy's verdict on a configuration: errors stop it from loading, warnings do not."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Neither errors nor warnings."""
        return not self.errors and not self.warnings

    def __str__(self) -> str:
        lines = [f"error: {item}" for item in self.errors]
        lines += [f"warning: {item}" for item in self.warnings]
        return "\n".join(lines) or "clean"


class LiveEnvoy(RunningEnvoy):
    """A running Envoy whose listeners and clusters change with :meth:`push`."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        admin: Path,
        bootstrap: Mapping[str, Any],
        server: Any,
    ) -> None:
        super().__init__(child, admin, bootstrap)
        self._server = server

    def push(self, config: EnvoyConfig, timeout: float = 10.0) -> None:
        """Give it another configuration; return when Envoy has applied it.

        Raises:
            NackError: Envoy rejected it, with its message; the last good configuration stays.
            EnvoyError: no answer within ``timeout`` seconds.
        """
        self._server.push(config, timeout)
        self.settle(timeout)

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until the worker has every listener: Envoy acknowledges them a little earlier.

        Raises:
            EnvoyError: it has not within ``timeout`` seconds.
        """

        def settled() -> bool:
            count = self.stats("listener_manager.").get
            taken = sum(
                count(f"listener_manager.listener_{what}", 0) for what in ("added", "modified")
            )
            done = sum(
                count(f"listener_manager.listener_create_{what}", 0)
                for what in ("success", "failure")
            )
            return done >= taken

        self.wait_for(settled, timeout, "to hand its listeners to the worker")

    def stop(self) -> None:
        """End it and its management server."""
        super().stop()
        self._server.stop()


class Envoy:
    """An Envoy binary; ``path`` is what ``find_envoy`` gives."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls) -> Envoy:
        """Find the binary of this machine.

        Raises:
            EnvoyMissingError: there is none; the message says what to install.
        """
        return cls(find_envoy())

    @cached_property
    def version(self) -> str:
        """Its version, such as ``1.40.0``."""
        _, output = run_to_end([str(self.path), "--version"], 30)
        match = re.search(r"/(\d+\.\d+\.\d+\S*?)/", output)
        if match is None:
            raise EnvoyError(f"{self.path} is no Envoy: {output.strip()}")
        return match[1]

    @cached_property
    def _extension_list(self) -> tuple[Mapping[str, Any], ...]:
        with self.run(EnvoyConfig((), ())) as running:
            for part in running.config_dump()["configs"]:
                if "bootstrap" in part:
                    return tuple(part["bootstrap"]["node"]["extensions"])
        raise EnvoyError(f"{self.path} does not tell its extensions")

    @cached_property
    def extensions(self) -> frozenset[str]:
        """The names of all extensions that the binary has."""
        return frozenset(item["name"] for item in self._extension_list)

    @cached_property
    def type_urls(self) -> frozenset[str]:
        """The full names of the configuration types of its extensions."""
        return frozenset(
            name for item in self._extension_list for name in item.get("type_urls", ())
        )

    def lacking(self, config: EnvoyConfig) -> frozenset[str]:
        """Return the names of a configuration's network filters whose type this binary lacks."""
        missing = set()
        for _, item in _filters(config):
            if item.HasField("typed_config") and item.typed_config.TypeName() not in self.type_urls:
                missing.add(item.name)
        return frozenset(missing)

    def without(self, config: EnvoyConfig, names: frozenset[str]) -> EnvoyConfig:
        """Return the configuration without the network filters of those names."""
        listeners = []
        for listener in config.listeners:
            copied = type(listener)()
            copied.CopyFrom(listener)
            listeners.append(copied)
        remaining = EnvoyConfig(tuple(listeners), config.clusters)
        for chain in {id(chain): chain for chain, _ in _filters(remaining)}.values():
            kept = []
            for item in chain.filters:
                if item.name not in names:
                    copied = type(item)()
                    copied.CopyFrom(item)
                    kept.append(copied)
            del chain.filters[:]
            chain.filters.extend(kept)
        return remaining

    def validate(self, config: EnvoyConfig, *, tolerate: Collection[str] = ()) -> Verdict:
        """Return Envoy's verdict on a configuration; nothing is bound or connected.

        ``tolerate``: warnings that contain one of these texts are left out.

        Raises:
            ValueError: it cannot be written as JSON.
        """
        return self.validate_bootstrap(static_bootstrap(config), tolerate=tolerate)

    def validate_bootstrap(
        self, bootstrap: Mapping[str, Any], *, tolerate: Collection[str] = ()
    ) -> Verdict:
        """Return Envoy's verdict on a whole bootstrap."""
        with tempfile.TemporaryDirectory(prefix="aeraki-") as folder:
            path = Path(folder, "envoy.json")
            path.write_text(json.dumps(bootstrap), encoding="utf-8")
            argv = [*self._argv(path, "warning"), "--mode", "validate"]
            code, output = run_to_end(argv, _VALIDATE_TIMEOUT)
        records = parse_log(output.splitlines())
        bad = [record for record in records if record.is_warning]
        # Envoy reads a filter's configuration twice, so it warns twice.
        texts = dict.fromkeys((record.level, _shorten(record.text, path)) for record in bad)
        for level, text in list(texts):
            if level == "warning" and any(part in text for part in tolerate):
                del texts[(level, text)]
        if code == 0:
            return Verdict(warnings=tuple(text for _, text in texts))
        errors = tuple(text for level, text in texts if level != "warning")
        warnings = tuple(text for level, text in texts if level == "warning")
        return Verdict(errors or (f"Envoy ended with {code}: {output.strip()}",), warnings)

    def _argv(self, path: Path, level: str) -> list[str]:
        return [
            str(self.path),
            "--config-path",
            str(path),
            "--log-level",
            level,
            "--log-format",
            LOG_FORMAT,
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ]

    @contextmanager
    def run(
        self, config: EnvoyConfig, *, log_level: str = "info", timeout: float = 30.0
    ) -> Iterator[RunningEnvoy]:
        """Run Envoy for the block; it is live when the block begins, and stopped at its end.

        Raises:
            EnvoyError: it does not start; with its reason.
        """
        with tempfile.TemporaryDirectory(prefix="aeraki-") as folder:
            admin = Path(folder, "admin.sock")
            bootstrap = static_bootstrap(config, admin)
            child = self._start(Path(folder), bootstrap, log_level)
            running = RunningEnvoy(child, admin, bootstrap)
            try:
                running.wait_until_live(timeout)
                yield running
            finally:
                running.stop()

    @contextmanager
    def run_live(
        self,
        config: EnvoyConfig,
        *,
        log_level: str = "info",
        timeout: float = 30.0,
        drain_seconds: int = _DRAIN_SECONDS,
    ) -> Iterator[LiveEnvoy]:
        """The same with a management server: listeners and clusters can change while calls flow.

        ``drain_seconds``: how long connections of a changed listener may live on.
        """
        from aeraki_core.testing.envoy.ads import AdsServer

        with tempfile.TemporaryDirectory(prefix="aeraki-") as folder:
            admin, socket = Path(folder, "admin.sock"), Path(folder, "ads.sock")
            bootstrap = ads_bootstrap(socket, admin)
            server = AdsServer(socket)
            try:
                extra = ("--drain-time-s", str(drain_seconds), "--drain-strategy", "immediate")
                child = self._start(Path(folder), bootstrap, log_level, *extra)
            except BaseException:
                server.stop()
                raise
            running = LiveEnvoy(child, admin, bootstrap, server)
            try:
                server.push(config, timeout)  # the worker starts after its first listeners
                running.wait_until_live(timeout)
                running.settle(timeout)
                yield running
            finally:
                running.stop()

    def _start(
        self, folder: Path, bootstrap: Mapping[str, Any], level: str, *extra: str
    ) -> subprocess.Popen[bytes]:
        path = folder / "envoy.json"
        path.write_text(json.dumps(bootstrap), encoding="utf-8")
        return spawn([*self._argv(path, level), *extra], subprocess.PIPE)


def _shorten(text: str, path: Path) -> str:
    return reason_of(text).removeprefix(f"error initializing configuration '{path}': ")


def _filters(config: EnvoyConfig) -> Iterator[tuple[Any, Any]]:
    """Yield every network filter with the chain that it is in."""
    for listener in config.listeners:
        chains = list(listener.filter_chains)
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for chain in chains:
            for item in chain.filters:
                yield chain, item
