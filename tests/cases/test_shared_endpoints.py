"""Services of one host and namespace share endpoints, and with them their listeners."""

from __future__ import annotations

from aeraki_core.testing import endpoint_slice, service, service_entry

from tests.reach import client_of, made_of
from tests.unit.core.echo import Mesher

HOSTS = ["api.example.com"]
THRIFT = {"tcp-thrift": 9090}
FRAMED = {"thrift.aeraki.io/transport": "framed"}
OLD, YOUNG = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"


def test_an_entry_without_address_leaves_the_wildcard_listener_beside_one_with_endpoints() -> None:
    whatever = service_entry(
        "any", HOSTS, THRIFT, resolution="NONE", annotations=FRAMED, created=OLD
    )
    fixed = service_entry(
        "fixed",
        HOSTS,
        {"tcp": 9090},
        resolution="STATIC",
        addresses=["10.1.1.1"],
        endpoints=[{"address": "10.9.0.1"}],
    )
    store = service_entry("store", ["store.example.com"], THRIFT, annotations=FRAMED, created=YOUNG)
    alone, beside = made_of(whatever, store), made_of(whatever, store, fixed)
    for made, host in ((alone, "api"), (beside, "store")):
        client = client_of(made, "web")
        assert client.filters("0.0.0.0_9090") == ["thrift_proxy"]
        assert client.reaches("0.0.0.0_9090") == {f"outbound|9090||{host}.example.com"}
    # istiod gives the entry a listener for the other one's endpoint instead.
    assert client_of(beside, "web").filters("10.9.0.1_9090") == ["tcp_proxy"]
    assert "AER0202" in beside.codes
    assert "AER0202" not in alone.codes


def test_a_headless_service_has_the_endpoints_of_the_name_that_an_entry_gives_its_port() -> None:
    first, second = (
        [
            service(
                name,
                THRIFT,
                namespace="shop",
                cluster_ip="None",
                selector={"app": name},
                annotations=FRAMED,
            ),
            endpoint_slice(name, ["10.9.0.1"], THRIFT, namespace="shop"),
        ]
        for name in ("a", "b")
    )
    entry = service_entry("e", ["a.shop.svc.cluster.local"], {"tcp": 9090}, namespace="shop")
    for more, owner in (([], "a"), ([entry], "b")):
        client = client_of(made_of(*first, *second, *more), "web")
        assert client.filters("10.9.0.1_9090") == ["thrift_proxy"]
        assert client.reaches("10.9.0.1_9090") == {f"outbound|9090||{owner}.shop.svc.cluster.local"}


def test_who_has_the_wildcard_listener_changes_with_the_endpoints_of_others() -> None:
    mesh = Mesher()
    mesh.entry("any", HOSTS, resolution="NONE", creationTimestamp=OLD)
    mesh.entry("store", ["store.example.com"], resolution="DNS", creationTimestamp=YOUNG)

    def owners() -> list[str]:
        mesh.run()
        return [key.name for key in mesh.pipeline.filters]

    api, store = (f"aeraki-outbound-{name}.example.com-7000" for name in ("api", "store"))
    assert owners() == [api]
    fixed = mesh.entry(
        "fixed",
        HOSTS,
        resolution="STATIC",
        addresses=["10.1.1.1"],
        endpoints=[{"address": "1.2.3.4"}],
    )
    assert store in owners()
    mesh.pipeline.remove(fixed)
    assert owners() == [api]
