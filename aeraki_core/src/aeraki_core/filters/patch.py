"""Patches: what a generator changes in a sidecar's configuration, as frozen values.

The core hands a plugin :class:`Outbound` and :class:`Inbound`, the two places where a patch can go;
their methods make :class:`Patch` values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from sys import intern
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

__all__ = [
    "ADDED_PREFIX",
    "ApplyTo",
    "ExtendedSide",
    "FrozenMessage",
    "Inbound",
    "Operation",
    "Outbound",
    "Patch",
    "Side",
    "pack",
]


def _check_message(value: object) -> None:
    if not isinstance(value, Message):
        raise TypeError(
            f"a config is one of Envoy's messages (of xds-protos), not a {type(value).__name__}"
        )


@dataclass(frozen=True, slots=True)
class FrozenMessage:
    """A protobuf message that cannot change.

    Its type's full name and its deterministic bytes, which decide equality.

    The bytes may hold a password, so they do not print.
    """

    type_name: str
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, message: Message) -> FrozenMessage:
        """A copy of the message.

        Raises:
            TypeError: it is none.
        """
        _check_message(message)
        return cls(
            intern(message.DESCRIPTOR.full_name), message.SerializeToString(deterministic=True)
        )

    def message(self) -> Message:
        """A new message of the same content.

        Raises:
            KeyError: the module that defines the type was not imported.
        """
        message = _message_class(self.type_name)()
        message.ParseFromString(self.data)
        return message


@cache
def _message_class(type_name: str) -> type[Message]:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(type_name)
    return message_factory.GetMessageClass(descriptor)


class ApplyTo(StrEnum):
    """What of a sidecar's configuration a patch changes (Istio's EnvoyFilter.ApplyTo)."""

    NETWORK_FILTER = "NETWORK_FILTER"
    CLUSTER = "CLUSTER"
    LISTENER = "LISTENER"


class Operation(StrEnum):
    """How it changes it (Istio's EnvoyFilter.Patch.Operation).

    CLUSTER ``REPLACE`` becomes REMOVE and ADD.
    """

    REPLACE = "REPLACE"
    INSERT_BEFORE = "INSERT_BEFORE"
    MERGE = "MERGE"
    ADD = "ADD"


def pack(message: Message) -> AnyMessage:
    """The message as an ``Any``, in the same bytes each time.

    Protobuf's own ``Pack`` orders maps by chance.

    Raises:
        TypeError: it is no message.
    """
    _check_message(message)
    return AnyMessage(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(deterministic=True),
    )


@cache
def _filter_class() -> Any:
    """Envoy's Filter. Imported for the first patch, because most commands make none."""
    from envoy.config.listener.v3.listener_components_pb2 import Filter

    return Filter


ADDED_PREFIX = "aeraki-"
"""How the names of added clusters begin. Istio gives no cluster such a name."""

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_LISTENER = "envoy.config.listener.v3.Listener"


def _require(message: object, type_name: str, method: str) -> None:
    """Refuse a message of another type; istiod would drop the patch without a word.

    Raises:
        TypeError: it is of another type.
    """
    _check_message(message)
    actual = message.DESCRIPTOR.full_name  # type: ignore[attr-defined]
    if actual != type_name:
        raise TypeError(f"{method} takes a {type_name}, not a {actual}")


def _name_of(cluster: Message, method: str) -> str:
    """The name of a cluster.

    Raises:
        TypeError: it is no cluster.
        ValueError: it has no name.
    """
    _require(cluster, _CLUSTER, method)
    name: str = cluster.name  # type: ignore[attr-defined]
    if not name:
        raise ValueError(f"{method}: the cluster has no name")
    return name


@dataclass(frozen=True, slots=True)
class Side:
    """One place where a service port's traffic can be changed; make patches with its methods.

    ``cluster`` is Istio's cluster of that side, ``stat_prefix`` the prefix for its filter's stats.
    """

    cluster: str
    stat_prefix: str

    def replace_tcp_proxy(self, name: str, config: Message) -> Patch:
        """Put the Envoy filter ``name`` with that config in the place of tcp_proxy."""
        return self._filter(Operation.REPLACE, name, config)

    def insert_before_tcp_proxy(self, name: str, config: Message) -> Patch:
        """The filter ``name`` with that config runs before tcp_proxy."""
        return self._filter(Operation.INSERT_BEFORE, name, config)

    def merge_cluster(self, cluster: Message, subset: str | None = None) -> Patch:
        """Merge into Istio's cluster of the port.

        Without ``subset`` into all its clusters, ``""`` for the one without subset.

        ``cluster`` is an ``envoy.config.cluster.v3.Cluster`` that holds only what is to be merged.
        """
        _require(cluster, _CLUSTER, "merge_cluster")
        return Patch(
            side=self,
            apply_to=ApplyTo.CLUSTER,
            operation=Operation.MERGE,
            value=FrozenMessage.of(cluster),
            name="",
            subset=subset,
        )

    def added_name(self, word: str) -> str:
        """The name of a cluster that the plugin adds here; ``word`` tells several apart.

        It holds the name of Istio's cluster, so it is neither Istio's nor that of another service.
        """
        return f"{ADDED_PREFIX}{word}|{self.cluster}"

    def add_cluster(self, cluster: Message) -> Patch:
        """One more cluster for the sidecars that get this service's filter.

        Its name is one that :meth:`added_name` gives.
        """
        name = _name_of(cluster, "add_cluster")
        return Patch(
            side=self,
            apply_to=ApplyTo.CLUSTER,
            operation=Operation.ADD,
            value=FrozenMessage.of(cluster),
            name=name,
        )

    def merge_listener(self, listener: Message) -> Patch:
        """Merge into the listeners of this side (``envoy.config.listener.v3.Listener``).

        Inbound that is the one listener of the workload, so all its ports are changed.
        """
        _require(listener, _LISTENER, "merge_listener")
        return Patch(
            side=self,
            apply_to=ApplyTo.LISTENER,
            operation=Operation.MERGE,
            value=FrozenMessage.of(listener),
        )

    def _filter(self, operation: Operation, name: str, config: Message) -> Patch:
        wanted: object = name
        if not isinstance(wanted, str) or not wanted or not wanted.isprintable():
            raise ValueError(f"{wanted!r:.80} is no name of a filter: write Envoy's name of it")
        value = _filter_class()(name=name, typed_config=pack(config))
        # As plain text: a StrEnum would do until it is written as YAML.
        return Patch(
            side=self,
            apply_to=ApplyTo.NETWORK_FILTER,
            operation=operation,
            value=FrozenMessage.of(value),
            name=str(name),
        )


@dataclass(frozen=True, slots=True)
class Outbound(Side):
    """The clients' side: the service port's listeners in every sidecar that may call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound(Side):
    """The workload's side.

    The chains of one target port, in the sidecars that the selector selects.
    """

    target_port: int
    selector: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What to put where; the core decides in which EnvoyFilter it is written.

    Make one with the methods of :class:`Side`.

    ``name`` is the filter's or the cluster's name, as the operation needs it.
    """

    side: Side
    apply_to: ApplyTo
    operation: Operation
    value: FrozenMessage
    name: str = ""
    subset: str | None = None
    plugin: str = ""
    """The plugin whose add-on made it; empty for the protocol's own."""


TCP_PROXY = "envoy.filters.network.tcp_proxy"


@dataclass(frozen=True, slots=True)
class ExtendedSide:
    """One side of a port that an add-on extends, with the patches of the protocol's plugin."""

    side: Side
    """The side as the protocol's plugin has it."""

    @property
    def cluster(self) -> str:
        """Istio's cluster of the side."""
        return self.side.cluster

    @property
    def stat_prefix(self) -> str:
        """The prefix for the stats of filters there."""
        return self.side.stat_prefix

    def insert_before_protocol(self, name: str, config: Message) -> Patch:
        """The filter ``name`` with that config runs before the protocol's filter."""
        return self.side.insert_before_tcp_proxy(name, config)

    def merge_tcp_proxy(self, config: Message) -> Patch:
        """Merge into tcp_proxy (``envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy``).

        Without effect where the protocol's filter takes the place of tcp_proxy.
        """
        _require(
            config, "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "merge_tcp_proxy"
        )
        value = _filter_class()(name=TCP_PROXY, typed_config=pack(config))
        frozen = FrozenMessage.of(value)
        return Patch(
            side=self.side,
            apply_to=ApplyTo.NETWORK_FILTER,
            operation=Operation.MERGE,
            value=frozen,
            name=TCP_PROXY,
        )

    def merge_cluster(self, cluster: Message, subset: str | None = None) -> Patch:
        """Merge into Istio's cluster of the port; see :meth:`Side.merge_cluster`."""
        return self.side.merge_cluster(cluster, subset)

    def merge_listener(self, listener: Message) -> Patch:
        """Merge into the listeners; see :meth:`Side.merge_listener`."""
        return self.side.merge_listener(listener)

    def insert_listener_filter(self, name: str, config: Message) -> Patch:
        """The listener filter ``name`` with that config runs after those of Istio."""
        from envoy.config.listener.v3.listener_components_pb2 import ListenerFilter
        from envoy.config.listener.v3.listener_pb2 import Listener

        added = ListenerFilter(name=name, typed_config=pack(config))
        return self.side.merge_listener(Listener(listener_filters=[added]))
