"""The checks of the repository find what they are for."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from scripts.check_addresses import ADDRESS
from scripts.check_lock import entries, form, gaps
from scripts.release_notes import notes

HASH = f"--hash=sha256:{'0' * 64}"
PINNED = f"a==1.0 ; python_version < '3.12' \\\n    {HASH}\nb==2.0 \\\n    {HASH} \\\n    {HASH}\n"


def test_pinned_versions_with_hashes_are_fine() -> None:
    assert list(form("dev.txt", entries(f"# made by a tool\n{PINNED}"))) == []
    assert [requirement for requirement, _ in entries(PINNED)] == [
        "a==1.0 ; python_version < '3.12'",
        "b==2.0",
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"c>=1 \\\n    {HASH}", "is not an exact version"),
        ("c==1", "has no hash"),
        (f"c==1 \\\n    --hash=md5:{'0' * 32}", "is not a hash"),
        ("--index-url https://packages.example/simple", "is not an exact version"),
        (f"c @ https://packages.example/c.whl \\\n    {HASH}", "is not an exact version"),
        (f"-e /home/me/c \\\n    {HASH}", "is not an exact version"),
    ],
)
def test_what_is_not_pinned_or_has_an_address_is_found(line: str, what: str) -> None:
    assert any(what in text for text in form("dev.txt", entries(f"{PINNED}{line}\n")))


def test_a_pin_outside_the_range_or_for_some_pythons_only_is_found() -> None:
    pins = [Requirement("a==1.0 ; python_version < '3.12'"), Requirement("b==2.0")]
    needs = [("p", Requirement("a")), ("p", Requirement("b>=2.1"))]
    found = "\n".join(gaps("dev.txt", pins, needs))
    assert "a of p is missing for Python 3.12 on Linux" in found
    assert "3.11" not in found
    assert "b 2.0 is outside >=2.1 of p" in found


def test_a_registry_is_found_by_its_host() -> None:
    host = ".".join(("files", "pythonhosted", "org"))
    assert ADDRESS.search(f"see https://{host}/packages")
    assert not ADDRESS.search("see https://packages.example/ and pypi")


def test_the_notes_of_a_version_are_its_section() -> None:
    changelog = "# C\n\n## Unreleased\n\n- x\n\n## 1.1.0 (2026-11-26)\n\n- y\n\n## 1.0.0\n\n"
    assert notes(changelog, "1.1.0") == "- y\n"
    assert notes(changelog, "1.0.0") is None
    assert notes(changelog, "1.1") is None
