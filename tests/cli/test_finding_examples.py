"""The examples of docs/finding-examples: the wrong one has the finding, the right one does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import finding_examples
from tests.cli.running import Run

CODES = [code.id for _, codes in finding_examples.chapters() for code in codes]
WITH_EXAMPLE = sorted(path.stem for path in finding_examples.FOLDER.glob("*[0-9].yaml"))


def test_the_page_is_up_to_date() -> None:
    text = finding_examples.PAGE.read_text(encoding="utf-8")
    assert text == finding_examples.page(), "run: python -m scripts.finding_examples"


def test_every_code_has_an_example_or_a_reason_for_none() -> None:
    for code in CODES:
        reason = finding_examples.reason(code)
        assert (code in WITH_EXAMPLE) != (reason is not None), code
    assert set(WITH_EXAMPLE) <= set(CODES)


@pytest.mark.parametrize("code", WITH_EXAMPLE)
def test_only_the_wrong_one_has_the_finding(aeraki: Run, tmp_path: Path, code: str) -> None:
    example = finding_examples.example(code)
    assert example is not None

    def codes(text: str) -> set[str]:
        (tmp_path / "example.yaml").write_text(text, encoding="utf-8")
        base = finding_examples.base_beside(text)
        (tmp_path / "base.yaml").write_text(base, encoding="utf-8")
        done = aeraki("validate", "-o", "json", *example.options, str(tmp_path))
        return {finding["code"] for finding in json.loads(done.out)}

    # Of the right one only what it says counts: DUB0102 is about the services of base.yaml, too.
    assert code in codes(example.wrong)
    assert code not in codes(example.right)
