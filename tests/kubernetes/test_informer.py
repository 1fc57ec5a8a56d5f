"""A list that comes in pages from a real API server, also when it breaks off in the middle."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
import urllib3
from aeraki_core.kube.client import Client, connect
from aeraki_core.kube.decode import DecodedObject
from aeraki_core.kube.informer import (
    Changed,
    Failed,
    Informer,
    ListBegan,
    ListEnded,
    ListNews,
    Page,
    Tuning,
)
from aeraki_core.kube.resources import ApiResource

from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.waiting import wait_until

pytestmark = pytest.mark.mesh

ENTRIES = ApiResource("networking.istio.io", "v1", "ServiceEntry", "serviceentries")
COUNT, PAGE = 7, 3


class Heard:
    """Remembers an informer's news.

    ``meanwhile`` is called once, after the first page, in the informer's thread.
    """

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._meanwhile: Callable[[], None] | None = meanwhile
        self.said: list[str] = []
        self.names: set[str] = set()
        self.complete = threading.Event()
        self.broken = threading.Event()

    def __call__(self, news: ListNews) -> None:
        match news:
            case ListBegan():
                self.said.append("listing")
                self.names = set()
            case Page(_, objects):
                self._page(objects)
            case ListEnded():
                self.said.append("listed")
                self.complete.set()
            case Changed(_, objects):
                self.said += [f"changed {content['metadata']['name']}" for content, _ in objects]
            case Failed():
                self.said.append("failed")
                self.broken.set()
            case _:
                self.said.append(type(news).__name__)

    def _page(self, objects: Sequence[DecodedObject]) -> None:
        self.said.append(f"page of {len(objects)}")
        self.names |= {content["metadata"]["name"] for content, _ in objects}
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()


@pytest.fixture
def watch(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[[Heard], Client]]:
    """Makes objects, and starts informers over them that are stopped when the test ends."""
    for number in range(COUNT):
        control_plane.api.create(entry(f"outside-{number}", namespace))
    with ExitStack() as started:

        def begin(handler: Heard) -> Client:
            client = connect(control_plane.kubeconfig)
            informer = Informer(
                "ServiceEntry",
                client,
                lambda: ENTRIES,
                handler,
                namespace=namespace,
                tuning=Tuning(page=PAGE),
            )
            started.callback(informer.join, 5)
            started.callback(informer.stop)
            informer.start()
            return client

        yield begin


def entry(name: str, namespace: str, **labels: str) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "hosts": [f"{name}.{namespace}.example.org"],
            "addresses": ["240.2.0.1"],
            "ports": [{"number": 4000, "name": "tcp-demo", "protocol": "TCP"}],
            "resolution": "DNS",
        },
    }


def whole(said: Sequence[str]) -> list[str]:
    """Return the news from the start of the last list until it was complete."""
    end = said.index("listed") + 1
    start = max(at for at, word in enumerate(said[:end]) if word == "listing")
    return list(said[start:end])


PAGES = ["listing", "page of 3", "page of 3", "page of 1", "listed"]


def test_a_list_is_handed_on_page_by_page(watch: Callable[[Heard], Client]) -> None:
    heard = Heard()
    watch(heard)
    assert heard.complete.wait(20)
    assert heard.said[:5] == PAGES
    assert heard.names == {f"outside-{number}" for number in range(COUNT)}


def test_a_list_that_breaks_off_begins_again(
    watch: Callable[[Heard], Client], control_plane: ControlPlane
) -> None:
    heard = Heard(control_plane.apiserver.kill)
    watch(heard)
    try:
        assert heard.broken.wait(20)
        assert "listed" not in heard.said
    finally:
        control_plane.apiserver.start()
    assert heard.complete.wait(60)
    assert whole(heard.said) == PAGES
    assert heard.said.index("failed") < heard.said.index("listed")
    assert heard.names == {f"outside-{number}" for number in range(COUNT)}


def test_a_list_whose_state_the_server_has_forgotten_begins_again_with_what_there_is_now(
    watch: Callable[[Heard], Client], control_plane: ControlPlane, namespace: str
) -> None:
    def forget() -> None:
        api = control_plane.api
        api.delete("networking.istio.io/v1", "ServiceEntry", "outside-0", namespace=namespace)
        changed = api.create(entry("later", namespace))
        compact(control_plane, int(changed["metadata"]["resourceVersion"]))
        control_plane.apiserver.restart()  # its own memory of that state is gone too

    heard = Heard(forget)
    watch(heard)
    assert heard.complete.wait(90)
    assert heard.said[:2] == ["listing", "page of 3"]
    assert heard.said.count("listing") > 1
    assert whole(heard.said) == PAGES
    assert heard.names == {"later", *(f"outside-{number}" for number in range(1, COUNT))}


def compact(control_plane: ControlPlane, revision: int) -> None:
    """Make etcd forget all states before that one."""
    option = "--listen-client-urls="
    address = next(
        each for each in control_plane.etcd.argv if each.startswith(option)
    ).removeprefix(option)
    body = json.dumps({"revision": revision, "physical": True})
    response = urllib3.request(
        "POST", f"{address}/v3/kv/compaction", body=body.encode(), timeout=20
    )
    assert response.status == 200, response.data


def test_what_changes_after_the_list_is_told(
    watch: Callable[[Heard], Client], control_plane: ControlPlane, namespace: str
) -> None:
    heard = Heard()
    client = watch(heard)
    assert heard.complete.wait(20)
    before = client.requests.counts()
    control_plane.api.create(entry("later", namespace))
    wait_until(
        lambda: "changed later" in heard.said, 20, "word of the new object", seen=lambda: heard.said
    )
    assert heard.said.count("listing") == 1
    # At most the watch that had not begun: nothing is read again.
    assert sum(client.requests.counts().values()) - sum(before.values()) <= 1
