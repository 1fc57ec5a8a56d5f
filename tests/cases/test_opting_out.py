"""Ports that somebody keeps out, with contradictions and mistakes in writing."""

from __future__ import annotations

import pytest

from tests.cases.test_cases import about
from tests.cases.test_http_sections import routes
from tests.cases.test_more_kinds import LISTENER, service
from tests.reach import client_of, made_of


def thrift(annotations: str = "", port: str = "{name: tcp-thrift, port: 9090}") -> str:
    return service(port, annotations)


def namespace(annotations: str) -> str:
    return f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, annotations: {{{annotations}}}}}
"""


EXCLUDE, INCLUDE = "aeraki.io/exclude", "aeraki.io/include"


@pytest.mark.parametrize(
    ("of_service", "of_namespace", "filtered"),
    [
        (f'{EXCLUDE}: "false"', f'{EXCLUDE}: "true"', True),
        (f'{INCLUDE}: "9090"', f'{EXCLUDE}: "true"', True),
        ("", f'{EXCLUDE}: "tcp-thrift"', False),
        (f'{EXCLUDE}: "true"', f'{INCLUDE}: "true"', False),
    ],
)
def test_a_service_speaks_before_its_namespace(
    of_service: str, of_namespace: str, filtered: bool
) -> None:
    made = made_of(thrift(of_service), namespace(of_namespace))
    assert client_of(made, "web").filters(LISTENER) == ["thrift_proxy" if filtered else "tcp_proxy"]
    assert not made.findings_text


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((thrift(f'{EXCLUDE}: "true", {INCLUDE}: "9090"'),), ("'9090'", "stays excluded")),
        ((thrift(f'{EXCLUDE}: "9090", {INCLUDE}: "9090"'),), ("'9090'", "stays excluded")),
        ((thrift(f'{EXCLUDE}: "ture"'),), ("'ture'", "did you mean true?")),
        ((thrift(), namespace(f'{EXCLUDE}: "ture"')), ("'ture'", "not true, false or a port")),
        ((thrift(), namespace(f'{EXCLUDE}: "*"')), ("'*'", "not true, false or a port")),
    ],
)
def test_a_contradiction_or_a_typo_is_named(objects: tuple[str, ...], words: tuple[str]) -> None:
    made = made_of(*objects)
    assert about(made, "AER0111", *words), made.findings_text


def test_options_of_a_port_that_is_declared_as_tcp_are_no_mistake() -> None:
    made = made_of(thrift(port="{name: tcp-thrift, port: 9090, appProtocol: tcp}"))
    assert client_of(made, "web").filters(LISTENER) == ["tcp_proxy"]
    assert not made.findings_text


@pytest.mark.parametrize(
    ("annotation", "port", "reason"),
    [
        (f'{EXCLUDE}: "true"', "{name: tcp-thrift, port: 9090}", f"excludes it ({EXCLUDE})"),
        ("", "{name: tcp-thrift, port: 9090, appProtocol: tcp}", "its appProtocol is tcp"),
    ],
)
def test_routes_for_a_port_that_is_left_alone_say_why(
    annotation: str, port: str, reason: str
) -> None:
    entry = "http: [{match: [{method: {exact: a}}], route: [{destination: {host: orders}}]}]"
    made = made_of(thrift(annotation, port), routes(entry))
    assert about(made, "AER0314", reason), made.findings_text


def test_a_redis_service_for_a_port_without_redis_proxy_is_named() -> None:
    text = service("{name: tcp-redis, port: 9090}", "redis.aeraki.io/proxy: Never")
    redis_service = """
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: orders, namespace: shop}
spec: {host: [orders], redis: [{route: {host: orders}}]}
"""
    made = made_of(text.replace("thrift.aeraki.io/", "x.io/"), redis_service)
    assert client_of(made, "web").filters(LISTENER) == ["tcp_proxy"]
    assert about(made, "RDS0207", "RedisService shop/orders", "redis.aeraki.io/proxy", "never")
