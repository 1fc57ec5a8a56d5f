"""Discovery endpoints in every form that users write."""

from __future__ import annotations

import pytest
from aeraki_plugins_redis.endpoints import parse_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("redis-0", "redis-0", 6379),
        ("redis-0.redis.svc.cluster.local:7000", "redis-0.redis.svc.cluster.local", 7000),
        (" 10.0.0.1:7000 ", "10.0.0.1", 7000),
        ("2001:db8::1", "2001:db8::1", 6379),
        ("[2001:db8::1]", "2001:db8::1", 6379),
        ("[2001:db8::1]:7000", "2001:db8::1", 7000),
    ],
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text, 6379) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7000",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "a:1:2",
        "[a]:1",
        "[::1",
        "redis://a:1",
        "a b",
        "a/b",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (neither|not)"):
        parse_endpoint(text, 6379)
