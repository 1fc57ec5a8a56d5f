"""Filters as files: whole, only when they differ, and nothing of anybody else's is touched."""

from __future__ import annotations

import gc
import os
import queue
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aeraki_core.errors import SinkError
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.output import Output
from aeraki_core.manifests.write import render_yaml
from aeraki_core.pipeline.reconcile import Plan, reconcile
from aeraki_core.sinks.base import Written
from aeraki_core.sinks.files import FilesSink, file_name

from tests.unit.core.echo import Mesher

OUT = FilterKey("istio-system", "aeraki-outbound-cart.shop.svc.cluster.local-7000")
WAIT = 20.0


def filters(*names: str, **annotations: str) -> dict[FilterKey, Output]:
    mesh = Mesher()
    for number, name in enumerate(names or ("cart",)):
        mesh.service(
            name,
            f"10.0.0.{number + 1}",
            annotations={f"echo.aeraki.io/{k}": v for k, v in annotations.items()},
        )
    mesh.run()
    return mesh.pipeline.filters


def plan(sink: FilesSink, wanted: dict[FilterKey, Output]) -> Plan:
    live = sink.live()
    return reconcile(
        {*wanted, *live},
        wanted,
        live,
        active_plugins={"echo"},
    )


def write(sink: FilesSink, wanted: dict[FilterKey, Output]) -> list[Written]:
    return list(sink.apply(plan(sink, wanted).steps))


def states(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in sorted(folder.iterdir())
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out" / "filters"


@pytest.fixture
def sink(folder: Path) -> Iterator[FilesSink]:
    found = FilesSink(folder, watch=False)
    found.start(lambda key: None)
    yield found
    found.stop()


def test_filters_that_come_and_go_leave_nothing_in_memory(sink: FilesSink) -> None:
    item = next(iter(filters().values()))

    def come_and_go(first: int) -> None:
        for number in range(first, first + 200):
            key = FilterKey("istio-system", f"aeraki-outbound-{number}-7000")
            write(sink, {key: replace(item, key=key)})
        write(sink, {})
        gc.collect()

    come_and_go(0)
    tracemalloc.start()
    come_and_go(200)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 200 * 100  # bytes; a name and its key have more


def test_each_filter_is_a_file_of_its_own(sink: FilesSink, folder: Path) -> None:
    wanted = filters("cart", "order")
    assert all(item.error is None for item in write(sink, wanted))
    assert sorted(states(folder)) == sorted(f"{key.namespace}.{key.name}.yaml" for key in wanted)
    for key, item in wanted.items():
        assert (folder / file_name(key)).read_text() == render_yaml([item])
    assert {key: live.filter for key, live in sink.live().items()} == wanted


def test_what_is_as_it_should_be_is_not_written(sink: FilesSink, folder: Path) -> None:
    write(sink, filters("cart", "order"))
    before = states(folder)
    assert write(sink, filters("cart", "order")) == []
    again = FilesSink(folder, watch=False)
    again.start(lambda key: None)
    assert write(again, filters("cart", "order")) == []
    changed = filters("cart", "order")
    changed[OUT] = filters("cart", volume="3")[OUT]
    assert [item.step.key for item in write(again, changed)] == [OUT]
    after = states(folder)
    assert {name for name in after if after[name] != before[name]} == {file_name(OUT)}


def test_a_restart_needs_nothing_that_was_imported_before(sink: FilesSink, folder: Path) -> None:
    """The filters are read before any generator has run and imported the types that they hold."""
    write(sink, filters())
    code = (
        "import sys\nfrom aeraki_core.sinks.files import FilesSink\nsink = "
        f"FilesSink({str(folder)!r}, watch=False)\nsink.start(lambda key: None)\nassert "
        "all(live.filter is not None for live in sink.live().values())\nprint(len(sink.live()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.strip() == "2"


def test_a_comment_or_another_form_of_the_same_is_no_difference(
    sink: FilesSink, folder: Path
) -> None:
    write(sink, filters())
    path = folder / file_name(OUT)
    path.write_text(
        "# mine\n" + path.read_text().replace("kind: EnvoyFilter", 'kind:   "EnvoyFilter"')
    )
    again = FilesSink(folder, watch=False)
    again.start(lambda key: None)
    assert write(again, filters()) == []
    assert path.read_text().startswith("# mine")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("priority: 10", "priority: 5"),
        lambda text: text.replace("priority: 10", "priority: 10\n  targetRefs: []"),
        lambda text: text.replace("stat_prefix: ", "stat_prefix: other"),
        lambda text: text.replace("stat_prefix", "no_such_field"),
        lambda text: text[: len(text) // 2] + "\n  x: [",
        lambda text: "",
    ],
)
def test_a_file_of_ours_that_somebody_edits_is_restored(
    sink: FilesSink, folder: Path, change: object
) -> None:
    write(sink, filters())
    path = folder / file_name(OUT)
    good = path.read_text()
    assert callable(change)
    bad = change(good)
    assert bad != good
    path.write_text(bad)
    sink._suspects.put(path.name)
    done = write(sink, filters())
    assert [(item.step.key, item.error) for item in done] == [(OUT, None)]
    assert path.read_text() == good
    path.unlink()
    sink._suspects.put(path.name)
    assert len(write(sink, filters())) == 1
    assert path.read_text() == good


def test_what_nothing_asks_for_is_removed(sink: FilesSink, folder: Path) -> None:
    write(sink, filters("cart", "order"))
    write(sink, filters("order"))
    assert sorted(states(folder)) == sorted(file_name(key) for key in filters("order"))


OTHERS = {
    "another kind": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
    "without our label": None,
    "text": "hello\n",
    "two documents": "a: 1\n---\nb: 2\n",
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_file_that_is_not_ours_is_never_touched(sink: FilesSink, folder: Path, case: str) -> None:
    wanted = filters()
    text = OTHERS[case] or render_yaml([wanted[OUT]]).replace(
        "app.kubernetes.io/managed-by: aeraki", "team: mine"
    )
    path = folder / file_name(OUT)
    path.write_text(text)
    (folder / "kustomization.yaml").write_text("resources: []\n")
    (folder / "istio-system.mine.yaml").write_text(render_yaml([wanted[OUT]]))
    before = states(folder)
    again = FilesSink(folder, watch=False)
    again.start(lambda key: None)
    assert again.live() == {}
    failed = [item for item in write(again, wanted) if item.error is not None]
    assert [(item.step.key, item.retry) for item in failed] == [(OUT, False)]
    assert failed[0].finding is not None
    assert failed[0].finding.code.id == "AER0504"
    assert failed[0].finding.source == str(path)
    assert {name: state for name, state in states(folder).items() if name in before} == before
    write(again, {})
    assert states(folder) == before


def test_a_link_is_not_followed(sink: FilesSink, folder: Path, tmp_path: Path) -> None:
    wanted = filters()
    (tmp_path / "elsewhere.yaml").write_text(render_yaml([wanted[OUT]]))
    (folder / file_name(OUT)).symlink_to(tmp_path / "elsewhere.yaml")
    sink._suspects.put(file_name(OUT))
    failed = [item for item in write(sink, filters(volume="2")) if item.error is not None]
    assert [item.finding.code.id for item in failed if item.finding] == ["AER0504"]
    assert (folder / file_name(OUT)).is_symlink()


def test_a_broken_file_that_may_be_ours_is_said_and_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / file_name(OUT)
    path.write_text("apiVersion: x\nkind: [\n")
    (folder / "notes.yaml").write_text("a: [\n")
    sink = FilesSink(folder, watch=False)
    sink.start(lambda key: None)
    [finding] = sink.findings()
    assert (finding.code.id, finding.source, finding.line) == ("AER0505", str(path), 2)
    failed = [item for item in write(sink, filters()) if item.error is not None]
    assert [item.finding.code.id for item in failed if item.finding] == ["AER0505"]
    assert path.read_text() == "apiVersion: x\nkind: [\n"
    path.unlink()
    assert [item.error for item in write(sink, filters())] == [None]
    assert sink.findings() == ()


def test_long_names_fit_the_file_system(sink: FilesSink, folder: Path) -> None:
    host = "a" * 60
    mesh = Mesher()
    mesh.entry(
        "e", [".".join([host] * 3) + ".example.com"], addresses=["10.1.1.1"], resolution="STATIC"
    )
    mesh.service(host, namespace="b" * 63)
    mesh.run()
    assert max(len(str(key)) for key in mesh.pipeline.filters) > 200
    longest = FilterKey("n" * 63, "x" * 253)
    assert len(file_name(longest)) == 255
    assert file_name(longest) != file_name(FilterKey("n" * 63, "x" * 252 + "y"))
    write(sink, mesh.pipeline.filters)
    again = FilesSink(folder, watch=False)
    again.start(lambda key: None)
    assert write(again, mesh.pipeline.filters) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(
    sink: FilesSink, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sink, filters())
    before = states(folder)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = write(sink, filters(volume="2"))
        assert {item.retry for item in done} == {True}
        assert all("no space left" in (item.error or "") for item in done)
        assert states(folder) == before
    assert {item.error for item in write(sink, filters(volume="2"))} == {None}


def test_a_file_keeps_its_mode(sink: FilesSink, folder: Path) -> None:
    write(sink, filters())
    (folder / file_name(OUT)).chmod(0o600)
    write(sink, filters(volume="2"))
    assert (folder / file_name(OUT)).stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="the live filters cannot be read"):
        FilesSink(tmp_path / "file").start(lambda key: None)


# -- watching --------------------------------------------------------------------------------------


@pytest.fixture
def told(folder: Path) -> Iterator[tuple[FilesSink, queue.SimpleQueue[FilterKey]]]:
    found = FilesSink(folder)
    changed: queue.SimpleQueue[FilterKey] = queue.SimpleQueue()
    found.start(changed.put)
    yield found, changed
    found.stop()


def test_what_somebody_else_does_is_told_and_what_we_do_is_not(
    told: tuple[FilesSink, queue.SimpleQueue[FilterKey]], folder: Path
) -> None:
    sink, changed = told
    write(sink, filters("cart", "order"))
    write(sink, filters("cart", "order", volume="2"))
    wanted = filters("cart", volume="2")
    write(sink, wanted)
    path = folder / file_name(OUT)
    path.write_text(path.read_text().replace("priority: 10", "priority: 12"))
    assert changed.get(timeout=WAIT) == OUT
    assert [item.step.key for item in write(sink, wanted)] == [OUT]
    path.unlink()
    assert changed.get(timeout=WAIT) == OUT
    assert [item.step.key for item in write(sink, wanted)] == [OUT]
    other = filters("other")
    [key] = [key for key in other if "outbound" in key.name]
    (folder / file_name(key)).write_text(render_yaml([other[key]]))  # such as from a backup
    assert changed.get(timeout=WAIT) == key
    assert [(item.step.key, item.step.action) for item in write(sink, wanted)] == [(key, "delete")]
    (folder / "mine.yaml").write_text("a: 1\n")
    with pytest.raises(queue.Empty):
        changed.get(timeout=1.0)


def test_a_whole_directory_that_goes_is_written_again(
    told: tuple[FilesSink, queue.SimpleQueue[FilterKey]], folder: Path
) -> None:
    sink, changed = told
    wanted = filters()
    write(sink, wanted)
    folder.rename(folder.with_name("away"))
    assert {changed.get(timeout=WAIT), changed.get(timeout=WAIT)} == set(wanted)
    assert {item.error for item in write(sink, wanted)} == {None}
    assert sorted(states(folder)) == sorted(file_name(key) for key in wanted)


def test_a_file_in_our_way_that_goes_is_told(
    told: tuple[FilesSink, queue.SimpleQueue[FilterKey]], folder: Path
) -> None:
    sink, changed = told
    (folder / file_name(OUT)).write_text("hello\n")
    assert [item.step.key for item in write(sink, filters()) if item.error] == [OUT]
    (folder / file_name(OUT)).unlink()
    while changed.get(timeout=WAIT) != OUT:
        pass
    assert {item.error for item in write(sink, filters())} == {None}


def test_a_file_system_that_is_away_fails_the_writes_and_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = threading.Event()
    asked: list[threading.Thread] = []

    def away(_: int) -> None:
        asked.append(threading.current_thread())
        back.wait()

    sink = FilesSink(tmp_path, watch=False, patience=2)
    sink.start(lambda _: None)
    wanted = filters(*(f"s{number}" for number in range(20)))
    monkeypatch.setattr(os, "fsync", away)
    try:
        written = write(sink, wanted)
        assert all("no answer for 2 s" in (each.error or "") and each.retry for each in written)
        assert len(written) == len(wanted)
        assert len(asked) == 1
        assert sink.live() == {}
    finally:
        back.set()
        asked[0].join(60)
    sink.stop()
    monkeypatch.undo()
    sink = FilesSink(tmp_path, watch=False, patience=60)
    sink.start(lambda _: None)
    assert {each.error for each in write(sink, wanted)} == {None}
    assert sink.live().keys() == wanted.keys()
    sink.stop()
