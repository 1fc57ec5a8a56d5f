"""Dubbo: which server a call reaches, by interface, method, attachments and arguments.

Each test runs with both of Envoy's filters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.dataplane.support import Mesh
from tests.dataplane.support_dubbo import (
    DUBBO_PROXY,
    GENERIC_PROXY,
    KNOWN_WARNINGS,
    NO_ROUTE,
    NO_SERVER,
    PORTS,
    PROXIES,
    greeters,
    options,
    run_greeter,
)
from tests.dataplane.support_routes import assert_share, routed_service, virtual_service
from tests.peers.dubbo import HELLO, OK, OTHER, DubboClient, DubboServer

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

Three = tuple[DubboServer, DubboServer, DubboServer]

both_engines = pytest.mark.parametrize("engine", [DUBBO_PROXY, GENERIC_PROXY])


@pytest.fixture
def servers(mesh: Mesh) -> Iterator[Three]:
    mesh.tolerate = KNOWN_WARNINGS
    with greeters() as found:
        yield found


def to(subset: str) -> str:
    return f"route: [{{destination: {{host: greeter, subset: {subset}}}}}]"


NOBODY = to("v9")
"""A last route to a subset without a server: calls that no other route matches fail."""


# -- methods ---------------------------------------------------------------------------------------


@both_engines
def test_a_call_that_no_route_takes_goes_to_the_service(
    mesh: Mesh, servers: Three, engine: str
) -> None:
    http = f"""
    - match: [{{method: {{exact: sayHello}}}}]
      {to("v1")}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
        assert client.call("sayHello", "x").server == "v1"
        assert {client.call("sayBye", "x").server for _ in range(30)} == {"v1", "v2", "v3"}


@both_engines
def test_by_method(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"""
    - match: [{{method: {{exact: sayHello}}}}]
      {to("v1")}
    - match: [{{method: {{prefix: say}}}}]
      {to("v2")}
    - match: [{{method: {{regex: "get[A-Z].*|list"}}}}]
      {to("v3")}
    - {NOBODY}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
        reached = {
            method: client.call(method, "x").server
            for method in ("sayHello", "sayHello2", "say", "getName", "list")
        }
        assert reached == {
            "sayHello": "v1",
            "sayHello2": "v2",
            "say": "v2",
            "getName": "v3",
            "list": "v3",
        }
        # A regular expression matches the whole name, and names are of one case.
        for method in ("get", "listed", "SayHello", "forgetName"):
            assert client.call(method, "x").status == NO_SERVER
        # The connection stays.
        assert client.call("sayHello", "x").server == "v1"


@both_engines
def test_without_a_match_every_method(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"""
    - match: [{{method: {{}}}}]
      {to("v2")}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
        assert [client.call(method).server for method in ("a", "$invoke")] == ["v2", "v2"]


@both_engines
def test_without_routes_the_service_itself(mesh: Mesh, servers: Three, engine: str) -> None:
    with DubboClient(run_greeter(mesh, servers, "", engine)) as client:
        answer = client.call("sayHello", "ü", 3, attachments={"k": "v"}, group="g", version="1.0")
        reached = [
            answer.value[name] for name in ("interface", "group", "version", "method", "args")
        ]
        assert reached == [HELLO, "g", "1.0", "sayHello", ["ü", 3]]
        assert answer.value["attachments"]["k"] == "v"
        assert answer.attachments == {"server": answer.server}


# -- attachments -----------------------------------------------------------------------------------


@both_engines
def test_by_attachment(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"""
    - match: [{{headers: {{tag: {{exact: gray}}}}}}]
      {to("v1")}
    - match: [{{headers: {{tag: {{prefix: blue-}}}}}}]
      {to("v2")}
    - match: [{{headers: {{tag: {{regex: "[0-9]+"}}}}}}]
      {to("v3")}
    - match: [{{headers: {{user: {{}}}}}}]
      {to("v1")}
    - match: [{{headers: {{one: {{exact: a}}, two: {{prefix: b}}}}}}]
      {to("v2")}
    - {NOBODY}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:

        def reached(**attachments: str) -> str | int:
            answer = client.call("sayHello", "x", attachments=attachments)
            return answer.server if answer.status == OK else answer.status

        assert reached(tag="gray") == "v1"
        assert reached(tag="blue-1") == "v2"
        assert reached(tag="42") == "v3"
        assert reached(user="anyone") == "v1"
        assert reached(one="a", two="bc") == "v2"
        for missed in (
            {},
            {"tag": "Gray"},
            {"tag": "grayer"},
            {"tag": "42x"},
            {"one": "a"},
            {"one": "a", "two": "c"},
        ):
            assert reached(**missed) == NO_SERVER, missed


@both_engines
def test_by_attachment_turned_round(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"""
    - match: [{{method: {{exact: exact}}, withoutHeaders: {{tag: {{exact: gray}}}}}}]
      {to("v1")}
    - match: [{{method: {{exact: prefix}}, withoutHeaders: {{tag: {{prefix: gr}}}}}}]
      {to("v1")}
    - match: [{{method: {{exact: regex}}, withoutHeaders: {{tag: {{regex: "gr.*"}}}}}}]
      {to("v1")}
    - match: [{{method: {{exact: present}}, withoutHeaders: {{tag: {{}}}}}}]
      {to("v1")}
    - match:
      - method: {{exact: two}}
        headers: {{user: {{}}}}
        withoutHeaders: {{tag: {{exact: gray}}}}
      {to("v1")}
    - {to("v2")}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:

        def reached(method: str, **attachments: str) -> str:
            return client.call(method, attachments=attachments).server

        for method in ("exact", "prefix", "regex", "present"):
            assert reached(method, tag="gray") == "v2", method
            # A call without the attachment satisfies it too.
            assert reached(method) == "v1", method
        assert [
            reached(method, tag="blue") for method in ("exact", "prefix", "regex", "present")
        ] == [
            *["v1", "v1", "v1"],
            "v2",
        ]
        assert reached("two", user="a") == "v1"
        assert reached("two") == reached("two", user="a", tag="gray") == "v2"


@pytest.mark.parametrize(("engine", "other_case"), [(DUBBO_PROXY, "v1"), (GENERIC_PROXY, "v2")])
def test_names_of_attachments_have_any_case_in_dubbo_proxy_only(
    mesh: Mesh, servers: Three, engine: str, other_case: str
) -> None:
    http = f"""
    - match: [{{headers: {{Tag: {{exact: gray}}}}}}]
      {to("v1")}
    - {to("v2")}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
        assert client.call("sayHello", attachments={"Tag": "gray"}).server == "v1"
        assert client.call("sayHello", attachments={"tAG": "gray"}).server == other_case


# -- several matches -------------------------------------------------------------------------------


@both_engines
def test_several_matches_and_their_order(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"""
    - match:
        - method: {{exact: sayHello}}
          headers: {{tag: {{exact: gray}}}}
        - method: {{exact: sayBye}}
      {to("v1")}
    - match: [{{headers: {{tag: {{exact: gray}}}}}}]
      {to("v2")}
    - {to("v3")}
    """
    with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
        gray = {"tag": "gray"}
        assert client.call("sayHello", attachments=gray).server == "v1"
        assert client.call("sayBye").server == "v1"
        assert client.call("sayBye", attachments=gray).server == "v1"
        assert client.call("other", attachments=gray).server == "v2"
        assert client.call("sayHello").server == "v3"


@both_engines
def test_by_port(mesh: Mesh, servers: Three, engine: str) -> None:
    ports = {"tcp-dubbo": 20880, "tcp-dubbo-admin": 20881}
    http = f"""
    - match: [{{port: 20881}}]
      {to("v2")}
    - match: [{{method: {{exact: sayBye}}, port: 20880}}]
      {to("v3")}
    - {to("v1")}
    """
    ip, _ = routed_service(mesh, "greeter", ports, servers, http, annotations=options(engine))
    mesh.client(mesh=PROXIES)
    with DubboClient((ip, 20880)) as first, DubboClient((ip, 20881)) as second:
        assert [first.call(method).server for method in ("sayHello", "sayBye")] == ["v1", "v3"]
        assert [second.call(method).server for method in ("sayHello", "sayBye")] == ["v2", "v2"]


# -- arguments -------------------------------------------------------------------------------------


def test_by_argument(mesh: Mesh, servers: Three) -> None:
    http = f"""
    - match: [{{method: {{exact: sayHello}}, queryParams: {{"0": {{exact: Anna}}}}}}]
      {to("v1")}
    - match: [{{queryParams: {{"0": {{exact: a}}, "1": {{exact: b}}}}}}]
      {to("v2")}
    - {to("v3")}
    """
    with DubboClient(run_greeter(mesh, servers, http)) as client:
        assert client.call("sayHello", "Anna").server == "v1"
        assert client.call("sayHello", "Anna", 7).server == "v1"
        assert client.call("anything", "a", "b").server == "v2"
        # Another text, another method, another type, another place, none.
        for method, args in [
            ("sayHello", ("anna",)),
            ("sayBye", ("Anna",)),
            ("sayHello", (5, "Anna")),
            ("anything", ("a", "c")),
            ("anything", ("a",)),
            ("sayHello", ()),
        ]:
            assert client.call(method, *args).server == "v3", (method, args)


# -- interface, group, version ---------------------------------------------------------------------


@both_engines
def test_by_interface(mesh: Mesh, servers: Three, engine: str) -> None:
    interface = f"{HELLO}, com.example.*, *Greeter"
    http = f"- {to('v2')}"
    with DubboClient(run_greeter(mesh, servers, http, engine, interface=interface)) as client:
        for taken in (HELLO, "com.example.Anything", "com.example.a.B", "org.else.Greeter"):
            assert client.call("sayHello", interface=taken).server == "v2", taken
        for refused in (OTHER, f"{HELLO}2", "com.examples.A", "org.else.Greeters"):
            assert client.call("sayHello", interface=refused).status == NO_ROUTE[engine], refused
        assert client.call("sayHello", interface=HELLO).value["interface"] == HELLO


@both_engines
def test_by_group_and_version(mesh: Mesh, servers: Three, engine: str) -> None:
    http = f"- {to('v2')}"
    address = run_greeter(mesh, servers, http, engine, group="blue", version="2.0")
    with DubboClient(address, group="blue", version="2.0") as client:
        answer = client.call("sayHello")
        assert (answer.server, answer.value["group"], answer.value["version"]) == (
            "v2",
            "blue",
            "2.0",
        )
        for group, version in (("red", "2.0"), ("", "2.0"), ("blue", "1.0"), ("blue", "")):
            assert client.call("sayHello", group=group, version=version).status == NO_ROUTE[engine]


@both_engines
def test_without_a_group_every_group(mesh: Mesh, servers: Three, engine: str) -> None:
    with DubboClient(run_greeter(mesh, servers, f"- {to('v2')}", engine)) as client:
        assert client.call("sayHello", group="red", version="9").server == "v2"


# -- destinations ----------------------------------------------------------------------------------


def test_weights(mesh: Mesh, servers: Three) -> None:
    # They need not add up to 100, and 0 gets nothing.
    http = """
    - route:
        - destination: {host: greeter, subset: v1}
          weight: 30
        - destination: {host: greeter, subset: v2}
          weight: 10
        - destination: {host: greeter, subset: v3}
          weight: 0
    """
    with DubboClient(run_greeter(mesh, servers, http)) as client:
        counts = Counter(client.call("sayHello").server for _ in range(1000))
    assert_share(counts["v1"], 1000, 0.75)
    assert counts["v1"] + counts["v2"] == 1000


def test_generic_proxy_sends_everything_to_the_heaviest(mesh: Mesh, servers: Three) -> None:
    http = """
    - route:
        - destination: {host: greeter, subset: v1}
          weight: 40
        - destination: {host: greeter, subset: v2}
          weight: 60
    """
    with DubboClient(run_greeter(mesh, servers, http, GENERIC_PROXY)) as client:
        assert {client.call("sayHello").server for _ in range(50)} == {"v2"}


@both_engines
def test_a_service_without_subsets_shares_its_servers(
    mesh: Mesh, servers: Three, engine: str
) -> None:
    with DubboClient(run_greeter(mesh, servers, "", engine)) as client:
        assert {client.call("sayHello").server for _ in range(100)} == {"v1", "v2", "v3"}


@both_engines
def test_another_service(mesh: Mesh, servers: Three, engine: str) -> None:
    with DubboServer("away") as away:
        mesh.service("other", {"tcp-dubbo": 20999}, away.address)
        http = f"""
        - match: [{{method: {{exact: sayHello}}}}]
          route: [{{destination: {{host: other}}}}]
        - match: [{{method: {{exact: sayBye}}}}]
          route:
          - destination: {{host: other.default.svc.cluster.local, port: {{number: 20999}}}}
        - {to("v1")}
        """
        with DubboClient(run_greeter(mesh, servers, http, engine)) as client:
            reached = [client.call(method).server for method in ("sayHello", "sayBye", "other")]
            assert reached == ["away", "away", "v1"]


@both_engines
def test_tcp_routes_give_the_destinations(mesh: Mesh, servers: Three, engine: str) -> None:
    at = routed_service(mesh, "greeter", PORTS, servers, annotations=options(engine))
    mesh.add(virtual_service("greeter", f"- {to('v3')}", "tcp"))
    mesh.client(mesh=PROXIES)
    with DubboClient(at) as client:
        assert {client.call("sayHello").server for _ in range(20)} == {"v3"}


# -- which engine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "known", "engine"),
    [("", True, "generic"), ("weight: 1", True, "dubbo"), ("", False, "dubbo")],
    ids=["generic_proxy", "weights-need-dubbo_proxy", "not-known-to-the-proxies"],
)
def test_auto_chooses_what_the_proxies_have_and_the_routes_need(
    mesh: Mesh, servers: Three, weight: str, known: bool, engine: str
) -> None:
    http = f"""
    - match: [{{method: {{exact: sayHello}}}}]
      {to("v1")}
    - route:
        - destination: {{host: greeter, subset: v2}}
          {weight}
    """
    if weight:
        http += f"    - destination: {{host: greeter, subset: v3}}\n          {weight}\n"
    at = routed_service(mesh, "greeter", PORTS, servers, http)
    sidecar = mesh.client(mesh=PROXIES if known else None)
    with DubboClient(at) as client:
        assert client.call("sayHello").server == "v1"
        others = {client.call("sayBye").server for _ in range(50)}
        assert others == ({"v2", "v3"} if weight else {"v2"})
    prefix = "outbound|20880||greeter.default.svc.cluster.local"
    counted = {
        "dubbo": f"dubbo.{prefix}.request",
        "generic": f"generic_proxy.{prefix}.downstream_rq_total",
    }
    stats = sidecar.envoy.stats()
    assert [name for name, stat in counted.items() if stats.get(stat)] == [engine]
