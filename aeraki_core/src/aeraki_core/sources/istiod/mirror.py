"""What istiod has sent, and what of it is new.

istiod sends every type in full at every push, and almost all of it repeats the last one. A resource
with known bytes is not parsed: comparing a digest costs a hundredth of that. Only two digests of
each object are kept; the object itself goes on with its event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Event, Removed, Upserted
from aeraki_core.sources.istiod.decode import TYPES, decode

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage

__all__ = ["ResourceMirror"]

_DIGEST = 16  # bytes


class _KeptForm(NamedTuple):
    """One object as istiod sent it last."""

    ref: ObjectRef
    content_digest: bytes


class _Decoded(NamedTuple):
    """A parsed object without an event so far."""

    url: str
    bytes_digest: bytes
    source_object: SourceObject


class ResourceMirror:
    """All objects that istiod has. For one thread. ``source`` is the name that events carry."""

    def __init__(self, source: str, domain: str) -> None:
        self._source = source
        self._domain = domain
        self._forms: dict[str, dict[bytes, _KeptForm]] = {url: {} for url in TYPES}
        self._emitted: dict[ObjectRef, bytes] = {}
        self._decoded: list[_Decoded] = []
        self._lost: set[ObjectRef] = set()
        self._unread: dict[str, str] = {}

    @property
    def unread(self) -> str | None:
        """Return what cannot be read at all, so that its object is unknown; None: nothing."""
        return next(iter(self._unread.values()), None)

    def holds(self, url: str) -> bool:
        """Report whether there is any object of the type."""
        return bool(self._forms[url])

    def receive(self, url: str, resources: Iterable[AnyMessage], *, partial: bool = False) -> None:
        """Take one type's full state in. ``partial``: there may be more."""
        kind = url.rpartition("/")[2]
        known = self._forms[url]
        forms: dict[bytes, _KeptForm] = {}
        unread: list[str] = []
        for resource in resources:
            data = resource.value
            digest = blake2b(data, digest_size=_DIGEST).digest()
            form = known.get(digest)
            if form is None:
                try:
                    source_object = decode(kind, data, self._domain)
                except ValueError as error:
                    unread.append(str(error))
                    continue
                form = _KeptForm(source_object.ref, _content_digest(source_object))
                self._decoded.append(_Decoded(url, digest, source_object))
            forms[digest] = form
        if unread or partial:
            # An object that cannot be read may be any of those that are missing: they stay.
            present = {form.ref for form in forms.values()}
            forms |= {digest: form for digest, form in known.items() if form.ref not in present}
        self._unread.pop(url, None)
        if unread:
            self._unread[url] = f"istiod sent {len(unread)} of kind {kind} that cannot be read: "
            self._unread[url] += unread[0]
        self._lost.update(form.ref for digest, form in known.items() if digest not in forms)
        self._forms[url] = forms

    def changes(self) -> list[Event]:
        """Return the changes since the last call: deletions, then new and changed objects."""
        decoded, self._decoded = self._decoded, []
        events: list[Event] = [Removed(self._source, ref) for ref in self._vanished()]
        for url, digest, source_object in decoded:
            form = self._forms[url].get(digest)
            if form is not None and self._emitted.get(form.ref) != form.content_digest:
                self._emitted[form.ref] = form.content_digest
                events.append(Upserted(self._source, source_object))
        return events

    def _vanished(self) -> list[ObjectRef]:
        """Return the reported objects that no type holds in any form."""
        lost, self._lost = self._lost, set()
        if not lost:
            return []
        lost -= {form.ref for forms in self._forms.values() for form in forms.values()}
        return [ref for ref in sorted(lost) if self._emitted.pop(ref, None) is not None]


def _content_digest(source_object: SourceObject) -> bytes:
    """Equal for equal objects, also where istiod writes the same in another order."""
    text = json.dumps([source_object.content, source_object.problem], sort_keys=True)
    return blake2b(text.encode(), digest_size=_DIGEST).digest()
