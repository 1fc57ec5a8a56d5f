"""Upstream's manifests are accepted as they are, and values that protobuf's JSON takes too."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.testing import generate, service
from aeraki_plugins_redis.resources import (
    REDIS_DESTINATION,
    REDIS_SERVICE,
    RedisDestinationSpec,
    RedisServiceSpec,
)

import aeraki_plugins_redis

# Every field of upstream's API (aeraki-mesh/api, redis/v1alpha1).
FULL_SERVICE: dict[str, Any] = {
    "host": ["redis-cluster.redis.svc.cluster.local"],
    "settings": {
        "caseInsensitive": True,
        "opTimeout": "60s",
        "enableCommandStats": True,
        "maxBufferSizeBeforeFlush": 1024,
        "bufferFlushTimeout": "0.003s",
        "maxUpstreamUnknownConnections": 100,
        "enableHashtagging": True,
        "enableRedirection": True,
        "readPolicy": "PREFER_REPLICA",
        "auth": {"secret": {"name": "s", "passwordField": "p", "usernameField": "u"}},
    },
    "redis": [
        {
            "match": {"key": {"prefix": "user", "removePrefix": True}},
            "route": {"host": "redis-user.redis.svc.cluster.local", "port": 6379},
            "mirror": [
                {
                    "route": {"host": "redis-shadow.redis.svc.cluster.local", "port": 6379},
                    "percentage": {"value": 50.5},
                    "excludeReadCommands": True,
                }
            ],
        },
        {"route": {"host": "redis-cluster.redis.svc.cluster.local"}},
    ],
    "faults": [
        {"type": "ERROR", "percentage": {"value": 50}, "commands": ["GET"]},
        {"type": "DELAY", "percentage": {"value": 10}, "delay": "1s"},
    ],
}
FULL_DESTINATION: dict[str, Any] = {
    "host": "redis-single.redis.svc.cluster.local",
    "trafficPolicy": {
        "connectionPool": {
            "redis": {
                "mode": "CLUSTER",
                "auth": {"plain": {"username": "u", "password": "p"}},
                "discoveryEndpoints": ["redis-0", "redis-1:6379"],
            },
            "tcp": {
                "connectTimeout": "10s",
                "maxConnections": 100,
                "tcpKeepalive": {"probes": 3, "time": "60s", "interval": "10s"},
            },
        }
    },
}


def dumped(model: RedisServiceSpec | RedisDestinationSpec) -> dict[str, Any]:
    found: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return found


def test_no_field_of_upstream_is_lost() -> None:
    assert dumped(RedisServiceSpec.model_validate(FULL_SERVICE)) == FULL_SERVICE
    found = dumped(RedisDestinationSpec.model_validate(FULL_DESTINATION))
    redis = found["trafficPolicy"]["connectionPool"]["redis"]
    redis["auth"]["plain"]["password"] = "p"
    assert found == FULL_DESTINATION


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"host": ["a"], "settings": None, "redis": None, "faults": None},
        {"host": ["a"], "settings": {"maxUpstreamUnknownConnections": None, "opTimeout": None}},
        {
            "host": ["a"],
            "settings": {"auth": {}},
            "redis": [{"match": {}, "route": {"host": "b", "port": "6379"}}],
        },
        {"host": ["a"], "faults": [{"percentage": {"value": 100}}], "unknown": {"field": 1}},
    ],
)
def test_what_upstream_accepts_is_accepted(spec: dict[str, Any]) -> None:
    RedisServiceSpec.model_validate(spec)


def test_hosts_and_secrets_are_found_by_the_core() -> None:
    service_spec = RedisServiceSpec.model_validate(FULL_SERVICE)
    assert list(REDIS_SERVICE.hosts(service_spec)) == ["redis-cluster.redis.svc.cluster.local"]
    assert list(REDIS_SERVICE.secrets(service_spec)) == ["s"]
    destination = RedisDestinationSpec.model_validate(FULL_DESTINATION)
    assert list(REDIS_DESTINATION.hosts(destination)) == ["redis-single.redis.svc.cluster.local"]
    assert list(REDIS_DESTINATION.secrets(destination)) == []
    assert list(REDIS_DESTINATION.hosts(RedisDestinationSpec())) == []


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("spec.settings.opTimeout", {"settings": {"opTimeout": "soon"}}),
        ("spec.settings.readPolicy", {"settings": {"readPolicy": "REPLICAS"}}),
        (
            "spec.settings.auth",
            {"settings": {"auth": {"plain": {"password": "p"}, "secret": {"name": "s"}}}},
        ),
        ("spec.redis[0].route", {"redis": [{"match": {"key": {"prefix": "a"}}}]}),
        ("spec.redis[0].route.port", {"redis": [{"route": {"host": "a", "port": 70000}}]}),
    ],
)
def test_what_cannot_be_meant_is_rejected_at_its_field(path: str, spec: dict[str, Any]) -> None:
    object_ = {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": "RedisService",
        "metadata": {"name": "cache"},
        "spec": {"host": ["cache"], **spec},
    }
    made = generate(service("cache", {"tcp-redis": 6379}), object_, plugins=[aeraki_plugins_redis])
    assert [
        (item.code.id, item.field)
        for item in made.findings
        if item.ref and item.ref.kind == "RedisService"
    ] == [("AER0106", path)]


def test_a_connect_timeout_of_zero_never_reaches_envoy() -> None:
    tcp = {"connectTimeout": "0s"}
    with pytest.raises(ValueError, match="must be longer than 0"):
        RedisDestinationSpec.model_validate(
            {"host": "a", "trafficPolicy": {"connectionPool": {"tcp": tcp}}}
        )
