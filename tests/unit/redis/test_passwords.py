"""Passwords reach the filter and nothing else; without a password, the last good filter stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef, group_of_plugin
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.testing import Made, generate, resource, secret, service
from aeraki_core.testing.generating import registry_of
from aeraki_plugins_redis.resources import REDIS_DESTINATION, REDIS_SERVICE

import aeraki_plugins_redis

PASSWORD = "open-sesame"
CACHE = service(
    "cache",
    {"tcp-redis": 6379},
    selector={"app": "cache"},
    annotations={"redis.aeraki.io/inbound": "true"},
)


def destination(auth: dict[str, Any]) -> dict[str, Any]:
    pool = {"redis": {"auth": auth}}
    return resource(
        REDIS_DESTINATION,
        "cache",
        host="cache",
        trafficPolicy={"connectionPool": pool},
        exportTo=["*"],
    )


FROM_SECRET = destination({"secret": {"name": "redis"}})


class Mesher:
    """A mesh that changes object by object."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.pipeline = Pipeline(Mesh(), Dispatcher(registry_of([aeraki_plugins_redis])))
        self.put(*objects)

    def put(self, *objects: dict[str, Any]) -> None:
        for content in objects:
            metadata = content["metadata"]
            group = group_of_plugin(content["apiVersion"].rpartition("/")[0])
            ref = ObjectRef(content["kind"], metadata["namespace"], metadata["name"], group)
            self.pipeline.upsert(SourceObject(ref, content["apiVersion"], content))
        self.pipeline.run()

    def remove_secret(self) -> None:
        self.pipeline.remove(ObjectRef("Secret", "default", "redis"))
        self.pipeline.run()

    @property
    def given(self) -> list[str]:
        """The passwords in the filters' bytes."""
        data = [
            patch.value.data
            for item in self.pipeline.filters.values()
            if isinstance(item, EnvoyFilter)
            for patch in item.patches
            if patch.value
        ]
        return [
            word
            for word in ("open-sesame", "new-sesame", "token-sesame")
            if any(word.encode() in d for d in data)
        ]

    @property
    def codes(self) -> list[str]:
        return [item.code.id for item in self.pipeline.findings()]


def test_a_changed_secret_changes_the_filters() -> None:
    mesh = Mesher(CACHE, FROM_SECRET, secret("redis", {"password": PASSWORD}))
    assert mesh.given == [PASSWORD]
    mesh.put(secret("redis", {"password": "new-sesame"}))
    assert mesh.given == ["new-sesame"]


def test_a_secret_that_comes_later_makes_the_filters() -> None:
    mesh = Mesher(CACHE, FROM_SECRET)
    assert not mesh.pipeline.filters
    assert mesh.codes == ["AER0405"]
    mesh.put(secret("redis", {"password": PASSWORD}))
    assert mesh.given == [PASSWORD]
    assert mesh.codes == []


@pytest.mark.parametrize("data", [None, {}, {"pass": PASSWORD}, {"password": " \n"}])
def test_without_its_secret_the_last_good_filters_stay(data: dict[str, str] | None) -> None:
    mesh = Mesher(CACHE, FROM_SECRET, secret("redis", {"password": PASSWORD}))
    before = dict(mesh.pipeline.filters)
    if data is None:
        mesh.remove_secret()
    else:
        mesh.put(secret("redis", data))
    assert mesh.pipeline.filters == before
    assert mesh.codes == ["AER0405"]


def test_the_token_counts_without_a_password_and_line_breaks_do_not() -> None:
    mesh = Mesher(CACHE, FROM_SECRET, secret("redis", {"token": "token-sesame\n"}))
    assert mesh.given == ["token-sesame"]
    data = [
        patch.value.data
        for item in mesh.pipeline.filters.values()
        if isinstance(item, EnvoyFilter)
        for patch in item.patches
        if patch.value
    ]
    assert not any(b"token-sesame\n" in item for item in data)


def test_a_username_field_that_was_asked_for_must_be_there() -> None:
    auth = {"secret": {"name": "redis", "usernameField": "user"}}
    mesh = Mesher(
        CACHE, destination(auth), secret("redis", {"password": PASSWORD, "username": "app"})
    )
    assert not mesh.pipeline.filters
    (finding,) = mesh.pipeline.findings()
    assert finding.field == "spec.trafficPolicy.connectionPool.redis.auth.secret.usernameField"


def test_an_empty_password_opens_nothing() -> None:
    mesh = Mesher(
        CACHE, resource(REDIS_SERVICE, "cache", host=["cache"], settings={"auth": {"plain": {}}})
    )
    assert not mesh.pipeline.filters
    assert mesh.codes == ["RDS0116", "RDS0206"]


def test_a_secret_of_another_namespace_is_not_read() -> None:
    mesh = Mesher(CACHE, FROM_SECRET, secret("redis", {"password": PASSWORD}, namespace="other"))
    assert not mesh.pipeline.filters


def test_passwords_do_not_print() -> None:
    plain = destination({"plain": {"password": PASSWORD, "username": "app"}})
    demanded = resource(
        REDIS_SERVICE, "cache", host=["cache"], settings={"auth": {"plain": {"password": PASSWORD}}}
    )
    mesh = Mesher(CACHE, plain, demanded)
    pipeline = mesh.pipeline
    assert mesh.given == [PASSWORD]
    resources = pipeline.store.resources(
        "redis.aeraki.io", "RedisDestination", "cache.default.svc.cluster.local"
    )
    printed = [repr(resources), str(resources), repr(pipeline.filters), repr(pipeline.reports())]
    printed += [json.dumps(item.spec.model_dump(mode="json")) for item in resources]
    assert not [text for text in printed if PASSWORD in text]


def test_a_rejected_object_does_not_tell_its_password() -> None:
    mesh = Mesher(CACHE, destination({"plain": {"password": [PASSWORD]}}))
    assert mesh.codes == ["AER0106"]
    assert not [item for item in mesh.pipeline.findings() if PASSWORD in repr(item)]


# -- whom a password reaches -----------------------------------------------------------------------


PLAIN = service("cache", {"tcp-redis": 6379})


def generate_redis(*objects: dict[str, Any]) -> Made:
    return generate(*objects, plugins=[aeraki_plugins_redis])


def holding(*objects: dict[str, Any]) -> set[str]:
    """The namespaces of the filters that hold the password."""
    result = generate_redis(*objects)
    return {
        each["metadata"]["namespace"] for each in result.filters if PASSWORD in str(each["spec"])
    }


def kept(**spec: Any) -> dict[str, Any]:
    """The password that the sidecar gives to the servers."""
    pool = {"redis": {"auth": {"plain": {"password": PASSWORD}}}}
    return resource(
        REDIS_DESTINATION, "cache", host="cache", trafficPolicy={"connectionPool": pool}, **spec
    )


def demanded(**spec: Any) -> dict[str, Any]:
    """The password that the sidecar demands of clients."""
    settings = {"auth": {"plain": {"password": PASSWORD}}}
    return resource(REDIS_SERVICE, "cache", host=["cache"], settings=settings, **spec)


both = pytest.mark.parametrize("kept", [kept, demanded], ids=["server's", "clients'"])


@both
def test_a_password_stays_in_its_namespace(kept: Callable[..., dict[str, Any]]) -> None:
    result = generate_redis(PLAIN, kept())
    assert [each["metadata"]["namespace"] for each in result.filters] == ["default"]
    (finding,) = result.findings
    assert (finding.code.id, finding.field) == ("RDS0116", "spec.exportTo")


@both
@pytest.mark.parametrize(
    ("export_to", "namespaces"),
    [
        (["."], {"default"}),
        (["web", "."], {"default", "web"}),
        (["web"], {"web"}),
        (["*"], {"istio-system"}),
    ],
)
def test_a_password_reaches_the_namespaces_that_it_is_exported_to(
    kept: Callable[..., dict[str, Any]], export_to: list[str], namespaces: set[str]
) -> None:
    objects = (PLAIN, kept(exportTo=export_to))
    assert holding(*objects) == namespaces
    assert generate_redis(*objects).codes == ()


@both
def test_a_password_follows_a_service_that_is_exported_by_name(
    kept: Callable[..., dict[str, Any]],
) -> None:
    exported = service(
        "cache", {"tcp-redis": 6379}, annotations={"networking.istio.io/exportTo": "web,crm"}
    )
    assert holding(exported, kept()) == {"crm", "web"}


def test_an_object_without_a_password_is_for_everybody() -> None:
    result = generate_redis(PLAIN, resource(REDIS_DESTINATION, "cache", host="cache"))
    assert [each["metadata"]["namespace"] for each in result.filters] == ["istio-system"]


def test_an_export_to_that_is_no_namespace_is_refused() -> None:
    result = generate_redis(PLAIN, kept(exportTo=["../x"]))
    assert holding(PLAIN, kept(exportTo=["../x"])) == set()
    assert "'../x' is neither a namespace" in result.findings_text


def test_the_workloads_side_knows_the_password_that_is_not_exported() -> None:
    assert PASSWORD in str(generate_redis(CACHE, kept()).filter("default/aeraki-inbound"))


def test_the_workloads_side_stays_while_the_secret_is_missing() -> None:
    auth = {"secret": {"name": "redis"}}
    private = resource(
        REDIS_DESTINATION,
        "cache",
        host="cache",
        trafficPolicy={"connectionPool": {"redis": {"auth": auth}}},
    )
    mesh = Mesher(CACHE, private)
    assert not mesh.pipeline.filters
    mesh.put(secret("redis", {"password": PASSWORD}))
    before = dict(mesh.pipeline.filters)
    assert len(before) == 2
    mesh.remove_secret()
    assert mesh.pipeline.filters == before
