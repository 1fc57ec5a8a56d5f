"""``aeraki krm``: the filters within a KRM function pipeline of kustomize or kpt.

Specification: "KRM Functions Specification v1" (kustomize, cmd/config/docs/api-conventions). The
function gets a ResourceList on stdin and prints it with the filters among its items.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from aeraki_core.cli.command import define
from aeraki_core.console import output
from aeraki_core.errors import AerakiError, SettingsError, UnreadableError
from aeraki_core.findings.text import escape
from aeraki_core.settings import Settings, resolve
from aeraki_core.wiring.session import Session, has_errors, open_session

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding
    from aeraki_core.pipeline.reconcile import Step

__all__ = ["command"]

_PATH = ("internal.config.kubernetes.io/path", "config.kubernetes.io/path")
_INDEX = ("internal.config.kubernetes.io/index", "config.kubernetes.io/index")
_SETTINGS_FILE = ".aeraki.yaml"  # what such a file may not set, a functionConfig may not either


class _Key(NamedTuple):
    """Which items are the same object."""

    group: str
    kind: str
    namespace: str
    name: str


@define("krm", epilog="Example: kustomize build --enable-alpha-plugins --enable-exec deploy/")
def command(settings: Settings) -> int:
    """Add the filters to a ResourceList: a KRM function for kustomize and kpt.

    Reads a ResourceList from stdin and prints it. Filters of ours are added, replaced or removed by
    the rules of `aeraki apply`; every other item stays as it is. Findings are the list's results.

    The functionConfig holds settings as .aeraki.yaml does, under `spec` or, in a ConfigMap, `data`.

    Exits with 1 if a finding is an error.
    """
    resources = _resource_list(sys.stdin.buffer.read())
    items: list[Any] = resources["items"]
    with TemporaryDirectory(prefix="aeraki-krm-") as name:
        directory = Path(name)
        settings = _settings(resources.get("functionConfig"), directory, settings)
        sources = _write_items(items, directory)
        session = open_session(settings, tuple(sources))
    resources["items"] = _with_filters(items, session)
    findings = [_about_item(finding, items, sources) for finding in session.findings]
    results = [_result(finding, item) for finding, item in findings]
    resources.pop("results", None)
    if results:
        resources["results"] = results
    from aeraki_core.manifests.write import render_objects

    output.data(render_objects([resources], sort_keys=False))
    output.findings([finding for finding, _ in findings])
    return int(has_errors(session.findings))


def _resource_list(data: bytes) -> dict[str, Any]:
    from aeraki_core.manifests.read import decode, load_all, split

    try:
        documents = [value for piece in split(decode(data)) for _, value in load_all(piece)]
    except UnreadableError as error:
        raise AerakiError(f"stdin:{error.line or 1}: not valid YAML: {error}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise AerakiError("stdin holds no ResourceList; kustomize and kpt give one to a function")
    resources: dict[str, Any] = documents[0]
    if resources.get("kind") != "ResourceList":
        raise AerakiError(f"stdin holds {resources.get('kind')!r} instead of a ResourceList")
    if not isinstance(resources.setdefault("items", []), list):
        raise AerakiError("the ResourceList's items are no list")
    return resources


def _settings(config: Any, directory: Path, settings: Settings) -> Settings:
    """Return the settings of the functionConfig and the environment, or ``settings``.

    Raises:
        SettingsError: a key is unknown or a value does not fit.
    """
    if not isinstance(config, Mapping):
        return settings
    values = config.get("data") if config.get("kind") == "ConfigMap" else config.get("spec")
    if not values:
        return settings
    from aeraki_core.manifests.write import render_objects

    file = directory / _SETTINGS_FILE
    file.write_text(render_objects([values]), encoding="utf-8")
    try:
        return resolve({}, os.environ, file)
    except SettingsError as error:
        raise SettingsError(str(error).replace(str(file), "functionConfig")) from None


def _write_items(items: Sequence[Any], directory: Path) -> dict[str, int]:
    """Write a file for each item, so that a finding leads to its item; return the index by file."""
    sources = {}
    for index, item in enumerate(items):
        file = directory / f"{index:06}.json"
        file.write_text(json.dumps(item), encoding="utf-8")
        sources[str(file)] = index
    return sources


def _with_filters(items: Sequence[Any], session: Session) -> list[Any]:
    """Return the items after the writes of one pass; each filter replaces its predecessor."""
    from aeraki_core.sinks.live import live_of
    from aeraki_core.wiring.plan import kept_lines, plan_for

    # protobuf moves keys within what it reads.
    lives = [live_of(copy.deepcopy(item), session.settings.instance) for item in items]
    plan = plan_for(session, {live.key: live for live in lives if live is not None})
    for line in kept_lines(plan.kept):
        output.note(line)
    steps = {step.key: step for step in plan.steps}
    result = []
    for item, live in zip(items, lives, strict=True):
        step = steps.pop(live.key, None) if live is not None else None
        if step is None:
            result.append(item)
        elif (content := _content(step)) is not None:
            _keep_place(item, content)
            result.append(content)
    theirs = {_key(item) for item in items}
    for _, step in sorted(steps.items()):
        content = _content(step)
        if content is not None and _key(content) in theirs:
            output.warning(f"{step.key}: an item of that name is not Aeraki's, and stays as it is")
        elif content is not None:
            result.append(content)
    return result


def _content(step: Step) -> dict[str, Any] | None:
    """Return the object that a step writes; None where it deletes or cannot write."""
    from aeraki_core.sinks.writable import UnwritableError, object_of

    if step.after is None:
        return None
    try:
        return object_of(step.after)
    except UnwritableError as error:
        output.findings([error.finding])
        return None


def _key(item: Any) -> _Key:
    item = item if isinstance(item, Mapping) else {}
    metadata = item.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    group = str(item.get("apiVersion")).rpartition("/")[0]
    names = (str(metadata.get("namespace") or ""), str(metadata.get("name")))
    return _Key(group, str(item.get("kind")), *names)


def _keep_place(before: Any, after: dict[str, Any]) -> None:
    """Give an item the annotations that say in which file it lies."""
    annotations = before["metadata"].get("annotations") or {}
    place = {name: annotations[name] for name in (*_PATH, *_INDEX) if name in annotations}
    if place:
        after["metadata"].setdefault("annotations", {}).update(place)


def _about_item(
    finding: Finding, items: Sequence[Any], sources: Mapping[str, int]
) -> tuple[Finding, Mapping[str, Any] | None]:
    """Return the finding at the file of its item, and the item; None without one."""
    index = sources.get(finding.source or "")
    if index is None and finding.ref is not None:
        index = _first(items, finding.ref.kind, finding.ref.namespace, finding.ref.name)
    item = None if index is None or not isinstance(items[index], Mapping) else items[index]
    path = None if item is None else _file(item).get("path")
    return replace(finding, source=path, line=None), item


def _result(finding: Finding, item: Mapping[str, Any] | None) -> dict[str, Any]:
    message = f"{finding.code.id}: {escape(finding.message)}. {finding.code.action}"
    result: dict[str, Any] = {"message": message, "severity": finding.code.severity.label}
    if item is not None:
        result["resourceRef"] = _reference(item)
        if file := _file(item):
            result["file"] = file
    if finding.field:
        result["field"] = {"path": finding.field}
    return result


def _first(items: Iterable[Any], kind: str, namespace: str, name: str) -> int | None:
    for index, item in enumerate(items):
        key = _key(item)
        if (key.kind, key.name) == (kind, name) and key.namespace in (namespace, ""):
            return index
    return None


def _reference(item: Mapping[str, Any]) -> dict[str, Any]:
    key = _key(item)
    ref = {
        "apiVersion": item.get("apiVersion"),
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
    }
    return {name: value for name, value in ref.items() if value}


def _file(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file that an item comes from and its place there; empty if unknown."""
    metadata = item.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(annotations, Mapping):
        return {}
    path = next((annotations[name] for name in _PATH if name in annotations), None)
    index = next((annotations[name] for name in _INDEX if name in annotations), None)
    if path is None:
        return {}
    digits = str(index)
    return {"path": str(path), **({"index": int(digits)} if digits.isdecimal() else {})}
