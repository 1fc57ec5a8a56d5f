"""What must be true of the filters, asked of the API server alone.

A watch remembers every deletion and every change of a filter. When all is quiet, a fresh
``aeraki generate`` over the same objects says which filters there should be.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml
from urllib3.exceptions import HTTPError

from tests.rig.api import Api, Object
from tests.rig.errors import ApiError

from .changes import FILTER, OURS

_KINDS = (
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    *(
        ("networking.istio.io/v1", kind)
        for kind in ("ServiceEntry", "VirtualService", "DestinationRule", "Sidecar")
    ),
    FILTER,
    ("redis.aeraki.io/v1alpha1", "RedisDestination"),
    ("redis.aeraki.io/v1alpha1", "RedisService"),
)
_NAMED = (
    ("networking.istio.io/v1", "ServiceEntry"),
    ("networking.istio.io/v1", "DestinationRule"),
)
"""Kinds of objects that filters name."""
_WRITES = re.compile(
    r'^apiserver_request_total\{(?=[^}]*code="2)(?=[^}]*resource="envoyfilters")'
    r'(?=[^}]*verb="(?:POST|PUT|PATCH|APPLY|DELETE)")[^}]*\} (\S+)$',
    re.MULTILINE,
)


class Key(NamedTuple):
    """Namespace and name of a filter, or of what filters name: then with its kind."""

    namespace: str
    name: str


class Content(NamedTuple):
    """All of a filter that Aeraki writes, as JSON."""

    labels: str
    annotations: str
    spec: str


def key_of(filter_object: Object) -> Key:
    """The key of a live or generated filter."""
    metadata, kind = filter_object["metadata"], filter_object.get("kind", FILTER[1])
    name = metadata["name"] if kind == FILTER[1] else f"{kind} {metadata['name']}"
    return Key(metadata["namespace"], name)


def content_of(filter_object: Object) -> Content:
    """The content of a live or generated filter."""
    metadata = filter_object["metadata"]
    parts = (metadata.get("labels"), metadata.get("annotations"), filter_object["spec"])
    return Content(*(json.dumps(part or {}, sort_keys=True) for part in parts))


def live_filters(api: Api, wanted: Mapping[Key, Content]) -> dict[Key, Content]:
    """Our filters as the API server has them, and what they name of what is wanted.

    What filters name stays for two minutes longer than they.

    Raises:
        ApiError, HTTPError: it cannot be asked.
    """
    live = {}
    for api_version, kind in (FILTER, *_NAMED):
        for each in api.objects(api_version, kind, labels=f"{OURS}=aeraki"):
            key = key_of({**each, "kind": kind})
            if _by_us(each) and (kind == FILTER[1] or key in wanted):
                live[key] = content_of(each)
    return live


def _by_us(filter_object: Object) -> bool:
    """Whether the name is one of ours: an attack writes our label only."""
    return str(filter_object["metadata"]["name"]).startswith("aeraki-")


def wanted_filters(api: Api, folder: Path, plugins: str) -> dict[Key, Content]:
    """What a fresh ``aeraki generate`` makes of all objects of the API server.

    Raises:
        ApiError, HTTPError: it cannot be asked.
    """
    items: list[Object] = []
    for api_version, kind in _KINDS:
        for each in api.objects(api_version, kind):
            if (api_version, kind) == FILTER and _by_us(each):
                continue
            each["metadata"].pop("managedFields", None)
            items.append({"apiVersion": api_version, "kind": kind, **each})
    path = folder / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    # Findings give an exit code of 1: hostile objects have some.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "aeraki_core", "generate", "-f", str(path)),
            *("--plugins", plugins, "--live-weights", "annotated"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"generate ended with {done.returncode}: {done.stderr[-2000:]}")
    documents = yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {key_of(each): content_of(each) for each in documents if each}


def writes_so_far(api: Api) -> float:
    """Requests since the API server's start that wrote filters and succeeded."""
    text = api.request("GET", "/metrics", accept="*/*")["message"]
    return sum(float(number) for number in _WRITES.findall(text))


class Seen(NamedTuple):
    """What the watch saw since it was asked last."""

    deleted: frozenset[Key]
    changed: Mapping[Key, int]
    """How often a filter got another content."""
    repeated: int
    """Writes that changed nothing."""
    events: int


class FilterWatch:
    """Remembers what happens to our filters, through restarts of the API server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._known: dict[Key, tuple[str, Content]] = {}
        self._deleted: set[Key] = set()
        self._changed: dict[Key, int] = {}
        self._repeated = 0
        self._events = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filter-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Take in nothing more; the thread ends with the process."""
        self._stopped.set()

    def take(self) -> Seen:
        """What happened since the last call."""
        with self._lock:
            seen = Seen(frozenset(self._deleted), self._changed, self._repeated, self._events)
            self._deleted, self._changed = set(), {}
            self._repeated = self._events = 0
        return seen

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except (ApiError, HTTPError, OSError, ValueError):
                self._stopped.wait(0.2)

    def _follow(self) -> None:
        path = self._api.type(*FILTER).path()
        answer = self._api.request("GET", path)
        self._compare([each for each in answer["items"] if _by_us(each)])
        version = answer["metadata"]["resourceVersion"]
        while not self._stopped.is_set():
            for event in self._api.watch(*FILTER, resource_version=version, timeout=60):
                if event.get("type") not in ("ADDED", "MODIFIED", "DELETED"):
                    return
                version = event["object"]["metadata"]["resourceVersion"]
                with self._lock:
                    self._events += 1
                    if _by_us(event["object"]):
                        self._take(event["type"] == "DELETED", event["object"])

    def _compare(self, filters: list[Object]) -> None:
        """Find out what happened while nobody watched."""
        there = {key_of(each): each for each in filters}
        with self._lock:
            for key in self._known.keys() - there.keys():
                del self._known[key]
                self._deleted.add(key)
            for each in there.values():
                self._take(False, each, listed=True)

    def _take(self, deleted: bool, filter_object: Object, *, listed: bool = False) -> None:
        key, uid = key_of(filter_object), filter_object["metadata"]["uid"]
        before = self._known.get(key)
        if deleted:
            self._known.pop(key, None)
            self._deleted.add(key)
            return
        content = content_of(filter_object)
        self._known[key] = (uid, content)
        if before is None:
            return
        if before[0] != uid:
            self._deleted.add(key)
        elif before[1] != content:
            self._changed[key] = self._changed.get(key, 0) + 1
        elif not listed:
            self._repeated += 1
