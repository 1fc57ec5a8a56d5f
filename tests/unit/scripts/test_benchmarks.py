"""`make bench`: figures survive whatever happens to one benchmark."""

import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.runner import Benchmark, measure
from benchmarks.table import Floor, Row, show

HALF = Row(what="a", figure="1 s", floor=Floor("b | c", 1.5), aim="2 s")


def broken() -> Iterator[Row]:
    yield HALF
    raise RuntimeError("no pass")


def hanging() -> Iterator[Row]:
    yield HALF
    while True:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001 - it must not hide that time is up
            continue


@pytest.mark.parametrize(
    ("run", "reason"), [(broken, "failed: no pass"), (hanging, "failed: took longer than 1 s")]
)
def test_failure_costs_no_other_figures(
    run: Callable[[], Iterator[Row]], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmarks = {
        "first": Benchmark(measure=run, limit=1.0),
        "rig": Benchmark(measure=broken, needs_rig=True),
        "last": Benchmark(measure=lambda: [HALF]),
    }
    results = measure(benchmarks, "no Go")
    assert [(row.what, row.figure) for row in results.rows] == [
        ("a", "1 s"),
        ("first", reason),
        ("rig", "left out: no Go"),
        ("a", "1 s"),
    ]
    assert results.failed == ["first"]
    assert "[1/3 first, 0 s] a: 1 s" in capsys.readouterr().err


def test_markdown_is_ready_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    show([HALF], "Measured on one core.", markdown=True)
    assert capsys.readouterr().out == (
        "Measured on one core.\n\n"
        "| what | figure | of the floor | aim |\n"
        "|---|---|---|---|\n"
        "| a | 1 s | 1.5 x b \\| c | 2 s |\n"
    )
