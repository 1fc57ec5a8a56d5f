"""Any edits in any order, with any passes in between: the filters are those of a fresh run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aeraki_core.controller.intake import Intake
from aeraki_core.controller.writer import FilterWriter
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.output import Output
from aeraki_core.findings.finding import Finding
from aeraki_core.findings.ledger import Ledger
from aeraki_core.sinks.files import FilesSink
from aeraki_core.sources.events import Problems, Removed, Synced, Upserted
from aeraki_core.sources.files.fileset import FileSet
from aeraki_core.sources.files.manifests import Rules
from aeraki_core.sources.files.snapshot import read
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.core.controller.running import pipeline

NAMES = st.sampled_from(["a", "b", "c"])
FILES = st.sampled_from(["1.yaml", "2.yaml", "sub/3.yaml"])


def service(name: str, port: int, option: str, namespace: str, address: str) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
  annotations: {{{option}}}
spec:
  {address}
  selector: {{app: {name}}}
  ports: [{{name: tcp-echo, port: {port}, targetPort: 9000}}]
"""


def virtual_service(name: str, host: str, method: str, to: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ['{host}']
  http:
  - match: [{{method: {{exact: {method}}}}}]
    route: [{{destination: {{host: {to}, subset: v1, port: {{number: 7000}}}}}}]
"""


def destination_rule(name: str, host: str, subset: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec: {{host: '{host}', subsets: [{{name: {subset}}}]}}
"""


def entry(name: str, host: str, port: int) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ['{host}']
  addresses: [10.0.0.9]
  resolution: STATIC
  ports: [{{number: {port}, name: tcp-echo, protocol: TCP}}]
"""


def policy(name: str, host: str, volume: int) -> str:
    return f"""\
apiVersion: echo.example.com/v1
kind: EchoPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{host: '{host}', volume: {volume}}}
"""


HOSTS = st.sampled_from(["a", "b", "c.shop.svc.cluster.local", "x.example.com", "*.example.com"])
DOCUMENTS = st.one_of(
    st.builds(
        service,
        NAMES,
        st.sampled_from([7000, 7001]),
        st.sampled_from(
            ["", "echo.aeraki.io/volume: '3'", "echo.aeraki.io/volume: '99'", "team: x"]
        ),
        st.sampled_from(["shop", "other"]),
        st.sampled_from(["clusterIP: 10.0.0.1", "clusterIP: 10.0.0.2", "clusterIP: None"]),
    ),
    st.builds(virtual_service, NAMES, HOSTS, st.sampled_from(["m", "n"]), NAMES),
    st.builds(destination_rule, NAMES, HOSTS, st.sampled_from(["v1", "v2"])),
    st.builds(
        entry,
        NAMES,
        st.sampled_from(["x.example.com", "y.example.com"]),
        st.sampled_from([7000, 7001]),
    ),
    st.builds(policy, NAMES, HOSTS, st.integers(1, 3)),
    st.sampled_from(["# nothing\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"]),
)


def placeless(item: Finding) -> Finding:
    return replace(item, source=None, line=None)


class Edits(RuleBasedStateMachine):
    """A folder under edit; the test drives the controller's parts instead of a clock."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "mesh" / "sub").mkdir(parents=True)
        self.pipeline = pipeline()
        self.files = FileSet([str(self.folder / "mesh")], Rules(self.pipeline.store.reads), 1 << 20)
        self.intake = Intake(self.pipeline, ["files"], lambda event: None)
        self.sink = FilesSink(self.folder / "out", watch=False)
        self.sink.start(lambda key: None)
        self.writer = FilterWriter(self.pipeline, self.sink)
        self.ledger = Ledger(
            self.pipeline.unlocated, self.intake.problems, locate=self.pipeline.locate
        )
        self.reported: set[Finding] = set()
        self.first = True

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(file=FILES, parts=st.lists(DOCUMENTS, max_size=4))
    def write(self, file: str, parts: list[str]) -> None:
        (self.folder / "mesh" / file).write_text("---\n".join(parts))

    @rule(file=FILES)
    def delete(self, file: str) -> None:
        (self.folder / "mesh" / file).unlink(missing_ok=True)

    @rule(file=FILES, other=FILES)
    def move(self, file: str, other: str) -> None:
        if (self.folder / "mesh" / file).exists():
            (self.folder / "mesh" / file).rename(self.folder / "mesh" / other)

    @rule(file=FILES, part=DOCUMENTS)
    def append(self, file: str, part: str) -> None:
        with (self.folder / "mesh" / file).open("a") as opened:
            opened.write(f"---\n{part}")

    @rule(file=FILES)
    def damage(self, file: str) -> None:
        path = self.folder / "mesh" / file
        if path.exists():
            path.write_text(path.read_text()[:-3] + "\n  x: [")

    @rule(file=FILES, parts=st.lists(DOCUMENTS, max_size=4))
    def look_at_one(self, file: str, parts: list[str]) -> None:
        self.write(file, parts)
        self.accept([str(self.folder / "mesh" / file)])

    @rule()
    def look(self) -> None:
        self.accept(())

    def accept(self, paths: Sequence[str]) -> None:
        changes = self.files.accept(self.files.look(paths))
        for item in changes.upserts:
            self.intake.accept(Upserted("files", item))
        for ref in changes.removals:
            self.intake.accept(Removed("files", ref))
        for place, findings in changes.problems:
            self.intake.accept(Problems("files", place, findings))
        self.intake.accept(Synced("files", changes.incomplete))

    @rule()
    def run(self) -> None:
        if not self.intake.ready:
            return
        changed = self.pipeline.run().changed
        came, went = self.ledger.update()
        assert self.reported >= set(went)
        assert self.reported.isdisjoint(came)
        self.reported = (self.reported - set(went)) | set(came)
        keys = self.writer.everything() if self.first else changed
        self.first = False
        before = set(self.sink.live())
        self.writer.write(keys, 0.0, self.intake.gaps, confirmed=True, full=True)
        if self.intake.held:
            assert before <= self.sink.live().keys()

    @rule()
    def compare(self) -> None:
        self.look()
        self.run()
        filters, findings = self.fresh()
        if self.intake.held:
            # The last valid version of the broken file stays in effect; a fresh run has none.
            return
        assert {key: live.filter for key, live in self.sink.live().items()} == filters
        assert list(self.ledger.findings) == findings
        # A finding that only moved to another line or file is not reported again.
        assert {placeless(item) for item in self.reported} == {placeless(item) for item in findings}

    def fresh(self) -> tuple[dict[FilterKey, Output], list[Any]]:
        """What a run that knows nothing of before gives."""
        of = pipeline()
        snapshot = read([self.folder / "mesh"], of.store.reads)
        for item in snapshot.objects:
            of.upsert(item)
        of.run()
        findings = sorted((*of.findings(), *snapshot.findings), key=lambda item: item.sort_key())
        return of.filters, findings

    @invariant()
    def every_file_is_whole(self) -> None:
        if hasattr(self, "folder") and (self.folder / "out").exists():
            assert not list((self.folder / "out").glob(".*"))


Edits.TestCase.settings = settings(max_examples=150, stateful_step_count=25)
TestEdits = Edits.TestCase
