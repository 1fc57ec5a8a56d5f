"""Which clusters a plugin may change: those of its service port, and clusters of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from aeraki_core import GenerateContext, Outbound, Patch, Protocol, hookimpl
from tests.unit.core.echo import VOLUME, EchoPlugin, Mesher

_FOREIGN = "outbound|7000||other.shop.svc.cluster.local"
MakePatch = Callable[[GenerateContext], Patch]


class _ReachesOut(EchoPlugin):
    """An echo that changes one more cluster when it is loud."""

    def __init__(self, make: MakePatch) -> None:
        super().__init__()
        self._make = make

    @hookimpl
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
        yield from super().aeraki_generate(protocol, context)
        if context.option(VOLUME) == 7:
            yield self._make(context)


def _loud(make: MakePatch) -> Mesher:
    """A mesh whose service had a filter before its plugin became loud."""
    mesh = Mesher(_ReachesOut(make))
    for volume in ("3", "7"):
        mesh.service(annotations={f"echo.aeraki.io/{VOLUME.name}": volume})
        mesh.service("other", "10.0.0.2", ports=[{"name": "tcp", "port": 7000}])
        mesh.codes()
    return mesh


@pytest.mark.parametrize(
    "make",
    [
        lambda context: Outbound(_FOREIGN, _FOREIGN).merge_cluster(Cluster(alt_stat_name="x")),
        lambda context: context.outbound.add_cluster(Cluster(name=_FOREIGN)),
        lambda context: context.outbound.add_cluster(Cluster(name=context.outbound.cluster)),
        lambda context: context.outbound.add_cluster(Cluster(name="aeraki-echo")),
        lambda context: Outbound(_FOREIGN, _FOREIGN).add_cluster(
            Cluster(name=f"aeraki-x|{_FOREIGN}")
        ),
    ],
    ids=["merge", "add", "add own", "add free name", "add for another"],
)
def test_a_change_of_another_cluster_keeps_the_last_good_filter(make: MakePatch) -> None:
    mesh = _loud(make)
    assert mesh.codes() == ["AER0217"]
    assert "volume=3" in mesh.said()


@pytest.mark.parametrize(
    "make",
    [
        lambda context: context.outbound.merge_cluster(Cluster(alt_stat_name="x")),
        lambda context: context.outbound.add_cluster(
            Cluster(name=context.outbound.added_name("x"))
        ),
    ],
    ids=["merge", "add"],
)
def test_its_own_clusters_are_the_plugins_to_change(make: MakePatch) -> None:
    mesh = _loud(make)
    assert mesh.codes() == []
    assert "volume=7" in mesh.said()
