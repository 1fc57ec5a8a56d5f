"""docs/internals/hostile-review.md cites tests that exist, and every attack of tests/tenants."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "internals" / "hostile-review.md").read_text(encoding="utf-8")


def test_every_test_that_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    missing = [
        f"{path}::{name}"
        for path, name in named
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_attack_has_a_row() -> None:
    files = (ROOT / "tests" / "tenants").glob("[a-z][0-9][0-9]-*.yaml")
    attacks = {path.stem[:3] for path in files}
    assert len(attacks) > 20
    assert attacks - set(re.findall(r"\b[a-z]\d\d\b", PAGE)) == set()
