"""Write a version's section of CHANGELOG.md, after checking that every file has that version.

Usage: python scripts/release_notes.py VERSION FILE
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def versions() -> Iterator[tuple[str, str]]:
    """Every place that has the version, with what it says."""
    for path in sorted(ROOT.glob("aeraki_*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        yield path.relative_to(ROOT).as_posix(), project["version"]
    chart = ROOT / "deploy" / "charts" / "aeraki" / "Chart.yaml"
    fields = yaml.safe_load(chart.read_text(encoding="utf-8"))
    yield chart.relative_to(ROOT).as_posix(), str(fields["appVersion"])


def notes(changelog: str, version: str) -> str | None:
    """The section of that version, without its heading; None if there is none."""
    heading = rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found and found[1].strip() else None


def main(version: str, output: Path) -> int:
    """Writes the file, or prints what is wrong; 1 then."""
    wrong = [
        f"{place}: version {found}, not {version}"
        for place, found in versions()
        if found != version
    ]
    text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if text is None:
        wrong.append(f"CHANGELOG.md: no section `## {version}`, or an empty one")
    if wrong or text is None:
        print(*wrong, sep="\n")
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: release_notes.py VERSION FILE")
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
