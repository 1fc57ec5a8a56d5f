"""What a set of files says now, against what it said before.

In: looks at the files. Out of :meth:`FileSet.take`: the objects that are new, changed or gone, what is wrong with each file, and
why something may exist that could not be read.

One rule keeps the mesh as it was when something goes wrong: as long as anything cannot be read, nothing is taken for gone. What is
read takes effect all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aeraki_core.findings.codes import DUPLICATE, EMPTY, UNREADABLE
from aeraki_core.findings.finding import Finding
from aeraki_core.manifests.locate import Document, display
from aeraki_core.manifests.read import split
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Incomplete
from aeraki_core.sources.files.manifests import (
    Declared,
    Manifest,
    Rules,
    Trouble,
    load_object,
    parse,
)
from aeraki_core.sources.files.tree import Signature, Tree, read_text, scan, signature

__all__ = ["Changes", "FileSet", "Look"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look brought. ``problems``: all that is wrong with each place whose findings changed.

    ``incomplete``: what cannot be read, the first of it as ``file:line: what``; None when all was read.
    """

    upserts: tuple[SourceObject, ...]
    removals: tuple[ObjectRef, ...]
    problems: tuple[tuple[str, tuple[Finding, ...]], ...]
    incomplete: Incomplete | None


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it was read. ``trouble``: it cannot be read now; ``manifests`` are what it held before."""

    signature: Signature
    manifests: tuple[Manifest, ...] = ()
    trouble: Trouble | None = None

    @property
    def troubles(self) -> Iterable[tuple[int, Trouble]]:
        """What is wrong, each with the line that its document starts at."""
        if self.trouble is not None:
            yield 1, self.trouble
        for manifest in self.manifests:
            for trouble in manifest.troubles:
                yield manifest.document.line, trouble

    @property
    def broken(self) -> tuple[int, Trouble] | None:
        """The first trouble that may hide an object."""
        return next(((line, trouble) for line, trouble in self.troubles if trouble.broken), None)


@dataclass(slots=True)
class Look:
    """The files as they are, before anything is made of it.

    ``doubtful``: something that was there is missing, empty or broken, as for a moment while an editor saves; a second look tells.
    """

    tree: Tree
    files: dict[str, _File]
    contents: dict[Declared, SourceObject]
    doubtful: bool
    lines: list[tuple[Document, int]] = field(default_factory=list)


_AGAIN: Signature = (-1,)  # unlike any file's: read it again at the next look


class FileSet:
    """Files and the objects in force from them."""

    def __init__(
        self, roots: Sequence[str], rules: Rules, max_size: int, ignore: Collection[str] = ()
    ) -> None:
        self._roots = tuple(roots)
        self._rules = rules
        self._max_size = max_size
        self._ignore = tuple(ignore)
        self._tree = Tree()
        self._files: dict[str, _File] = {}
        self._declared: dict[ObjectRef, list[Declared]] = defaultdict(list)
        self._in_force: dict[ObjectRef, Declared] = {}
        self._held: set[ObjectRef] = set()
        self._blind = True
        self._lost: dict[str, tuple[int, int]] = {}
        self._broken: dict[str, str] = {}
        self._said: dict[str, tuple[Finding, ...]] = {}

    # -- looking ------------------------------------------------------------------------------------------------------

    def look(self, paths: Collection[str] = ()) -> Look:
        """Look at the files, and read those that changed. ``paths``: all that changed, if that is known."""
        tree = self._glance(paths) if paths else None
        if tree is None:
            tree = scan(self._roots, self._ignore)
        look = Look(tree, {}, {}, doubtful=False)
        for path, found in tree.files.items():
            before = self._files.get(path)
            if (
                before is not None and before.signature == found
            ):  # a stream's is empty: it is read once
                continue
            file = self._read(path, before, look)
            look.files[path] = file
            had = before is not None and any(manifest.objects for manifest in before.manifests)
            look.doubtful |= bool(file.broken) or (had and not file.manifests)
        look.doubtful |= not self._files.keys() <= tree.files.keys()
        return look

    def _glance(self, paths: Collection[str]) -> Tree | None:
        """The tree with these files looked at again; None when more than their content changed."""
        found: dict[str, Signature] = {}
        for path in paths:
            if path not in self._tree.files or Path(path).is_symlink() or not Path(path).is_file():
                return None
            try:
                found[path] = signature(Path(path).stat())
            except OSError:
                return None
        tree = self._tree
        return Tree({**tree.files, **found}, tree.order, tree.anchors, tree.troubles)

    def _read(self, path: str, before: _File | None, look: Look) -> _File:
        old = before.manifests if before else ()
        text = read_text(path, self._max_size)
        if isinstance(text, Trouble):
            seen = look.tree.files[path]
            # Nothing tells when it can be read again; but a stream is asked only once.
            return _File(_AGAIN if text.code is UNREADABLE and seen else seen, old, text)
        content, found = text
        known: dict[str, list[Manifest]] = defaultdict(list)
        for manifest in old:
            if manifest.objects:
                known[manifest.document.text].append(manifest)
        manifests: list[Manifest] = []
        for piece in split(content):
            if same := known.get(piece.text):
                manifests.append(same.pop(0))
                look.lines.append((manifests[-1].document, piece.line))
                continue
            for manifest, objects in parse(piece, path, self._rules):
                manifests.append(manifest)
                look.contents.update(zip(manifest.objects, objects, strict=True))
        return _File(
            found,
            tuple(manifests),
            None if manifests else Trouble(EMPTY, "it holds no document", None),
        )

    # -- taking -------------------------------------------------------------------------------------------------------

    def take(self, look: Look) -> Changes:
        """Make what was seen the state of the set."""
        for document, line in look.lines:
            document.line = line
        touched: set[ObjectRef] = set()
        places = {path for path in self._files if path not in look.tree.files}
        for path in tuple(places):
            touched |= self._replace(path, None)
        for path, file in look.files.items():
            touched |= self._replace(path, file)
            places.add(path)
        places |= self._take_tree(look.tree)
        for place in places:
            self._note_broken(place)
        incomplete = self._incomplete()
        if incomplete is None:
            touched |= self._held
            self._blind = False
        upserts, removals = self._settle(touched, look.contents, incomplete is not None)
        for ref in touched:
            places.update(item.origin.document.path for item in self._declared.get(ref, ()))
        return Changes(upserts, removals, self._say(places), incomplete)

    def _incomplete(self) -> Incomplete | None:
        """What cannot be read; until everything was read once, with the words that it mentions."""
        if not self._broken:
            return None
        more = f" (and {len(self._broken) - 1} more)" if len(self._broken) > 1 else ""
        reason = f"{self._broken[min(self._broken)]}{more}"
        if not self._blind:
            return Incomplete(reason)
        words: set[str] = set()
        for place in self._broken:
            file = self._files.get(place)
            if file is None or (file.trouble is not None and file.trouble.broken):
                return Incomplete(reason, None)
            words.update(word for manifest in file.manifests for word in manifest.words)
        return Incomplete(reason, frozenset(words))

    def _replace(self, path: str, file: _File | None) -> set[ObjectRef]:
        """Put a file in the place of what it was; the objects that may now be others."""
        before = self._files.pop(path, None)
        if file is not None:
            self._files[path] = file
        old = {
            item: None
            for manifest in (before.manifests if before else ())
            for item in manifest.objects
        }
        new = {
            item: None for manifest in (file.manifests if file else ()) for item in manifest.objects
        }
        touched = {item.ref for item in (*old, *new)}
        for item in old:
            if item not in new:
                self._declared[item.ref].remove(item)
                if not self._declared[item.ref]:
                    del self._declared[item.ref]
        for item in new:
            if item not in old:
                self._declared[item.ref].append(item)
        return touched

    def _take_tree(self, tree: Tree) -> set[str]:
        """The places whose troubles are the tree's own."""
        places = self._tree.troubles.keys() | tree.troubles.keys() | self._lost.keys()
        lost: dict[str, tuple[int, int]] = {}
        for anchor, identity in {**self._tree.anchors, **self._lost}.items():
            if tree.anchors.get(anchor) == identity and anchor not in self._lost:
                continue
            inside = anchor.rstrip("/") + "/"
            held = anchor in self._lost or any(path.startswith(inside) for path in self._tree.files)
            if held and not any(path.startswith(inside) for path in tree.files):
                lost[anchor] = identity
                message = "the folder is gone, or another, empty one stands in its place; restart if that is meant"
                tree.troubles.setdefault(anchor, Trouble(UNREADABLE, message, None, broken=True))
        self._lost, self._tree = lost, tree
        return places | tree.troubles.keys()

    def _note_broken(self, place: str) -> None:
        file = self._files.get(place)
        found = file.broken if file else None
        trouble = self._tree.troubles.get(place)
        if found is None and trouble is not None and trouble.broken:
            found = (1, trouble)
        if found is None:
            self._broken.pop(place, None)
            return
        line, trouble = found
        where = (
            display(place) if trouble.line is None else f"{display(place)}:{line + trouble.line}"
        )
        self._broken[place] = f"{where}: {trouble.message}"

    def _settle(
        self, touched: Iterable[ObjectRef], contents: Mapping[Declared, SourceObject], hold: bool
    ) -> tuple[tuple[SourceObject, ...], tuple[ObjectRef, ...]]:
        """Which declaration of each object is in force now."""
        upserts: list[Declared] = []
        removals: list[ObjectRef] = []
        for ref in touched:
            now = self._in_force.get(ref)
            winner = min(self._declared.get(ref, ()), key=self._position, default=None)
            if winner is None:
                if hold and now is not None:
                    self._held.add(ref)
                    continue
                if self._in_force.pop(ref, None) is not None:
                    removals.append(ref)
            elif winner is not now:
                self._in_force[ref] = winner
                upserts.append(winner)
            self._held.discard(ref)
        upserts.sort(key=self._position)
        return tuple(contents.get(item) or load_object(item) for item in upserts), tuple(
            sorted(removals)
        )

    def _position(self, item: Declared) -> tuple[int, int, int]:
        """Where an object stands in the order of all files."""
        document = item.origin.document
        return (self._tree.order[document.path], document.line, item.index)

    # -- saying what is wrong -------------------------------------------------------------------------------------------

    def _say(self, places: Iterable[str]) -> tuple[tuple[str, tuple[Finding, ...]], ...]:
        changed: list[tuple[str, tuple[Finding, ...]]] = []
        for place in sorted(places):
            found = tuple(self._findings(place))
            if found != self._said.get(place, ()):
                changed.append((display(place), found))
            if found:
                self._said[place] = found
            else:
                self._said.pop(place, None)
        return tuple(changed)

    def _findings(self, place: str) -> Iterator[Finding]:
        trouble = self._tree.troubles.get(place)
        if trouble is not None:
            yield trouble.finding(display(place), 1)
        file = self._files.get(place)
        if file is None:
            return
        for line, trouble in file.troubles:
            yield trouble.finding(display(place), line)
        for manifest in file.manifests:
            for item in manifest.objects:
                winner = self._in_force.get(item.ref)
                if winner is not None and winner is not item:
                    other = winner.origin.document.path
                    where = "earlier in this file" if other == place else f"in {display(other)}"
                    source, line = item.origin.locate(None)
                    yield Finding(
                        DUPLICATE,
                        f"it is also {where}; that one is used",
                        item.ref,
                        None,
                        source,
                        line,
                    )
