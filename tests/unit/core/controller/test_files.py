"""Files in, files out: the whole controller over real directories, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.controller.loop import Controller, LoopTiming
from aeraki_core.controller.observer import PassReport
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.types import Protocol
from aeraki_core.sinks.files import FilesSink, file_name
from aeraki_core.sources.files.source import FilesSource

from tests.unit.core.controller.running import Running, codes, key, pipeline, written
from tests.unit.core.echo import EchoPlugin

TIMING = LoopTiming(quiet=0.2, longest=5.0, retry_first=0.05, retry_longest=0.2)


def service(name: str, number: int = 1, **metadata: Any) -> str:
    extra = "".join(f"  {part}: {value}\n" for part, value in metadata.items())
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: shop
{extra}spec:
  clusterIP: 10.0.0.{number}
  selector: {{app: {name}}}
  ports:
  - {{name: tcp-echo, port: 7000, targetPort: 9000}}
"""


def routes(name: str, method: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{name}]
  http:
  - match: [{{method: {{exact: {method}}}}}]
    route: [{{destination: {{host: {name}}}}}]
"""


class Place:
    """A folder of manifests and one of filters."""

    def __init__(self, root: Path) -> None:
        self.mesh, self.out = root / "mesh", root / "mesh" / "out"
        self.mesh.mkdir()

    def write(self, name: str, *parts: str) -> None:
        (self.mesh / name).write_text("---\n".join(parts))

    def source(self, of: Pipeline, **kwargs: Any) -> FilesSource:
        return FilesSource([self.mesh], of.store.reads, **kwargs)

    def once(self, *plugins: Any) -> PassReport:
        of = pipeline(*plugins)
        source = self.source(of, watch=False)
        return Controller(of, [source], FilesSink(self.out, watch=False)).run_once()

    def run(self, *plugins: Any) -> Running:
        of = pipeline(*plugins)
        return Running(self.source(of), sink=FilesSink(self.out), of=of, timing=TIMING)

    def filter(self, name: str) -> str:
        return (self.out / file_name(key(name))).read_text()

    def states(self) -> dict[str, tuple[int, int, bytes]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
            for path in sorted(self.out.iterdir())
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.write("cart.yaml", service("cart"), routes("cart", "a"))
    found.write("order.yaml", service("order", 2))
    return found


def test_a_restart_leaves_every_file_as_it_is(place: Place) -> None:
    assert len(place.once().written) == 4
    before = place.states()
    assert place.once().written == ()
    place.write("cart.yaml", "# more\n", service("cart", labels="{a: b}"), routes("cart", "a"))
    assert place.once().written == ()
    assert place.states() == before


def test_only_the_files_that_differ_are_written(place: Place) -> None:
    with place.run() as running:
        running.next()
        before = place.states()
        place.write("cart.yaml", service("cart"), routes("cart", "b"))
        report = running.until(lambda report: report.written)
        assert written(report) == ["update outbound cart", "update inbound cart"]
        assert report.generated.calls == 1
        after = place.states()
        assert {name for name in after if after[name] != before[name]} == {
            file_name(item.step.key) for item in report.written
        }
        (place.mesh / "order.yaml").unlink()
        assert written(running.until(lambda report: report.written)) == [
            "delete outbound order",
            "delete inbound order",
        ]


def test_our_own_files_inside_the_source_start_nothing(place: Place) -> None:
    with place.run() as running:
        running.next()
        place.write("cart.yaml", service("cart"), routes("cart", "b"))
        running.until(lambda report: report.written)
        place.write("last.yaml", service("last", 3))
        assert running.until(lambda report: report.written).generated.calls == 1
        assert running.recorder.reports.empty()


def test_a_file_that_no_longer_parses_changes_no_filter(place: Place) -> None:
    with place.run() as running:
        running.next()
        before = place.states()
        place.write("cart.yaml", service("cart"), "kind: VirtualService\nspec: {hosts: [cart\n")
        report = running.until(lambda report: report.new_findings)
        assert codes(report.new_findings) == ["AER0101"]
        assert report.new_findings[0].source == str(place.mesh / "cart.yaml")
        assert report.new_findings[0].line == 13
        assert place.states() == before
        place.write("cart.yaml", service("cart"), routes("cart", "c"))
        report = running.until(lambda report: report.written)
        assert codes(report.resolved_findings) == ["AER0101"]
        assert running.controller.findings == ()


def test_a_cold_start_over_a_broken_file_changes_no_filter_that_it_may_be_about(
    place: Place,
) -> None:
    place.once()
    before = place.states()
    place.write("cart.yaml", service("cart"), "kind: VirtualService\nspec: {hosts: [cart\n")
    (place.mesh / "order.yaml").unlink()
    place.write("new.yaml", service("new", 3))
    report = place.once()
    assert written(report) == ["create outbound new", "create inbound new"]
    after = place.states()
    assert {name: after[name] for name in before} == before
    assert sorted(codes(report.new_findings)) == [
        "AER0101",
        "AER0502",
        "AER0502",
        "AER0502",
        "AER0502",
    ]
    assert report.held is not None
    assert f"{place.mesh / 'cart.yaml'}:13" in report.held
    place.write("cart.yaml", service("cart"), routes("cart", "a"))
    assert written(place.once()) == ["delete outbound order", "delete inbound order"]


class Failing(EchoPlugin):
    def aeraki_generate(self, protocol: Protocol, context: Any) -> Iterator[Any]:
        raise RuntimeError("no")

    aeraki_generate.aeraki_impl = EchoPlugin.aeraki_generate.aeraki_impl  # type: ignore[attr-defined]


def test_a_cold_start_with_a_failing_generator_changes_no_filter(place: Place) -> None:
    place.once()
    before = place.states()
    report = place.once(Failing())
    assert report.written == ()
    assert place.states() == before
    assert place.once(EchoPlugin(name="other")).written == ()  # the plugin is not there at all
    assert place.states() == before


def test_a_filter_that_somebody_edits_or_deletes_is_restored(place: Place) -> None:
    with place.run() as running:
        running.next()
        good = place.filter("cart")
        path = place.out / file_name(key("cart"))
        path.write_text(good.replace("priority: 10", "priority: 5"))
        report = running.until(lambda report: report.written)
        assert [(item.step.action, item.step.message) for item in report.written] == [
            ("update", "it differs")
        ]
        assert path.read_text() == good
        path.unlink()
        report = running.until(lambda report: report.written)
        assert [(item.step.action, item.step.message) for item in report.written] == [
            ("create", "it does not exist")
        ]
        assert path.read_text() == good


def test_a_file_in_the_way_is_said_and_when_it_goes_the_filter_is_written(place: Place) -> None:
    place.out.mkdir()
    path = place.out / file_name(key("cart"))
    path.write_text("mine\n")
    with place.run() as running:
        report = running.next()
        # The file in the way is no Kubernetes object, and not ours.
        assert set(codes(report.new_findings)) == {"AER0116", "AER0504"}
        assert path.read_text() == "mine\n"
        path.unlink()
        running.until(lambda report: "create outbound cart" in written(report))


def test_a_folder_that_vanishes_deletes_nothing(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    of = pipeline()
    with Running(place.source(of), sink=FilesSink(out), of=of, timing=TIMING) as running:
        running.next()
        place.mesh.rename(tmp_path / "away")
        report = running.until(lambda report: report.held)
        assert report.written == ()
        assert len(list(out.iterdir())) == 4
        (tmp_path / "away" / "order.yaml").unlink()
        (tmp_path / "away").rename(place.mesh)
        report = running.until(lambda report: report.written)
        assert written(report) == ["delete outbound order", "delete inbound order"]
        assert report.held is None
