"""One file to manifests, whatever it turns out to be.

A document whose text is known is not parsed again, so that an edit costs what it changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aeraki_core.errors import UnreadableError
from aeraki_core.findings.codes import EMPTY, NOT_YAML, TOO_LARGE, UNREADABLE
from aeraki_core.manifests.locate import STDIN, Document
from aeraki_core.manifests.patience import Asking
from aeraki_core.manifests.plain_file import (
    NotAFileError,
    Signature,
    TooLargeError,
    read_plain_file,
    read_standard_input,
    read_stream,
    size_of,
)
from aeraki_core.manifests.read import AliasBudget, decode, split
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.sources.files.manifests import Declared, Manifest, Rules, Trouble, parse
from aeraki_core.sources.files.tree import unreadable

__all__ = ["FileReading", "FileState", "FileText", "read_file", "read_texts"]

# Files that are asked for at once; each is held until it is parsed.
_MOST_FILES, _MOST_BYTES = 64, 1 << 20

_AGAIN: Signature = (-1,)  # unlike any file's: read it again at the next look


class TroubleAt(NamedTuple):
    """Something wrong, and the line (from 1) that its document starts at."""

    line: int
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as it was read."""

    signature: Signature
    manifests: tuple[Manifest, ...] = ()
    trouble: Trouble | None = None
    """Why the file cannot be read now; ``manifests`` are then what it held before."""

    @property
    def troubles(self) -> Iterable[TroubleAt]:
        """All that is wrong."""
        if self.trouble is not None:
            yield TroubleAt(1, self.trouble)
        for manifest in self.manifests:
            for trouble in manifest.troubles:
                yield TroubleAt(manifest.document.line, trouble)

    @property
    def broken(self) -> TroubleAt | None:
        """The first trouble that may hide an object."""
        return next((each for each in self.troubles if each.trouble.broken), None)

    @property
    def holds_objects(self) -> bool:
        """Whether any document of it declares an object."""
        return any(manifest.objects for manifest in self.manifests)


class DocumentMove(NamedTuple):
    """A known document stands at another line."""

    document: Document
    line: int


class FileReading(NamedTuple):
    """A file's new state, before it takes effect."""

    state: FileState
    contents: dict[Declared, SourceObject]
    """Those of the documents that were parsed."""
    moves: list[DocumentMove]


def read_file(
    path: str,
    signature: Signature,
    text: FileText | Trouble,
    before: FileState | None,
    rules: Rules,
) -> FileReading:
    """Read a file of that signature, which holds the text or cannot be read."""
    known: tuple[Manifest, ...] = before.manifests if before else ()
    if isinstance(text, Trouble):
        # Nothing shows when it can be read again; a stream is read only once.
        again = text.code is UNREADABLE and signature
        return FileReading(FileState(_AGAIN if again else signature, known, text), {}, [])
    by_text: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in known:
        if manifest.objects:
            by_text[manifest.document.text].append(manifest)
    manifests: list[Manifest] = []
    contents: dict[Declared, SourceObject] = {}
    moves: list[DocumentMove] = []
    budget = AliasBudget()
    for piece in split(text.text):
        if same := by_text.get(piece.text):
            manifest = same.pop(0)
            manifests.append(manifest)
            moves.append(DocumentMove(manifest.document, piece.line))
            budget.spend(manifest.aliased)
            continue
        for manifest, objects in parse(piece, path, rules, budget):
            manifests.append(manifest)
            contents.update(zip(manifest.objects, objects, strict=True))
    empty = None if manifests else Trouble(EMPTY, "it holds no document", None)
    return FileReading(FileState(text.signature, tuple(manifests), empty), contents, moves)


class FileText(NamedTuple):
    """A file's text, and its signature as it was read; empty for a stream."""

    text: str
    signature: Signature


def read_texts(
    files: Mapping[str, Signature], limit: int, asking: Asking
) -> Iterator[tuple[str, FileText | Trouble]]:
    """Yield each file's path and text, or why there is none.

    A file whose signature is empty is a stream. ``limit`` is in bytes.
    """
    batch: list[str] = []
    size = 0
    for path, signature in files.items():
        if signature:
            batch.append(path)
            size += size_of(signature)
            if len(batch) < _MOST_FILES and size < _MOST_BYTES:
                continue
        yield from _read_batch(batch, limit, asking)
        batch, size = [], 0
        if not signature:
            yield path, _text_of(_read_stream(path, limit), limit)
    yield from _read_batch(batch, limit, asking)


def _read_batch(
    paths: Sequence[str], limit: int, asking: Asking
) -> Iterator[tuple[str, FileText | Trouble]]:
    answers = asking.each(paths, lambda path: read_plain_file(path, limit))
    for path, answer in zip(paths, answers, strict=True):
        yield path, _text_of(answer, limit)


def _read_stream(path: str, limit: int) -> tuple[bytes, Signature] | OSError:
    try:
        return read_standard_input(limit) if path == STDIN else read_stream(path, limit), ()
    except OSError as error:
        return error


def _text_of(answer: tuple[bytes, Signature] | OSError, limit: int) -> FileText | Trouble:
    if isinstance(answer, TooLargeError):
        return Trouble(TOO_LARGE, f"it is larger than {_size(limit)}", None, broken=True)
    if isinstance(answer, NotAFileError):
        return Trouble(UNREADABLE, str(answer.strerror), None)
    if isinstance(answer, OSError):
        return unreadable(answer)
    data, signature = answer
    try:
        return FileText(decode(data), signature)
    except UnreadableError as error:
        return Trouble(NOT_YAML, str(error), (error.line or 1) - 1, broken=True)


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count} bytes"
