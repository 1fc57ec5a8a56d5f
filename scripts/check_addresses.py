"""Check that no file names a package registry.

Where packages come from is the business of a machine, not of the repository. Prints file:line of
each address in the files that git tracks.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A host's name and what follows it, apart, so that this file names none either.
_HOSTS = (
    ("pypi", "org"),
    ("pypi", "io"),
    ("pypi", "python", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("sum", "golang", "org"),
    ("deb", "debian", "org"),
    ("repo", "maven", "apache", "org"),
    ("repo1", "maven", "org"),
)
ADDRESS = re.compile("|".join(rf"\b{re.escape('.'.join(host))}\b" for host in _HOSTS))


def findings() -> Iterator[str]:
    """Every place that names one, as file:line: text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in sorted(filter(None, listed.stdout.decode().split("\0"))):
        path = ROOT / name
        if not path.is_file():
            continue
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        ):
            if ADDRESS.search(line):
                yield f"{name}:{number}: {line.strip()[:120]}"


def main() -> int:
    """Prints what was found; 1 if anything was."""
    found = list(findings())
    print(*found, sep="\n") if found else print("no file names a registry")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
