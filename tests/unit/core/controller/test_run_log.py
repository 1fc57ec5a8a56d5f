"""A run logs each fault once, however often it is retried, and limits lines per namespace."""

from __future__ import annotations

import logging

import pytest
from aeraki_core.findings.codes import NOT_YAML
from aeraki_core.findings.finding import Finding
from aeraki_core.sources.events import Incomplete
from aeraki_core.testing.memory_sink import MemorySink
from aeraki_core.wiring.run_log import RunLog

from tests.unit.core.controller.running import Feed, Running, key, pipeline, service


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_namespace_with_very_many_findings_fills_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    of = pipeline()
    bad = [service(f"s{number:03}", number, volume="loud") for number in range(200)]
    feed = Feed(*bad)
    with Running(feed, of=of, observer=RunLog(of, "memory")) as running:
        running.next()
        assert len(lines(caplog, "AER0111")) == 50
        assert lines(caplog, "more findings") == [
            "150 more findings in namespace shop; `aeraki status` lists them"
        ]
        feed.drop(*bad)
        running.until(lambda report: report.resolved_findings)
        assert len(lines(caplog, "resolved: ")) == 50
        assert len(lines(caplog, "150 more are resolved in namespace shop")) == 1


def test_nor_does_one_whose_findings_change_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    of, now = pipeline(), [0.0]
    feed = Feed()
    log = RunLog(of, "memory", clock=lambda: now[0])
    with Running(feed, of=of, observer=log) as running:
        running.next()
        for volume in ("loud", "louder", "loudest"):
            bad = [service(f"s{number:02}", number, volume=volume) for number in range(50)]
            feed.say_together(*bad)
            running.until(lambda report: len(report.new_findings) == 50)
        assert len(lines(caplog, "AER0111: ")) - len(lines(caplog, "resolved: ")) == 50
        assert len(lines(caplog, "50 more findings in namespace shop")) == 2
        now[0] = 20.0
        feed.say_together(
            *(service(f"s{number:02}", number, volume="silent") for number in range(50))
        )
        running.until(lambda report: len(report.new_findings) == 50)
        assert len(lines(caplog, "AER0111: ")) - len(lines(caplog, "resolved: ")) == 70


def test_a_write_that_fails_again_and_again_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    sink.refuse = {key("cart"): True}
    of = pipeline()
    with Running(Feed(service("cart")), of=of, sink=sink, observer=RunLog(of, "memory")) as running:
        for _ in range(4):
            running.until(lambda report: report.failures)
        assert len(lines(caplog, "refused")) == 1
        sink.refuse = {}
        running.until(lambda report: not report.failures)
        assert len(lines(caplog, "resolved: AER0501")) == 1


def test_the_first_pass_ends_with_what_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    of, feed = pipeline(), Feed(service("cart"))
    with Running(feed, of=of, observer=RunLog(of, "out", "deploy/samples")) as running:
        running.next()
        feed.put(service("cart", volume="2"))
        running.next()
    assert lines(caplog, "watching") == ["watching deploy/samples; filters go to out"]


def test_what_cannot_be_read_has_one_line_and_its_end_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    of, feed = pipeline(), Feed(service("cart"))
    finding = Finding(NOT_YAML, "broken", source="a.yaml", line=3)
    with Running(feed, of=of, observer=RunLog(of, "memory")) as running:
        running.next()
        feed.problems("a.yaml", finding)
        feed.sync(Incomplete("a.yaml:3: broken"))
        running.until(lambda report: report.new_findings)
        assert len(lines(caplog, "broken")) == 1
        assert len(lines(caplog, "nothing is deleted until everything can be read")) == 1
        feed.problems("a.yaml")
        feed.sync()
        running.until(lambda report: report.resolved_findings)
    assert [text.partition(":")[0] for text in lines(caplog, "broken")] == ["a.yaml", "resolved"]
    assert len(lines(caplog, "everything can be read again")) == 1
