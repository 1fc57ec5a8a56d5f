"""The changes of a set of files since the last look.

Files are looked at first (:meth:`FileSet.look`) and take effect later (:meth:`FileSet.accept`), so
that a look at a file that an editor is just saving can be discarded.

One rule keeps the mesh as it is on errors: as long as anything cannot be read, nothing counts as
gone. Readable files take effect all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aeraki_core.findings.codes import DUPLICATE, UNREADABLE
from aeraki_core.findings.finding import Finding
from aeraki_core.manifests.locate import display
from aeraki_core.manifests.patience import PATIENCE, Asking, UnansweredError
from aeraki_core.manifests.plain_file import Signature, signature_of
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Incomplete
from aeraki_core.sources.files.manifests import Declared, Rules, Trouble, load_object
from aeraki_core.sources.files.reading import (
    DocumentMove,
    FileState,
    TroubleAt,
    read_file,
    read_texts,
)
from aeraki_core.sources.files.tree import Exclude, Identity, Scan, Tree, unreadable

__all__ = ["Advance", "Changes", "FileSet", "Look", "PlaceFindings", "no_advance"]

Advance = Callable[[int, int], None]
"""Takes how many of the changed files are parsed, and how many there are."""


def no_advance(_done: int, _total: int) -> None:
    """Show nobody how far a look is."""


class PlaceFindings(NamedTuple):
    """All that is wrong with one place; it replaces what was wrong there before."""

    place: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look brought."""

    upserts: tuple[SourceObject, ...]
    removals: tuple[ObjectRef, ...]
    problems: tuple[PlaceFindings, ...]
    """Those of the places whose findings changed."""
    incomplete: Incomplete | None
    """What cannot be read, the first of it as ``file:line: what``; None when all was read."""


@dataclass(slots=True)
class Look:
    """The files as they are, before anything follows from it."""

    tree: Tree
    files: dict[str, FileState] = field(default_factory=dict)
    """Those that were read."""
    contents: dict[Declared, SourceObject] = field(default_factory=dict)
    moves: list[DocumentMove] = field(default_factory=list)
    doubtful: bool = False
    """Whether something that was there is missing, empty or broken, as while an editor saves."""


class FileSet:
    """Files, and the objects in effect from them."""

    def __init__(
        self,
        roots: Sequence[str],
        rules: Rules,
        max_size: int,
        ignore: Collection[str] = (),
        exclude: Exclude | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.asking = Asking(patience)
        """Asks the file system: whoever looks at the paths themselves uses it too."""
        self._roots = tuple(roots)
        self._rules = rules
        self._max_size = max_size
        self._ignore = tuple(ignore)
        self._exclude = exclude
        self._tree = Tree()
        self._files: dict[str, FileState] = {}
        self._declared: dict[ObjectRef, list[Declared]] = defaultdict(list)
        self._in_effect: dict[ObjectRef, Declared] = {}
        self._held: set[ObjectRef] = set()
        self._blind = True
        self._lost: dict[str, Identity] = {}
        self._broken: dict[str, str] = {}
        self._findings_of: dict[str, tuple[Finding, ...]] = {}

    # -- looking ---------------------------------------------------------------------------------

    def look(self, paths: Collection[str] = (), advance: Advance = no_advance) -> Look:
        """Look at the files, and read those that changed.

        ``paths``: all that changed, if that is known. ``advance`` is called before the first file
        and after each.
        """
        look = Look(self._scan(paths))
        # A stream's signature is always empty, so it is read once.
        changed = {
            path: signature
            for path, signature in look.tree.files.items()
            if path not in self._files or self._files[path].signature != signature
        }
        advance(0, len(changed))
        texts = read_texts(changed, self._max_size, self.asking)
        for number, (path, text) in enumerate(texts):
            before = self._files.get(path)
            reading = read_file(path, changed[path], text, before, self._rules)
            look.files[path] = reading.state
            look.contents.update(reading.contents)
            look.moves += reading.moves
            emptied = before is not None and before.holds_objects and not reading.state.manifests
            look.doubtful |= reading.state.broken is not None or emptied
            advance(number + 1, len(changed))
        look.doubtful |= not self._files.keys() <= look.tree.files.keys()
        return look

    def _scan(self, paths: Collection[str]) -> Tree:
        """The tree as it is. What gives no answer is as it was, with a trouble."""
        if paths:
            with suppress(UnansweredError):
                tree = self.asking.call("what changed", lambda: self._tree_with(paths))
                if tree is not None:
                    return tree
        away: dict[str, Trouble] = {}
        while True:
            # Each time anew: a thread that is left behind goes on with what it was given.
            scan = Scan(self._ignore, self._exclude)
            for root in self._roots:
                if root in away:
                    scan.keep(self._last_tree(root))
                    continue
                try:
                    self.asking.call(root, partial(scan.look, root), partial(getattr, scan, "at"))
                except UnansweredError as error:
                    away[root] = unreadable(error)
                    break
            else:
                scan.tree.troubles.update(away)
                return scan.tree

    def _last_tree(self, root: str) -> Tree:
        """What was under a root at the last look."""
        inside = root.rstrip("/") + "/"

        def is_in(path: str) -> bool:
            return path == root or path.startswith(inside)

        tree = self._tree
        files = {path: each for path, each in tree.files.items() if is_in(path)}
        anchors = {path: each for path, each in tree.anchors.items() if is_in(path)}
        return Tree(files, {}, anchors, {})

    def _tree_with(self, paths: Collection[str]) -> Tree | None:
        """Return the tree with these files read again; None if more than their content changed."""
        signatures: dict[str, Signature] = {}
        for path in paths:
            if path not in self._tree.files or Path(path).is_symlink() or not Path(path).is_file():
                return None
            try:
                signatures[path] = signature_of(Path(path).stat())
            except OSError:
                return None
        tree = self._tree
        return Tree({**tree.files, **signatures}, tree.order, tree.anchors, tree.troubles)

    # -- taking ----------------------------------------------------------------------------------

    def accept(self, look: Look) -> Changes:
        """Make what was seen the state of the set."""
        for document, line in look.moves:
            document.line = line
        touched: set[ObjectRef] = set()
        places = {path for path in self._files if path not in look.tree.files}
        for path in tuple(places):
            touched |= self._replace(path, None)
        for path, file in look.files.items():
            touched |= self._replace(path, file)
            places.add(path)
        places |= self._accept_tree(look.tree)
        for place in places:
            self._note_broken(place)
        incomplete = self._incomplete()
        if incomplete is None:
            touched |= self._held
            self._blind = False
        upserts, removals = self._settle(touched, look.contents, incomplete is not None)
        for ref in touched:
            places.update(item.origin.document.path for item in self._declared.get(ref, ()))
        return Changes(upserts, removals, self._changed_findings(places), incomplete)

    def _incomplete(self) -> Incomplete | None:
        """Return the unreadable part; until everything was read once, with the words in it."""
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

    def _replace(self, path: str, file: FileState | None) -> set[ObjectRef]:
        """Put a file in the place of what it was; returns the objects that may be others now."""
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

    def _accept_tree(self, tree: Tree) -> set[str]:
        """Apply the tree; return the places whose problems are the tree's own."""
        places = self._tree.troubles.keys() | tree.troubles.keys() | self._lost.keys()
        lost: dict[str, Identity] = {}
        for anchor, identity in {**self._tree.anchors, **self._lost}.items():
            # An anchor is a path given by the user or another file system below it. The same
            # folder, even if empty now, says what it holds.
            if tree.anchors.get(anchor) == identity and anchor not in self._lost:
                continue
            inside = anchor.rstrip("/") + "/"
            # A mount that fails leaves its empty mount point behind. That is no deletion of
            # everything.
            held = anchor in self._lost or any(path.startswith(inside) for path in self._tree.files)
            if held and not any(path.startswith(inside) for path in tree.files):
                lost[anchor] = identity
                message = "the folder is gone, or another, empty one stands in its place; "
                message += "restart if that is meant"
                tree.troubles.setdefault(anchor, Trouble(UNREADABLE, message, None, broken=True))
        self._lost, self._tree = lost, tree
        return places | tree.troubles.keys()

    def _note_broken(self, place: str) -> None:
        file = self._files.get(place)
        broken = file.broken if file else None
        trouble = self._tree.troubles.get(place)
        if broken is None and trouble is not None and trouble.broken:
            broken = TroubleAt(1, trouble)
        if broken is None:
            self._broken.pop(place, None)
            return
        line, trouble = broken
        where = (
            display(place) if trouble.line is None else f"{display(place)}:{line + trouble.line}"
        )
        self._broken[place] = f"{where}: {trouble.message}"

    def _settle(
        self, touched: Iterable[ObjectRef], contents: Mapping[Declared, SourceObject], hold: bool
    ) -> tuple[tuple[SourceObject, ...], tuple[ObjectRef, ...]]:
        """Decide which declaration of each object is in effect."""
        upserts: list[Declared] = []
        removals: list[ObjectRef] = []
        for ref in touched:
            now = self._in_effect.get(ref)
            winner = min(self._declared.get(ref, ()), key=self._position, default=None)
            # No file declares it any more.
            if winner is None:
                # Something cannot be read, and the object may be in there.
                if hold and now is not None:
                    self._held.add(ref)
                    continue
                if self._in_effect.pop(ref, None) is not None:
                    removals.append(ref)
            elif winner is not now:
                self._in_effect[ref] = winner
                upserts.append(winner)
            self._held.discard(ref)
        upserts.sort(key=self._position)
        return tuple(contents.get(item) or load_object(item) for item in upserts), tuple(
            sorted(removals)
        )

    def _position(self, item: Declared) -> tuple[int, int, int]:
        """Return an object's position in the order of all files."""
        document = item.origin.document
        return (self._tree.order[document.path], document.line, item.index)

    # -- findings --------------------------------------------------------------------------------

    def _changed_findings(self, places: Iterable[str]) -> tuple[PlaceFindings, ...]:
        """Return the findings of the places where they changed."""
        changed: list[PlaceFindings] = []
        for place in sorted(places):
            findings = tuple(self._findings(place))
            if findings != self._findings_of.get(place, ()):
                changed.append(PlaceFindings(display(place), findings))
            if findings:
                self._findings_of[place] = findings
            else:
                self._findings_of.pop(place, None)
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
                winner = self._in_effect.get(item.ref)
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
