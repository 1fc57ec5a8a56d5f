"""Check that the pinned requirements fit the ranges in the pyproject.toml files.

They must not name an index or a path either: hashes identify a file, so it may come from any index,
but an address or a path would work on one machine only. Usage: python scripts/check_lock.py
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {"linux": "Linux", "darwin": "Darwin"}  # sys_platform: platform_system

# The file, the dependency groups that it holds, and whether it holds what the distributions need.
LOCKS = {
    "dev.txt": ("dev", True),
    "lowest.txt": ("test", True),
    "docs.txt": ("docs", False),
    "uv.txt": ("uv", False),
}

_PIN = re.compile(r"^[A-Za-z0-9._-]+==[^ ;*]+( ; .+)?$")
_HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")


def entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each requirement of a requirements file with its options."""
    joined = text.replace("\\\n", "\n ")
    for block in re.split(r"\n(?=\S)", joined):
        requirement, *options = (line.strip() for line in block.splitlines() if line.strip())
        if not requirement.startswith("#"):
            yield requirement, options


def form(name: str, found: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """What is not an exact version with hashes."""
    for requirement, options in found:
        if not _PIN.match(requirement):
            yield f"{name}: {requirement!r} is not an exact version"
        if not options:
            yield f"{name}: {requirement} has no hash"
        for option in options:
            if not _HASH.match(option):
                yield f"{name}: {requirement}: {option!r} is not a hash"


def group(groups: dict[str, list[Any]], name: str) -> Iterator[Requirement]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    for item in groups[name]:
        if isinstance(item, dict):
            yield from group(groups, item["include-group"])
        else:
            yield Requirement(item)


def wanted(group_name: str, *, distributions: bool) -> Iterator[tuple[str, Requirement]]:
    """What must be pinned, with the file that wants it."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in group(root["dependency-groups"], group_name):
        yield "pyproject.toml", requirement
    for path in sorted(ROOT.glob("aeraki_*/pyproject.toml")) if distributions else ():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        optional = [
            text for texts in project.get("optional-dependencies", {}).values() for text in texts
        ]
        for text in (*project["dependencies"], *optional):
            requirement = Requirement(text)
            if not requirement.name.startswith("aeraki-"):
                yield path.relative_to(ROOT).as_posix(), requirement


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Every Python on every platform that we support, with a name for messages."""
    for python in PYTHONS:
        for sys_platform, system in PLATFORMS.items():
            environment = {key: str(value) for key, value in default_environment().items()}
            environment |= {
                "python_version": python,
                "python_full_version": f"{python}.9",
                "extra": "",
            }
            environment |= {"sys_platform": sys_platform, "platform_system": system}
            yield f"Python {python} on {system}", environment


def gaps(name: str, pins: list[Requirement], needs: list[tuple[str, Requirement]]) -> Iterator[str]:
    """What is not pinned, or pinned to a version outside the range."""
    for place, environment in environments():
        versions = {
            canonicalize_name(pin.name): next(iter(pin.specifier)).version
            for pin in pins
            if pin.marker is None or pin.marker.evaluate(environment)
        }
        for source, need in needs:
            if need.marker is not None and not need.marker.evaluate(environment):
                continue
            version = versions.get(canonicalize_name(need.name))
            if version is None:
                yield f"{name}: {need.name} of {source} is missing for {place}"
            elif not need.specifier.contains(version, prereleases=True):
                yield f"{name}: {need.name} {version} is outside {need.specifier} of {source}"


def main() -> int:
    """Prints what is wrong; 1 if anything is."""
    found: dict[str, None] = {}
    for name, (group_name, distributions) in LOCKS.items():
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        pinned = list(entries(text))
        problems = list(form(name, pinned))
        if not problems:
            pins = [Requirement(requirement) for requirement, _ in pinned]
            problems = list(gaps(name, pins, list(wanted(group_name, distributions=distributions))))
        found |= dict.fromkeys(problems)
    print(*found, sep="\n") if found else print(f"{len(LOCKS)} lock files fit")
    if found:
        print("run `make lock` and commit requirements/")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
