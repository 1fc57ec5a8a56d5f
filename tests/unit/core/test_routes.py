"""VirtualServices as routes: what the generator is handed, and what is reported at which field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.echo import Mesher

HOST = "cart.shop.svc.cluster.local"
SELF = f"outbound|7000||{HOST}"
REST = f"*>{SELF}:1"
"""The last route of a table: what no other takes goes to the service itself."""


@pytest.fixture
def mesh() -> Mesher:
    found = Mesher()
    found.service()
    return found


def to(host: str, weight: int | None = None, **extra: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"destination": {"host": host, **extra}}
    return item if weight is None else {**item, "weight": weight}


def fields(mesh: Mesher) -> list[tuple[str, str | None]]:
    mesh.run()
    return [(finding.code.id, finding.field) for finding in mesh.pipeline.findings()]


def routes(mesh: Mesher) -> list[str]:
    return mesh.said().split(" ")[1:]


def test_without_a_virtual_service_all_goes_to_the_service(mesh: Mesher) -> None:
    assert routes(mesh) == [f"*>{SELF}:1"]


def test_each_match_is_a_route_in_order(mesh: Mesher) -> None:
    match = [{"method": {"exact": "a"}}, {"method": {"exact": "b"}}]
    mesh.routes("r", ["cart"], [{"match": match, "route": [to("cart")]}, {"route": [to("cart")]}])
    assert routes(mesh) == [f"a>{SELF}:1", f"b>{SELF}:1", f"*>{SELF}:1"]
    assert fields(mesh) == []


def test_a_call_that_no_route_takes_goes_to_the_service(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], [{"match": [{"method": {"exact": "a"}}], "route": [to("cart")]}])
    assert routes(mesh) == [f"a>{SELF}:1", REST]
    assert fields(mesh) == []


def test_a_call_that_no_route_takes_goes_by_the_tcp_section(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    http = [{"match": [{"method": {"exact": "a"}}], "route": [to("cart")]}]
    tcp = [
        {"match": [{"port": 1}], "route": [to("cart")]},
        {"match": [{"port": 7000}], "route": [to("cart", 30), to("next", 70)]},
    ]
    mesh.routes("r", ["cart"], http, tcp=tcp)
    rest = f"*>{SELF}:30+outbound|7000||next.shop.svc.cluster.local:70"
    assert routes(mesh) == [f"a>{SELF}:1", rest]
    assert fields(mesh) == [("AER0325", "spec.tcp[0].match[0].port")]  # no port 1


def test_the_tcp_section_of_another_virtual_service_takes_the_rest(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    http = [{"match": [{"method": {"exact": "a"}}], "route": [to("cart")]}]
    mesh.routes("r", ["cart"], http, creationTimestamp="2026-01-01T00:00:00Z")
    mesh.routes("s", ["*.shop.svc.cluster.local"], [], tcp=[{"route": [to("next")]}])
    assert routes(mesh) == [f"a>{SELF}:1", "*>outbound|7000||next.shop.svc.cluster.local:1"]


WITH_HTTP = [
    {"name": "tcp-echo", "port": 7000},
    {"name": "http-admin", "port": 8080},
]
TCP = [{"match": [{"port": 7000}], "route": [to("cart", 90, subset="v1")]}]
BY_TCP = f"*>outbound|7000|v1|{HOST}:1"


@pytest.mark.parametrize(
    ("http", "reported"),
    [
        ({"match": [{"port": 8080}], "route": [to("cart", port={"number": 8080})]}, []),
        ({"route": [to("cart", port={"number": 8080})]}, [("AER0313", "spec.http[0]")]),
        (
            {"match": [{"uri": {"prefix": "/"}}], "route": [to("cart")]},
            [("AER0313", "spec.http[0]")],
        ),
        ({"delegate": {"name": "d"}}, [("AER0313", "spec.http[0]")]),
        ({"match": [{"gateways": ["g"]}], "route": [to("cart")]}, []),
        ({"match": [{"sourceNamespace": "crm"}], "route": [to("cart")]}, []),
    ],
)
def test_an_http_entry_for_another_port_leaves_the_tcp_routes(
    mesh: Mesher, http: dict[str, Any], reported: list[tuple[str, str]]
) -> None:
    mesh.put("DestinationRule", "cart", {"host": "cart", "subsets": [{"name": "v1"}]})
    mesh.service(ports=WITH_HTTP)
    mesh.routes("r", ["cart"], [http], tcp=TCP)
    assert routes(mesh) == [BY_TCP]
    assert fields(mesh) == reported


def test_an_http_destination_of_another_service_is_for_http_ports(mesh: Mesher) -> None:
    mesh.service("web", "10.0.0.2", ports=[{"name": "http", "port": 80}])
    mesh.routes("r", ["cart"], [{"route": [to("web", port={"number": 80})]}])
    assert routes(mesh) == [REST]
    assert fields(mesh) == [("AER0313", "spec.http[0]")]


def test_an_entry_that_names_the_port_may_send_its_calls_to_another(mesh: Mesher) -> None:
    ports = [{"name": "tcp-echo", "port": 7000}, {"name": "tcp-next", "port": 7001}]
    mesh.service(ports=ports)
    entry = {"match": [{"port": 7000}], "route": [to("cart", port={"number": 7001})]}
    mesh.routes("r", ["cart"], [entry])
    assert routes(mesh) == [f"*>outbound|7001||{HOST}:1"]


def test_a_source_namespace_has_routes_of_its_own(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    http = [
        {"match": [{"sourceNamespace": "crm"}], "route": [to("next")]},
        {"route": [to("cart")]},
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [REST]
    crm = mesh.said(namespace="crm").split(" ")[1:]
    assert crm[0] == "*>outbound|7000||next.shop.svc.cluster.local:1"
    assert fields(mesh) == []


def test_a_route_for_another_port_is_not_ours(mesh: Mesher) -> None:
    http = [
        {"match": [{"port": 1}], "route": [to("cart")]},
        {"match": [{"port": 7000}], "route": [to("cart")]},
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [f"*>{SELF}:1"]


def test_tcp_routes_where_http_is_empty(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    tcp = [{"match": [{"port": 7000}], "route": [to("cart", 30), to("next", 70)]}]
    mesh.routes("r", ["cart"], [], tcp=tcp)
    assert routes(mesh) == [f"*>{SELF}:30+outbound|7000||next.shop.svc.cluster.local:70"]


def test_weights_and_subsets(mesh: Mesher) -> None:
    mesh.put(
        "DestinationRule", "cart", {"host": "cart", "subsets": [{"name": "v1"}, {"name": "v2"}]}
    )
    http = [
        {
            "route": [
                to("cart", 0, subset="v1"),
                to("cart", 30, subset="v2"),
                to(HOST, 70, subset="v1"),
            ]
        }
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [f"*>outbound|7000|v2|{HOST}:30+outbound|7000|v1|{HOST}:70"]
    assert fields(mesh) == []


def test_a_route_to_an_unknown_subset_costs_no_call(mesh: Mesher) -> None:
    first = [{"method": {"exact": "a"}}]
    http = [
        {"match": first, "route": [to("cart", 90), to("cart", 10, subset="v9")]},
        {"route": [to("cart", subset="v9")]},
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [f"a>{SELF}:90", REST]
    assert fields(mesh) == [
        ("AER0302", "spec.http[0].route[1].destination.subset"),
        ("AER0302", "spec.http[1].route[0].destination.subset"),
    ]


def test_a_tcp_route_keeps_a_destination_that_does_not_exist(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], [], tcp=[{"route": [to("cart", subset="v9")]}])
    assert routes(mesh) == [f"*>outbound|7000|v9|{HOST}:1"]
    assert fields(mesh) == [("AER0302", "spec.tcp[0].route[0].destination.subset")]


def test_a_tcp_destination_without_port_is_its_only_port(mesh: Mesher) -> None:
    mesh.service("one", "10.0.0.2", ports=[{"name": "tcp", "port": 81}])
    mesh.routes("r", ["cart"], [], tcp=[{"route": [to("one")]}])
    assert routes(mesh) == ["*>outbound|81||one.shop.svc.cluster.local:1"]


def test_a_misspelt_field_is_reported_and_never_widens_a_match(mesh: Mesher) -> None:
    http = [
        {"match": [{"method": {"exct": "a"}}], "route": [to("cart")]},
        {"match": [{"headers": {"x": {"exat": "a"}}}], "route": [to("cart")]},
        {"route": [to("cart", sbset="v1")]},
    ]
    mesh.routes("r", ["cart"], http, htp=[{"route": []}])
    assert routes(mesh) == [f"*>{SELF}:1"]
    assert fields(mesh) == [
        ("AER0307", "spec.htp"),
        ("AER0306", "spec.http[0].match[0].method.exct"),
        ("AER0306", "spec.http[1].match[0].headers.x.exat"),
        ("AER0307", "spec.http[2].route[0].destination.sbset"),
    ]


def test_a_field_of_a_later_istio_beside_one_that_is_known_has_no_effect(mesh: Mesher) -> None:
    """The API server would have left it out."""
    mesh.routes(
        "r",
        ["cart"],
        [{"match": [{"method": {"exact": "a", "ignoreCase": True}}], "route": [to("cart")]}],
    )
    assert routes(mesh) == [f"a>{SELF}:1", REST]
    assert fields(mesh) == [("AER0307", "spec.http[0].match[0].method.ignoreCase")]


def test_a_single_destination_takes_all_whatever_its_weight(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], [{"route": [to("cart", 30)]}])
    assert routes(mesh) == [f"*>{SELF}:1"]


def test_several_without_weight_share_and_are_reported(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    mesh.routes("r", ["cart"], [{"route": [to("cart"), to("next")]}])
    assert routes(mesh) == [f"*>{SELF}:1+outbound|7000||next.shop.svc.cluster.local:1"]
    assert fields(mesh) == [("AER0304", "spec.http[0].route")]


def test_one_without_weight_beside_others_gets_nothing(mesh: Mesher) -> None:
    mesh.service("next", "10.0.0.2")
    mesh.routes("r", ["cart"], [{"route": [to("cart", 10), to("next")]}])
    assert routes(mesh) == [f"*>{SELF}:10"]
    assert fields(mesh) == [("AER0304", "spec.http[0].route[1].weight")]


def test_destination_hosts_and_ports(mesh: Mesher) -> None:
    mesh.service("one", "10.0.0.2", ports=[{"name": "tcp", "port": 81}])
    mesh.service(
        "two", "10.0.0.3", ports=[{"name": "tcp", "port": 81}, {"name": "tcp2", "port": 82}]
    )
    mesh.service("far", "10.0.0.4", namespace="other")
    http = [
        {"route": [to("one")]},
        {"route": [to("two", port={"number": 82})]},
        {"route": [to("far.other.svc.cluster.local")]},
        {"route": [to("two")]},
        {"route": [to("nowhere")]},
        {"route": [to("one", port={"number": 99})]},
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [
        "*>outbound|81||one.shop.svc.cluster.local:1",
        "*>outbound|82||two.shop.svc.cluster.local:1",
        "*>outbound|7000||far.other.svc.cluster.local:1",
    ]
    assert fields(mesh) == [
        ("AER0303", "spec.http[3].route[0].destination.port"),
        ("AER0301", "spec.http[4].route[0].destination.host"),
        ("AER0303", "spec.http[5].route[0].destination.port"),
    ]


def test_a_match_on_labels_of_the_client_leaves_the_route_out(mesh: Mesher) -> None:
    http = [
        {"match": [{"sourceLabels": {"a": "b"}}], "route": [to("cart")]},
        {"match": [{"method": {"exact": "a"}}], "route": [to("cart")]},
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [f"a>{SELF}:1", REST]
    assert fields(mesh) == [("AER0305", "spec.http[0].match[0].sourceLabels")]


@pytest.mark.parametrize(
    "match",
    [{"uri": {"prefix": "/"}}, {"queryParams": {"0": {"exact": "a"}}}, {"scheme": {"exact": "x"}}],
)
def test_a_match_that_cannot_be_expressed_leaves_the_route_out(
    mesh: Mesher, match: dict[str, Any]
) -> None:
    (name,) = match
    both = {**match, "method": {"exact": "a"}}
    mesh.routes("r", ["cart"], [{"match": [both], "route": [to("cart")]}])
    assert routes(mesh) == [REST]
    assert fields(mesh) == [
        ("AER0312", "spec.http"),
        ("AER0306", f"spec.http[0].match[0].{name}"),
    ]


def test_actions_that_cannot_be_expressed_are_reported_and_the_route_stays(mesh: Mesher) -> None:
    http = [
        {
            "route": [{**to("cart"), "headers": {"request": {"set": {"a": "b"}}}}],
            "timeout": "1s",
            "fault": {"abort": {}},
        }
    ]
    mesh.routes("r", ["cart"], http)
    assert routes(mesh) == [f"*>{SELF}:1"]
    assert fields(mesh) == [
        ("AER0307", "spec.http[0].fault"),
        ("AER0307", "spec.http[0].route[0].headers"),
        ("AER0307", "spec.http[0].timeout"),
    ]


@pytest.mark.parametrize("regex", ["(?=a)b", "a(", r"(a)\1"])
def test_an_expression_that_re2_refuses(mesh: Mesher, regex: str) -> None:
    mesh.routes("r", ["cart"], [{"match": [{"method": {"regex": regex}}], "route": [to("cart")]}])
    assert routes(mesh) == [REST]
    assert fields(mesh) == [
        ("AER0312", "spec.http"),
        ("AER0309", "spec.http[0].match[0].method.regex"),
    ]


def test_a_route_without_destination(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], [{"redirect": {"uri": "/"}}, {"route": [to("cart")]}])
    assert routes(mesh) == [f"*>{SELF}:1"]
    assert ("AER0307", "spec.http[0].redirect") in fields(mesh)


def test_a_virtual_service_for_gateways_only_is_not_for_sidecars(mesh: Mesher) -> None:
    mesh.routes(
        "r",
        ["cart"],
        [{"match": [{"method": {"exact": "a"}}], "route": [to("cart")]}],
        gateways=["g"],
    )
    assert routes(mesh) == [f"*>{SELF}:1"]


def test_the_oldest_virtual_service_speaks(mesh: Mesher) -> None:
    a, b = ([{"match": [{"method": {"exact": x}}], "route": [to("cart")]}] for x in "ab")
    mesh.routes("a", ["cart"], a, creationTimestamp="2026-03-01T00:00:00Z")
    mesh.routes("b", ["cart"], b, creationTimestamp="2026-02-01T00:00:00Z")
    assert routes(mesh) == [f"b>{SELF}:1", REST]
    (finding,) = mesh.pipeline.findings()
    assert (finding.code.id, finding.ref and finding.ref.name) == ("AER0310", "a")


def test_an_exact_host_comes_before_a_wildcard(mesh: Mesher) -> None:
    wide, exact = (
        [{"match": [{"method": {"exact": x}}], "route": [to(HOST)]}] for x in ("wide", "exact")
    )
    mesh.routes(
        "wide", ["*.shop.svc.cluster.local"], wide, creationTimestamp="2025-01-01T00:00:00Z"
    )
    assert routes(mesh) == [f"wide>{SELF}:1", REST]
    ref = mesh.routes("exact", ["cart"], exact)
    assert routes(mesh) == [f"exact>{SELF}:1", REST]
    mesh.pipeline.remove(ref)
    assert routes(mesh) == [f"wide>{SELF}:1", REST]


def test_a_virtual_service_for_an_unknown_host(mesh: Mesher) -> None:
    ref = mesh.routes("r", ["missing"], [{"route": [to("missing")]}])
    assert fields(mesh) == [("AER0301", "spec.hosts")]
    mesh.service("missing", "10.0.0.9")
    assert fields(mesh) == []
    mesh.pipeline.remove(mesh.service("missing", "10.0.0.9"))
    assert fields(mesh) == [("AER0301", "spec.hosts")]
    mesh.pipeline.remove(ref)
    assert fields(mesh) == []


def test_routes_have_no_effect_without_load_balancing() -> None:
    mesh = Mesher()
    mesh.entry("e", ["cart.example.com"], addresses=["10.9.0.1"], resolution="NONE")
    mesh.routes(
        "r",
        ["cart.example.com"],
        [{"match": [{"method": {"exact": "a"}}], "route": [to("cart.example.com")]}],
    )
    assert mesh.said("aeraki-outbound-cart.example.com-7000").endswith(
        "*>outbound|7000||cart.example.com:1"
    )
    assert fields(mesh) == [("AER0206", "spec")]


def test_tcp_routes_have_an_effect_without_load_balancing(mesh: Mesher) -> None:
    mesh.entry("e", ["db.example.com"], addresses=["10.9.0.1"], resolution="NONE")
    mesh.routes("r", ["db.example.com"], [], tcp=[{"route": [to(HOST)]}])
    assert mesh.said("aeraki-outbound-db.example.com-7000").endswith(f" *>{SELF}:1")
    assert fields(mesh) == []


def test_tcp_routes_of_a_host_under_a_wildcard_service_count(mesh: Mesher) -> None:
    """Istio gives its listener to the first VirtualService that matches either way."""
    mesh.entry("e", ["*.example.com"], addresses=["10.9.0.1"], resolution="NONE")
    key = "aeraki-outbound-example.com-47287a8f16ec75e6-7000"
    before = mesh.said(key)
    http = [{"match": [{"method": {"exact": "a"}}], "route": [to(HOST)]}]
    ref = mesh.routes("r", ["db.example.com"], http, tcp=[{"route": [to(HOST)]}])
    assert mesh.said(key).split(" ")[1:] == [f"*>{SELF}:1"]
    mesh.pipeline.remove(ref)
    assert mesh.said(key) == before


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"hosts": ["cart"], "http": [{"route": [{"destination": {}}]}]},
            "spec.http[0].route[0].destination.host",
        ),
        (
            {"hosts": ["cart"], "http": [{"route": [to("cart", -1)]}]},
            "spec.http[0].route[0].weight",
        ),
        ({"hosts": ["cart"], "http": [{"match": [{"port": 70000}]}]}, "spec.http[0].match[0].port"),
        ({"hosts": "cart"}, "spec.hosts"),
        (
            {"hosts": ["cart"], "http": [{"match": [{"method": {"exact": "a", "prefix": "b"}}]}]},
            "spec.http[0].match[0].method",
        ),
        ("nonsense", "spec"),
    ],
)
def test_an_object_that_does_not_fit_names_the_field(mesh: Mesher, spec: Any, field: str) -> None:
    mesh.put("VirtualService", "r", spec)
    assert fields(mesh) == [("AER0106", field)]
