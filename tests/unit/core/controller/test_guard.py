"""Many deletions at once wait until the sources confirm them."""

from __future__ import annotations

import logging

import pytest
from aeraki_core.controller.loop import LoopTiming

from tests.unit.core.controller.running import Feed, Running, service, written

MANY = [service(f"s{number:02}", number) for number in range(12)]
# A pass after every event: whatever is not given together is seen by itself.
HASTY = LoopTiming(quiet=0.0, longest=0.0, retry_first=0.05, retry_longest=0.2)


class Again(Feed):
    """A source that can be asked for everything anew; the test answers."""

    asked = 0

    def refresh(self) -> None:
        self.asked += 1
        self.lose("everything is asked for anew")


def test_what_goes_together_is_looked_at_together_and_must_be_confirmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = Again(*MANY)
    with Running(feed, timing=HASTY) as running, caplog.at_level(logging.WARNING):
        first = running.next()
        before = len(running.sink.live())
        assert before == len(written(first)) == 2 * len(MANY)
        feed.drop(*MANY)
        doubted = running.next()
        assert written(doubted) == []
        assert len(doubted.kept) == before
        assert "a fresh full answer must confirm that" in caplog.text
        running.until(lambda report: report.held is not None)
        assert feed.asked == 1
        # The answer: they are there after all.
        feed.put(*MANY)
        feed.sync()
        running.until(lambda report: report.held is None)
        assert len(running.sink.live()) == before
        assert feed.asked == 1


def test_what_the_fresh_answer_confirms_is_done() -> None:
    feed = Again(*MANY)
    with Running(feed, timing=HASTY) as running:
        first = running.next()
        feed.drop(*MANY)
        running.until(lambda report: report.held is not None)
        feed.sync()
        deleted = running.until(lambda report: report.written)
        assert sorted(written(deleted)) == sorted(
            text.replace("create", "delete") for text in written(first)
        )
        assert not running.sink.live()


def test_few_deletions_need_no_confirmation() -> None:
    feed = Again(*MANY)
    with Running(feed, timing=HASTY) as running:
        running.next()
        feed.drop(*MANY[:3])
        assert len(written(running.next())) == 6
        assert feed.asked == 0
