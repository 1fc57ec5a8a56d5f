"""Apache Dubbo itself: a provider and a consumer in Java (`java_dubbo/`), of any version of Dubbo.

The provider answers as `dubbo.DubboServer` does. Its methods: sayHello(str), sayBye(str),
echo(str, int), payload(size), pause(milliseconds), fail(text).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from .dubbo import HELLO, OTHER
from .maven import JAVA, build
from .processes import Address, PeerError, ServerProcess, free_address

VERSIONS = ("2.7.23", "3.3.6")


@dataclass(frozen=True)
class Service:
    interface: str = HELLO
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Outcome:
    """Of a call: the provider's JSON, or the error as the user of Dubbo sees it."""

    value: Any = None
    error: str = ""  # the exception's class, without its package
    message: str = ""

    @property
    def server(self) -> str:
        """Who answered."""
        if self.error:
            raise AssertionError(f"no answer but {self}")
        return str(self.value["server"])


@dataclass(frozen=True)
class Counts:
    """Of a load: how many calls each server answered, and how many failed with which message."""

    servers: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return sum(self.servers.values())

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def _host(host: str) -> str:
    """A loopback address in a form that Dubbo takes.

    Dubbo thinks 127.* a mistake: it listens on all addresses instead, and connects to another
    address of the machine. It looks at the text, and Java reads a single number as an address too.
    """
    return str(int(IPv4Address(host)))


def jars(version: str) -> Path:
    """The folder with the peers and this version of Dubbo."""
    return build(Path(__file__).with_name("java_dubbo"), dubbo_version=version)


def _java(version: str, main: str, settings: Mapping[str, object]) -> list[str]:
    opened = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "math", "util")]
    # Dubbo 3 keeps files in the home folder; the working directory is the process's own.
    options = ["-Xmx256m", "-Duser.home=.", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    # Else Dubbo 3 has a metadata service too, at port 20880 of all addresses.
    options.append("-Ddubbo.application.register-mode=interface")
    name = f"org.aeraki.peers.{main}"
    return [*JAVA, *opened, *options, "-cp", f"{jars(version)}/*", name, json.dumps(settings)]


class DubboProvider(ServerProcess):
    def __init__(
        self,
        dubbo: str,
        name: str,
        address: Address | None = None,
        *,
        services: Sequence[Service] = (Service(), Service(OTHER)),
        heartbeat_ms: int | None = None,
    ) -> None:
        self.address: Address = address or free_address()
        host, port = self.address
        settings: dict[str, object] = {"name": name, "host": _host(host), "port": port}
        settings["services"] = [asdict(each) for each in services]
        if heartbeat_ms is not None:
            settings["heartbeat_ms"] = heartbeat_ms
        argv = _java(dubbo, "Provider", settings)
        # Not the open port: that comes with the first service, before the others.
        super().__init__(
            name, argv, address=self.address, ready=lambda: "ready" in self.log.splitlines()
        )


class DubboConsumer(ServerProcess):
    """One JVM for many calls to one interface at one address."""

    def __init__(
        self,
        dubbo: str,
        address: Address,
        service: Service | None = None,
        *,
        connections: int = 1,
        timeout: float = 10.0,
        heartbeat_ms: int | None = None,
    ) -> None:
        host, port = address
        chosen = {name: value for name, value in asdict(service or Service()).items() if value}
        settings: dict[str, object] = {**chosen, "address": f"{_host(host)}:{port}"}
        settings |= {"connections": connections, "timeout_ms": int(timeout * 1000)}
        if heartbeat_ms is not None:
            settings["heartbeat_ms"] = heartbeat_ms
        argv = _java(dubbo, "Consumer", settings)
        super().__init__("consumer", argv, ready=self._greeted, pipes=True)

    def _greeted(self) -> bool:
        return "ready" in self.stdout.readline()

    def _ask(self, what: str, **more: object) -> dict[str, Any]:
        self.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.stdin.flush()
        line = self.stdout.readline()
        if not line:
            raise PeerError(f"the consumer ended: {self.describe()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def call(
        self, method: str, *args: object, attachments: Mapping[str, str] | None = None
    ) -> Outcome:
        answer = self._ask("call", method=method, args=args, attachments=attachments or {})
        if "error" in answer:
            return Outcome(error=answer["error"], message=answer["message"])
        return Outcome(json.loads(answer["reply"]))

    def load(
        self,
        method: str,
        *args: object,
        calls: int,
        threads: int = 16,
        attachments: Mapping[str, str] | None = None,
    ) -> Counts:
        """So many calls, from several threads at once."""
        self._start_load(method, args, threads, attachments, calls=calls)
        return Counts(**self._ask("load-wait"))

    def start_load(
        self,
        method: str,
        *args: object,
        threads: int = 4,
        attachments: Mapping[str, str] | None = None,
        pause_ms: int = 0,
    ) -> None:
        """Calls without end, until `stop_load`; each thread pauses after each call."""
        self._start_load(method, args, threads, attachments, pause_ms=pause_ms)

    def _start_load(
        self,
        method: str,
        args: Sequence[object],
        threads: int,
        attachments: Mapping[str, str] | None,
        **more: int,
    ) -> None:
        call = {"method": method, "args": args, "attachments": attachments or {}}
        self._ask("load-start", threads=threads, **call, **more)

    def load_counts(self) -> Counts:
        """So far."""
        return Counts(**self._ask("load-counts"))

    def mark_load(self) -> None:
        """From now on `recent_counts` counts only calls that begin after this."""
        self._ask("load-mark")

    def recent_counts(self) -> Counts:
        """Of the calls that began after the last `mark_load`."""
        return Counts(**self._ask("load-recent"))

    def stop_load(self) -> Counts:
        return Counts(**self._ask("load-stop"))
