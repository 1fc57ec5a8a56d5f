"""Files that change: what takes effect, and what is kept because something went wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.files.fileset import Changes, FileSet
from aeraki_core.sources.files.manifests import Rules
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.sources.manifests import reads, service


class Files:
    """A watched folder, and the objects that come from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.set = FileSet([str(folder)], Rules(reads), 1 << 20)
        self.objects: dict[ObjectRef, SourceObject] = {}
        self.problems: dict[str, tuple[Finding, ...]] = {}
        self.incomplete: str | None = None

    def write(self, name: str, *parts: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n".join(parts))

    def look(self, *paths: str) -> Changes:
        look = self.set.look([str(self.folder / path) for path in paths])
        changes = self.set.accept(look)
        for item in changes.upserts:
            self.objects[item.ref] = item
        for ref in changes.removals:
            del self.objects[ref]
        self.problems.update(changes.problems)
        self.incomplete = changes.incomplete.reason if changes.incomplete else None
        return changes

    @property
    def names(self) -> list[str]:
        return sorted(ref.name for ref in self.objects)

    def port(self, name: str) -> int:
        found = self.objects[ObjectRef("Service", "shop", name)].content["spec"]["ports"][0]["port"]
        assert isinstance(found, int)
        return found

    def codes(self, name: str) -> list[str]:
        return [finding.code.id for finding in self.problems.get(str(self.folder / name), ())]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "mesh")
    found.write("a.yaml", service("a"), service("b"))
    found.write("c.yaml", service("c"))
    found.look()
    assert found.names == ["a", "b", "c"]
    return found


def test_only_what_changed_is_told(files: Files) -> None:
    assert files.look() == Changes((), (), (), None)
    files.write("a.yaml", "# a comment\n", service("new"), service("a"), service("b", port=9))
    changes = files.look()
    assert [item.ref.name for item in changes.upserts] == ["new", "b"]
    origin = files.objects[ObjectRef("Service", "shop", "a")].origin
    assert origin is not None
    assert origin.locate("spec.ports[0].port")[1] == 25  # its text did not change, its line did


def test_a_glance_at_known_files_sees_the_same(files: Files) -> None:
    files.write("c.yaml", service("c", port=9))
    assert [item.ref.name for item in files.look("c.yaml").upserts] == ["c"]
    files.write("d.yaml", service("d"))
    assert [item.ref.name for item in files.look("d.yaml").upserts] == ["d"]
    (files.folder / "d.yaml").unlink()
    assert [ref.name for ref in files.look("d.yaml").removals] == ["d"]


def test_a_deleted_file_takes_its_objects_with_it(files: Files) -> None:
    (files.folder / "a.yaml").unlink()
    assert [ref.name for ref in files.look().removals] == ["a", "b"]
    files.write("c.yaml", "# nothing left\n")
    assert [ref.name for ref in files.look().removals] == ["c"]
    assert files.codes("c.yaml") == ["AER0109"]
    assert files.incomplete is None


def test_a_moved_object_is_never_gone(files: Files) -> None:
    (files.folder / "c.yaml").rename(files.folder / "z.yaml")
    changes = files.look()
    assert [item.ref.name for item in changes.upserts] == ["c"]
    assert changes.removals == ()


def test_a_file_that_no_longer_parses_keeps_what_it_said(files: Files) -> None:
    files.write("a.yaml", service("a", port=9), "kind: [\n", service("d"))
    files.look()
    assert files.names == ["a", "b", "c", "d"]
    assert files.port("a") == 9  # what can be read takes effect
    assert files.codes("a.yaml") == ["AER0101"]
    assert files.incomplete is not None
    assert files.incomplete.startswith(f"{files.folder / 'a.yaml'}:13: ")
    files.write("a.yaml", service("a"))
    files.look()
    assert files.names == ["a", "c"]
    assert files.codes("a.yaml") == []
    assert files.incomplete is None


def test_nothing_is_taken_for_gone_while_something_cannot_be_read(files: Files) -> None:
    """Its object may have moved into what is broken."""
    files.write("b.yaml", service("c") + "  broken")
    (files.folder / "c.yaml").unlink()
    files.look()
    assert files.names == ["a", "b", "c"]
    files.write("b.yaml", service("c", port=9))
    files.look()
    assert files.names == ["a", "b", "c"]
    assert files.port("c") == 9
    files.write("b.yaml", "x: [")
    files.look()
    (files.folder / "b.yaml").unlink()
    assert [ref.name for ref in files.look().removals] == ["c"]


@pytest.mark.parametrize("how", ["directory", "too large", "not text"])
def test_a_file_that_cannot_be_read_keeps_what_it_said(files: Files, how: str) -> None:
    path = files.folder / "a.yaml"
    path.unlink()
    match how:
        case "directory":
            path.symlink_to("nowhere")
        case "too large":
            path.write_bytes(b"#" * (2 << 20))
        case _:
            path.write_bytes(b"\xff\xfe")
    files.look()
    assert files.names == ["a", "b", "c"]
    assert files.incomplete is not None
    path.unlink()
    files.write("a.yaml", service("b"))
    files.look()
    assert files.names == ["b", "c"]
    assert files.incomplete is None


def test_a_folder_that_vanishes_takes_nothing_with_it(files: Files) -> None:
    away = files.folder.with_name("away")
    files.folder.rename(away)
    for _ in range(2):
        files.look()
        assert files.names == ["a", "b", "c"]
        assert files.incomplete is not None
    files.folder.mkdir()  # such as the empty place where something was mounted
    for _ in range(2):
        files.look()
        assert files.names == ["a", "b", "c"]
        assert files.problems[str(files.folder)][0].code.id == "AER0103"
    files.folder.rmdir()
    (away / "c.yaml").unlink()
    away.rename(files.folder)
    files.look()
    assert files.names == ["a", "b"]
    assert files.incomplete is None
    assert files.problems[str(files.folder)] == ()


def test_a_folder_that_is_replaced_by_another_is_believed(files: Files) -> None:
    files.folder.rename(files.folder.with_name("old"))
    files.write("only.yaml", service("only"))
    files.look()
    assert files.names == ["only"]


def test_a_folder_inside_that_is_deleted_takes_its_objects_with_it(files: Files) -> None:
    files.write("team/x.yaml", service("x"))
    files.look()
    (files.folder / "team" / "x.yaml").unlink()
    (files.folder / "team").rmdir()
    assert [ref.name for ref in files.look().removals] == ["x"]


def test_a_folder_emptied_file_by_file_is_believed(files: Files) -> None:
    for name in ("a.yaml", "c.yaml"):
        (files.folder / name).unlink()
    files.look()
    assert files.names == []


def test_a_path_named_outright_that_vanishes_takes_nothing_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(service("a"))
    found = FileSet([str(path)], Rules(reads), 1 << 20)
    assert len(found.accept(found.look()).upserts) == 1
    path.unlink()
    changes = found.accept(found.look())
    assert changes.removals == ()
    assert changes.incomplete is not None
    path.write_text(service("a"))
    assert found.accept(found.look()).incomplete is None


def test_config_maps_swap_their_link(tmp_path: Path) -> None:
    """As kubelet does it: ..data leads to a folder with a date, and the files lead into ..data."""
    folder = tmp_path / "mounted"
    files = Files(folder)

    def publish(name: str, text: str) -> None:
        (folder / name).mkdir()
        (folder / name / "a.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(name)
        (folder / "..data_tmp").rename(folder / "..data")

    publish("..1", service("a", port=1))
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    files.look()
    assert files.port("a") == 1
    publish("..2", service("a", port=2))
    changes = files.look()
    assert files.port("a") == 2
    assert changes.problems == ()
    assert files.names == ["a"]


def test_the_second_takes_over_when_the_first_goes(files: Files) -> None:
    files.write("0.yaml", service("c", port=1))
    files.look()
    assert files.port("c") == 1
    assert files.codes("c.yaml") == ["AER0107"]
    (files.folder / "0.yaml").unlink()
    changes = files.look()
    assert changes.removals == ()
    assert files.port("c") == 7000
    assert files.codes("c.yaml") == []


def test_a_doubtful_look_asks_for_a_second(files: Files) -> None:
    assert not files.set.look().doubtful
    files.write("c.yaml", service("c", port=2))
    assert not files.set.look().doubtful
    files.write("c.yaml", "")
    assert files.set.look().doubtful
    files.write("c.yaml", service("c")[:40] + "\n  x: [")
    assert files.set.look().doubtful
    (files.folder / "c.yaml").unlink()
    assert files.set.look().doubtful
    files.write("c.yaml", service("c"))
    assert not files.set.look().doubtful


def test_ignored_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.yaml").write_text("a: [")
    found = FileSet([str(tmp_path)], Rules(reads), 1 << 20, [str(tmp_path / "out")])
    assert found.accept(found.look()) == Changes((), (), (), None)


PIECES = {name: service(name, port=port) for name in "abc" for port in (1, 2)}
CONTENTS = st.lists(
    st.sampled_from([*PIECES.values(), service("a", port=3), "x: [\n", "kind: Service\n", "# c\n"]),
    max_size=3,
)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["1.yaml", "2.yaml", "3.yaml"]), st.none() | CONTENTS),
        max_size=12,
    )
)
def test_after_any_edits_the_objects_are_those_of_a_fresh_look(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str] | None]]
) -> None:
    files = Files(tmp_path_factory.mktemp("edits"))
    for name, parts in steps:
        if parts is None:
            (files.folder / name).unlink(missing_ok=True)
        else:
            files.write(name, *parts)
            os.utime(files.folder / name, ns=(0, 0))
        files.look()
        fresh = Files(files.folder)
        fresh.look()
        if files.incomplete is None:
            assert {ref: item.content for ref, item in files.objects.items()} == {
                ref: item.content for ref, item in fresh.objects.items()
            }
        else:
            assert fresh.objects.keys() <= files.objects.keys()
            assert all(
                files.objects[ref].content == item.content for ref, item in fresh.objects.items()
            )
        assert {place: found for place, found in files.problems.items() if found} == fresh.problems
        assert files.incomplete == fresh.incomplete
        for ref, item in fresh.objects.items():
            assert item.origin is not None
            mine = files.objects[ref].origin
            assert mine is not None
            assert mine.locate("metadata.name") == item.origin.locate("metadata.name")
