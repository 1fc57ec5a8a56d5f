"""docs/protocols/redis.md names every finding, option and field, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from aeraki_core.testing import generate
from aeraki_plugins_redis.protocol import REDIS
from aeraki_plugins_redis.resources import RedisDestinationSpec, RedisServiceSpec
from pydantic import BaseModel

import aeraki_plugins_redis

PAGE = (Path(__file__).parents[3] / "docs" / "protocols" / "redis.md").read_text()


def fields(model: type[BaseModel]) -> Iterator[str]:
    """The names, as users write them, of a model and of its parts."""
    for field in model.model_fields.values():
        parts = [field.annotation, *get_args(field.annotation)]
        inner = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        yield field.alias or ""
        for part in inner:
            yield from fields(part)


def test_every_finding() -> None:
    assert re.findall(r"^\| `(RDS\d{4})`", PAGE, re.MULTILINE) == [code.id for code in REDIS.codes]


def test_every_option() -> None:
    documented = re.findall(r"^\| `redis\.aeraki\.io/([a-z-]+)`", PAGE, re.MULTILINE)
    assert documented == [option.name for option in REDIS.options]


def test_every_field() -> None:
    for model in (RedisServiceSpec, RedisDestinationSpec):
        assert [name for name in fields(model) if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_example_gives_a_filter() -> None:
    example, *_ = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    secret = (
        "---\n"
        "apiVersion: v1\n"
        "kind: Secret\n"
        "metadata: {name: redis-password, namespace: shop}\n"
        "stringData: {password: p}\n"
    )
    sessions = (
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: sessions\n  namespace: shop\n"
        "  annotations: {redis.aeraki.io/proxy: always}\n"
        "spec: {clusterIP: 10.96.0.11, ports: [{name: tcp-redis, port: 6379}]}\n"
    )
    made = generate(example + secret + sessions, plugins=[aeraki_plugins_redis])
    assert made.findings == ()
    for namespace in ("shop", "web"):
        assert made.filter(f"{namespace}/aeraki-outbound-cache.shop")
