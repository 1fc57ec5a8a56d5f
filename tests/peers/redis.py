"""Redis: servers, replicas, users, a real cluster, and a client that speaks as Envoy does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.waiting import wait_until

from .processes import Address, ServerProcess, free_address, free_port

SLOTS = 16384


def client(
    address: Address, *, user: str | None = None, password: str | None = None, **options: Any
) -> redis.Redis:
    """RESP2, and no command but the caller's: no HELLO, no CLIENT SETINFO, no retries."""
    host, port = address
    chosen: dict[str, Any] = {
        "protocol": 2,
        "username": user,
        "password": password,
        "decode_responses": True,
        "socket_timeout": 10,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
    }
    return redis.Redis(host, port, **(chosen | options))


class RedisServer(ServerProcess):
    """With `password`, the default user needs it; with `user` too, only that user gets in."""

    def __init__(
        self,
        name: str,
        address: Address | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        replica_of: RedisServer | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.address: Address = address or free_address()
        self.user = user
        self.password = password
        self._replica = replica_of is not None
        host, port = self.address
        argv = ["redis-server", "--bind", host, "--port", str(port)]
        argv += ["--save", "", "--enable-debug-command", "local", "--repl-diskless-sync-delay", "0"]
        if user and password:
            argv += ["--user", user, "on", f">{password}", "~*", "&*", "+@all"]
            argv += ["--user", "default", "off"]
        elif password:
            argv += ["--requirepass", password]
        if replica_of is not None:
            argv += ["--replicaof", *map(str, replica_of.address)]
            if replica_of.user:
                argv += ["--masteruser", replica_of.user]
            if replica_of.password:
                argv += ["--masterauth", replica_of.password]
        for option, value in (options or {}).items():
            argv += [f"--{option}", value]
        super().__init__(name, argv, address=self.address, ready=self._serves)

    def client(self, **options: Any) -> redis.Redis:
        """Straight to this server."""
        return client(self.address, **({"user": self.user, "password": self.password} | options))

    def option(self, name: str) -> str:
        """What it was started with."""
        return self.argv[self.argv.index(f"--{name}") + 1]

    def info(self, section: str) -> dict[str, Any]:
        """A section of its INFO."""
        with self.client() as direct:
            return cast(dict[str, Any], direct.info(section))

    def _serves(self) -> bool:
        try:
            info = self.info("replication")
        except redis.ConnectionError:
            return False
        return not self._replica or info["master_link_status"] == "up"

    def commands(self) -> dict[str, int]:
        """How many of each command came, by its name in lower case, since the start."""
        stats = self.info("commandstats")
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}

    def keys(self) -> set[str]:
        with self.client() as direct:
            return set(direct.scan_iter(count=1000))


class RedisCluster:
    """Three primaries, or more, that share the slots evenly, and replicas of the first `replicas`.

    A context manager that forms and stops the cluster. `servers` are the primaries, `replicas` the
    others.
    """

    def __init__(
        self,
        size: int = 3,
        host: str = "127.0.0.1",
        *,
        replicas: int = 0,
        password: str | None = None,
    ) -> None:
        self.servers = [self._server(f"primary{number}", host, password) for number in range(size)]
        self.replicas = [
            self._server(f"replica{number}", host, password) for number in range(replicas)
        ]
        self._everyone = [*self.servers, *self.replicas]
        self._running = ExitStack()

    @staticmethod
    def _server(name: str, host: str, password: str | None) -> RedisServer:
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port(host)),
            "cluster-announce-ip": host,
        }
        if password:
            options["masterauth"] = password
        return RedisServer(name, free_address(host), password=password, options=options)

    def __enter__(self) -> Self:
        self._write_nodes()
        with ExitStack() as starting:
            for server in self._everyone:
                starting.enter_context(server)
            for server in self._everyone:
                wait_until(partial(self._formed, server), 20, f"{server.name} to know the cluster")
            if self.replicas:
                self._show_replicas()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: Any) -> None:
        self._running.close()

    def _write_nodes(self) -> None:
        """Write all other nodes into each node's own file: meeting would take seconds."""
        size = len(self.servers)
        ids = {server.name: secrets.token_hex(20) for server in self._everyone}
        roles: dict[str, str] = {}
        for number, server in enumerate(self.servers):
            slots = f"{SLOTS * number // size}-{SLOTS * (number + 1) // size - 1}"
            roles[server.name] = f"master - 0 0 {number + 1} connected {slots}"
        for number, server in enumerate(self.replicas):
            roles[server.name] = (
                f"slave {ids[self.servers[number].name]} 0 0 {number + 1} connected"
            )
        for server in self._everyone:
            lines = [f"vars currentEpoch {size} lastVoteEpoch 0"]
            for each in self._everyone:
                host, port = each.address
                own = "myself," if each is server else ""
                lines.append(
                    f"{ids[each.name]} {host}:{port}@{each.option('cluster-port')} "
                    f"{own}{roles[each.name]}"
                )
            (server.folder / "nodes.conf").write_text("\n".join([*lines, ""]))

    def _formed(self, server: RedisServer) -> bool:
        state = self._do(server, "INFO")["cluster_state"]
        return bool(
            state == "ok" and server.info("replication").get("master_link_status", "up") == "up"
        )

    def _show_replicas(self) -> None:
        """Nodes list a replica once they heard from it that something was written to it."""
        for server in self.servers:
            with server.client() as direct:
                direct.flushall()
        for server in self._everyone:
            wait_until(
                partial(self._lists_replicas, server), 20, f"{server.name} to list the replicas"
            )

    def _lists_replicas(self, server: RedisServer) -> bool:
        return sum(len(shard) - 3 for shard in self._do(server, "SLOTS")) == len(self.replicas)

    @staticmethod
    def _do(server: RedisServer, *command: object) -> Any:
        with server.client() as direct:
            return direct.execute_command(f"CLUSTER {command[0]}", *command[1:])

    def owner(self, key: str) -> RedisServer:
        """The server of the key's slot, as the first server sees it."""
        return self.owner_of_slot(int(self._do(self.servers[0], "KEYSLOT", key)))

    def owner_of_slot(self, slot: int, seen_by: RedisServer | None = None) -> RedisServer:
        for first, last, (_, port, *_), *_ in self._do(seen_by or self.servers[0], "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.address[1] == port)
        raise KeyError(slot)

    @contextmanager
    def moving_slot(self, slot: int, to: RedisServer) -> Iterator[None]:
        """In the block the slot is on its way: its keys are at the old owner, misses get an ASK."""
        source = self.owner_of_slot(slot)
        source_id, target_id = self._do(source, "MYID"), self._do(to, "MYID")
        self._do(to, "SETSLOT", slot, "IMPORTING", source_id)
        self._do(source, "SETSLOT", slot, "MIGRATING", target_id)
        yield
        with source.client() as direct:
            while keys := cast(Any, direct.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)):
                direct.migrate(*to.address, keys, 0, 5000, auth=to.password)
        # The new owner first: it bumps its epoch, so that its word counts everywhere.
        for server in [to, source, *self.servers]:
            self._do(server, "SETSLOT", slot, "NODE", target_id)

    def move_slot(self, slot: int, to: RedisServer) -> None:
        """With its keys; every server knows when this returns."""
        with self.moving_slot(slot, to):
            pass
