"""Canaries in the place of secrets: texts that come out only where a proxy needs them."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aeraki_core.testing.generating import Made

__all__ = ["Overheard", "leaks", "listening", "with_canaries"]

_NAMES = frozenset({"name", "stat_prefix", "cluster", "cluster_name", "service_name", "hostname"})
_CANARY = "canary-7f3a9c51-{}"

Objects = Sequence[Mapping[str, Any]]


def with_canaries(objects: Objects) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """Return the objects with a canary for each value of a Secret, and the canaries."""
    canaries: list[str] = []

    def canary() -> str:
        canaries.append(_CANARY.format(len(canaries)))
        return canaries[-1]

    changed = []
    for item in objects:
        if item.get("kind") == "Secret":
            plain = {key: canary() for key in item.get("stringData") or {}}
            coded = {
                key: base64.b64encode(canary().encode()).decode() for key in item.get("data") or {}
            }
            item = {**item, "stringData": plain, "data": coded}
        changed.append(item)
    return changed, tuple(canaries)


class Overheard:
    """What was logged and printed."""

    def __init__(self) -> None:
        self.printed = io.StringIO()
        self.logged: list[str] = []


@contextmanager
def listening() -> Iterator[Overheard]:
    """Take down what is logged, of any level, and printed."""
    overheard = Overheard()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            overheard.logged.append(self.format(record))

    root, handler = logging.getLogger(), Handler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with (
            contextlib.redirect_stdout(overheard.printed),
            contextlib.redirect_stderr(overheard.printed),
        ):
            yield overheard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def leaks(made: Made, overheard: Overheard, canaries: Iterable[str]) -> list[str]:
    """Return where a canary leaked: one line for each place."""
    places = [("the log", text) for text in overheard.logged]
    places.append(("the output", overheard.printed.getvalue()))
    for finding in made.findings:
        where = f"finding {finding.code.id}"
        places += [(where, finding.message), (f"the field of {where}", finding.field or "")]
    for item in made.filters:
        metadata = item["metadata"]
        places.append(("the name of a filter", str(metadata.get("name"))))
        places += [
            ("an annotation or label", str(metadata.get(key))) for key in ("annotations", "labels")
        ]
    for patch in made.patches():
        places += [(f"{key} in a filter", text) for key, text in _names_in(patch)]
    forms = [form for canary in canaries for form in (canary, _coded(canary))]
    return sorted({where for where, text in places for form in forms if form in text})


def _coded(text: str) -> str:
    """In base64, without the end, which depends on what follows."""
    return base64.b64encode(text.encode()).decode()[:16]


def _names_in(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _NAMES and isinstance(inner, str):
                yield key, inner
            yield from _names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_in(inner)
