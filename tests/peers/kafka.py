"""Kafka: a real broker, a single KRaft node, and clients of confluent-kafka's."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from .maven import JAVA, build
from .processes import Address, PeerError, ServerProcess, accepts, free_address, free_port


def jars() -> Path:
    """The folder with the broker."""
    return build(Path(__file__).with_name("java_kafka"))


class KafkaBroker(ServerProcess):
    """`advertised` is where it sends its clients, when that is not itself but a proxy."""

    def __init__(
        self,
        name: str = "kafka",
        address: Address | None = None,
        *,
        node: int = 1,
        advertised: Address | None = None,
    ) -> None:
        self.address: Address = address or free_address()
        self._java = [*JAVA, "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]
        self._java += ["-cp", f"{jars()}/*"]
        argv = [*self._java, "kafka.Kafka", "server.properties"]
        super().__init__(name, argv, address=self.address, ready=self._serves, timeout=60)
        host, port = self.address
        shown = advertised or self.address
        controller = f"{host}:{free_port(host)}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": f"{node}@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{shown[0]}:{shown[1]}",
            "log.dirs": self.folder / "data",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # A group of one need not wait for others.
            "group.initial.rebalance.delay.ms": 0,
            "message.max.bytes": 16 * 1024 * 1024,
            "auto.create.topics.enable": "false",
        }
        lines = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / "server.properties").write_text(lines)

    def start(self) -> KafkaBroker:
        if not (self.folder / "data").exists():
            self._format()
        return super().start()

    def _format(self) -> None:
        """A KRaft node starts only on a formatted log directory."""
        command = [*self._java, "kafka.tools.StorageTool", "format"]
        command += ["--cluster-id", uuid.uuid4().hex, "--config", "server.properties"]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise PeerError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")

    def _serves(self) -> bool:
        return accepts(self.address) and "Kafka Server started" in self.log


def _client(address: Address, **settings: str | int) -> dict[str, Any]:
    """The settings of librdkafka; `_` stands for `.`."""
    host, port = address
    chosen = {name.replace("_", "."): value for name, value in settings.items()}
    return {"bootstrap.servers": f"{host}:{port}", "log_level": 0, **chosen}


def create_topic(address: Address, topic: str, partitions: int = 1) -> None:
    admin = AdminClient(_client(address))
    for created in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        created.result(timeout=15)


def produce(
    address: Address, topic: str, values: Sequence[bytes], *, timeout: float = 15.0
) -> None:
    """Until the broker has acknowledged every value; PeerError with what went wrong."""
    producer = Producer(_client(address, message_timeout_ms=int(timeout * 1000)))
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            errors.append(error)

    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
    left = producer.flush(timeout + 1)
    if errors or left:
        raise PeerError(f"{left} of {len(values)} messages left, errors: {errors}")


def consume(
    address: Address, topic: str, count: int, *, group: str = "peers", timeout: float = 15.0
) -> list[bytes]:
    """The first `count` values that the group has not seen yet."""
    with _consumer(address, group) as consumer:
        consumer.subscribe([topic])
        values: list[bytes] = []
        while len(values) < count:
            message = consumer.poll(timeout)
            if message is None:
                raise PeerError(f"{len(values)} of {count} messages within {timeout} s")
            if error := message.error():
                raise PeerError(str(error))
            values.append(message.value() or b"")
        return values


@contextmanager
def _consumer(address: Address, group: str) -> Iterator[Consumer]:
    # The first join at a new broker may take 3 s: librdkafka's pause while the coordinator loads.
    consumer = Consumer(_client(address, group_id=group, auto_offset_reset="earliest"))
    try:
        yield consumer
    finally:
        consumer.close()
