"""Redis: servers, replicas, users, a real cluster, and a client that speaks as Envoy does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .processes import Address, ServerProcess, free_address, free_port, wait_until

SLOTS = 16384


def client(address: Address, *, user: str | None = None, password: str | None = None, **options: Any) -> redis.Redis:
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
    """Three primaries, or more, that share the slots evenly. A context manager: formed, stopped."""

    def __init__(self, size: int = 3, host: str = "127.0.0.1", *, password: str | None = None) -> None:
        self.servers = [self._server(number, host, password) for number in range(size)]
        self._running = ExitStack()

    @staticmethod
    def _server(number: int, host: str, password: str | None) -> RedisServer:
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port(host)),
            "cluster-announce-ip": host,
        }
        if password:
            options["masterauth"] = password
        name = f"primary{number}"
        return RedisServer(name, free_address(host), password=password, options=options)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for server in self.servers:
                starting.enter_context(server)
            self._form()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: Any) -> None:
        self._running.close()

    @contextmanager
    def replica_of(self, primary: RedisServer) -> Iterator[RedisServer]:
        """One more node for the block, a replica; in step with its primary, and every server knows."""
        host, _ = primary.address
        server = self._server(len(self.servers), host, primary.password)
        with server:
            # The other way round it would have to be told the bus port of a running server.
            self._do(self.servers[0], "MEET", host, server.address[1], server.option("cluster-port"))
            primary_id = self._do(primary, "MYID")
            wait_until(lambda: primary_id in self._do(server, "NODES"), "the replica to know its primary")
            self._do(server, "REPLICATE", primary_id)
            for each in [*self.servers, server]:
                wait_until(partial(self._knows_replica, each, server), f"{each.name} to know the replica")
            wait_until(lambda: server.info("replication")["master_link_status"] == "up", "the replica to be in step")
            yield server

    def _knows_replica(self, server: RedisServer, replica: RedisServer) -> bool:
        shards = self._do(server, "SLOTS")
        return any(port == replica.address[1] for _, _, _, *replicas in shards for _, port, *_ in replicas)

    def _form(self) -> None:
        size = len(self.servers)
        host, port = self.servers[0].address
        bus = self.servers[0].option("cluster-port")
        for number, server in enumerate(self.servers):
            first, last = SLOTS * number // size, SLOTS * (number + 1) // size - 1
            # Epochs of their own, or the nodes settle by collisions, which takes seconds.
            self._do(server, "SET-CONFIG-EPOCH", number + 1)
            self._do(server, "ADDSLOTSRANGE", first, last)
            if number:
                self._do(server, "MEET", host, port, bus)
        for server in self.servers:
            known = partial(self._formed, server)
            wait_until(known, f"{server.name} to know the cluster", timeout=20)

    def _formed(self, server: RedisServer) -> bool:
        info = self._do(server, "INFO")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.servers)

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
