"""ZooKeeper: Debian's server, stand-alone, and a client of kazoo's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient

from .maven import JAVA
from .processes import Address, ServerProcess, free_address

# zookeeper.jar's manifest names the rest; slf4j-simple comes first so that the log goes to stderr.
_JARS = "/usr/share/java/slf4j-simple.jar:/usr/share/java/zookeeper.jar"
_MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"


class ZooKeeperServer(ServerProcess):
    def __init__(self, name: str = "zookeeper", address: Address | None = None) -> None:
        self.address: Address = address or free_address()
        argv = [*JAVA, "-Xmx128m", "-cp", _JARS, _MAIN, "zoo.cfg"]
        super().__init__(name, argv, address=self.address, ready=self._serves)
        host, port = self.address
        (self.folder / "zoo.cfg").write_text(
            f"dataDir=data\nclientPortAddress={host}\nclientPort={port}\n"
            # A session lives two ticks at least: a test can see one expire within a second.
            "tickTime=200\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
            # Else 60 of one address, which all clients here share.
            "maxClientCnxns=0\n"
        )

    def ask(self, command: str) -> str:
        """A four-letter word's answer."""
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall(command.encode())
            parts = iter(lambda: connection.recv(65536), b"")
            return b"".join(parts).decode()

    def _serves(self) -> bool:
        try:
            return "Mode: standalone" in self.ask("srvr")
        except OSError:
            return False


@contextmanager
def client(address: Address, *, timeout: float = 10.0, **options: Any) -> Iterator[KazooClient]:
    """A session, which ends with the block. `timeout` is the session's."""
    host, port = address
    kazoo = KazooClient(f"{host}:{port}", timeout=timeout, **options)
    try:
        kazoo.start(timeout=15)
        yield kazoo
    finally:
        kazoo.stop()
        kazoo.close()
