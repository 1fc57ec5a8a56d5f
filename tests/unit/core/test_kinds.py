"""Two plugins with kinds of one name, in groups of their own, do not see each other's objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aeraki_core.testing import generate, resource, service
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from pydantic import BaseModel

from aeraki_core import Extension, GenerateContext, Kind, Patch, Protocol, hookimpl

TCP_PROXY = "envoy.filters.network.tcp_proxy"


class PolicySpec(BaseModel):
    host: str
    word: str


class Reader:
    """Writes the words of its policies into the stat prefix."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.kind = Kind(
            group=f"{name}.example.com",
            version="v1",
            kind="Policy",
            plural="policies",
            spec=PolicySpec,
            summary="A word",
            hosts=lambda spec: [spec.host],
        )

    @hookimpl
    def aeraki_protocols(self) -> Iterable[Protocol]:
        name = self.__name__
        extension = Extension(TCP_PROXY, stock=True)
        return [Protocol(name=name, tokens=(name,), extension=extension, summary="Words")]

    @hookimpl
    def aeraki_resources(self) -> Iterable[Kind[Any]]:
        return [self.kind]

    @hookimpl
    def aeraki_generate(self, context: GenerateContext) -> Iterator[Patch]:
        words = "+".join(policy.spec.word for policy in context.resources(self.kind))
        proxy = TcpProxy(stat_prefix=words, cluster=context.outbound.cluster)
        yield context.outbound.replace_tcp_proxy(TCP_PROXY, proxy)


def test_objects_of_one_name_belong_to_their_groups() -> None:
    left, right = Reader("left"), Reader("right")
    made = generate(
        service("left", {"tcp-left": 7000}),
        service("right", {"tcp-right": 7001}),
        resource(left.kind, "policy", host="left", word="red"),
        resource(right.kind, "policy", host="right", word="blue"),
        plugins=[left, right],
    )
    prefixes = [
        patch["patch"]["value"]["typed_config"]["stat_prefix"]
        for patch in made.patches("NETWORK_FILTER")
    ]
    assert prefixes == ["red", "blue"]
    assert made.findings == ()
