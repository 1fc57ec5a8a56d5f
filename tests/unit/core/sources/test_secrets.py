"""Which Secrets the Kubernetes source reads."""

from __future__ import annotations

import pytest
from aeraki_core.kube.decode import DecodedObject, Object
from aeraki_core.kube.informer import Changed, Deleted, Failed, ListBegan, ListEnded, ListNews, Page
from aeraki_core.kube.resources import ApiResource
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import Kind, LoadedKind
from aeraki_core.sources.events import Event, Problems, Removed, Upserted
from aeraki_core.sources.kubernetes.secrets import SecretFeed, SecretName, SecretReferences
from pydantic import BaseModel

SECRETS = ApiResource("", "v1", "Secret", "secrets")
TOKEN = "kubernetes.io/service-account-token"


def secret(type_: str, label: str = "", version: int = 1) -> Object:
    labels = {"aeraki.io/secret": label} if label else {}
    metadata = {"name": "pass", "namespace": "shop", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels}, "type": type_, "data": {}}


def listed(feed: SecretFeed, *secrets: Object) -> list[Event]:
    page = Page(SECRETS, tuple(map(DecodedObject, secrets)))
    return told(feed, ListBegan(), page, ListEnded(SECRETS))


def told(feed: SecretFeed, *news: ListNews) -> list[Event]:
    return [event for each in news for event in feed.handle(each)]


def changed(content: Object) -> Changed:
    return Changed(SECRETS, (DecodedObject(content),))


@pytest.fixture
def feed() -> SecretFeed:
    return SecretFeed(SecretName("shop", "pass"))


@pytest.mark.parametrize(
    "content",
    [
        secret("Opaque"),
        secret(""),
        secret("kubernetes.io/basic-auth"),
        secret("kubernetes.io/tls", "true"),
    ],
)
def test_a_released_secret_is_read(feed: SecretFeed, content: Object) -> None:
    [event] = listed(feed, content)
    assert isinstance(event, Upserted)
    assert not feed.stale


@pytest.mark.parametrize(
    "content",
    [
        secret(TOKEN),
        secret(TOKEN, "true"),
        secret("kubernetes.io/tls"),
        secret("kubernetes.io/tls", "false"),
        secret("helm.sh/release.v1"),
    ],
)
def test_any_other_is_reported_and_counts_as_not_there(feed: SecretFeed, content: Object) -> None:
    [event] = listed(feed, content)
    assert isinstance(event, Problems)
    [finding] = event.findings
    assert (finding.code.id, str(finding.ref)) == ("AER0117", "Secret shop/pass")
    assert not feed.stale


def test_a_release_that_is_withdrawn_takes_the_secret_away(feed: SecretFeed) -> None:
    listed(feed, secret("kubernetes.io/tls", "true"))
    removed, problems = told(feed, changed(secret("kubernetes.io/tls", version=2)))
    assert isinstance(removed, Removed)
    assert isinstance(problems, Problems)
    upserted, cleared = told(feed, changed(secret("kubernetes.io/tls", "true", 3)))
    assert isinstance(upserted, Upserted)
    assert cleared == Problems("kubernetes", problems.place, ())


def test_a_refused_secret_that_is_deleted_is_forgotten(feed: SecretFeed) -> None:
    listed(feed, secret(TOKEN))
    [event] = told(feed, Deleted(SECRETS, (secret(TOKEN, version=2),)))
    assert isinstance(event, Problems)
    assert event.findings == ()


def test_one_that_cannot_be_read_holds_nobody_up(feed: SecretFeed) -> None:
    [event] = told(feed, Failed("forbidden"))
    assert isinstance(event, Problems)
    assert not feed.stale


class DemoSpec(BaseModel):
    password: str = ""


DEMO = LoadedKind.of(
    Kind(
        group="demo.aeraki.io",
        version="v1",
        kind="Demo",
        plural="demos",
        spec=DemoSpec,
        summary="for tests",
        secrets=lambda spec: [spec.password] if spec.password else [],
    ),
    "demo",
)


def demo(name: str, password: object, problem: str | None = None) -> Upserted:
    content = {"metadata": {}, "spec": {"password": password}}
    ref = ObjectRef("Demo", "shop", name)
    return Upserted("k", SourceObject(ref, "demo.aeraki.io/v1", content, problem=problem))


def test_secrets_are_wanted_while_an_object_refers_to_them() -> None:
    references = SecretReferences({("demo.aeraki.io", "Demo"): DEMO})
    assert references.follow([demo("a", "one"), demo("b", "one")])
    assert references.wanted == {("shop", "one")}
    assert not references.follow([demo("b", "one"), Removed("k", ObjectRef("Demo", "shop", "b"))])
    assert references.follow([demo("a", "two")])
    assert references.wanted == {("shop", "two")}
    # What cannot be read refers to what it did before.
    assert not references.follow([demo("a", 7), demo("a", "", "nested too deep")])
    assert references.follow([Removed("k", ObjectRef("Demo", "shop", "a"))])
    assert references.wanted == set()
