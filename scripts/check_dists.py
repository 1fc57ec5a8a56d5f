"""Looks into every built distribution: is all in it that its users need, and nothing else?

Usage: check_dists.py DIR, the folder with one wheel and one sdist of each.
"""

from __future__ import annotations

import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def check_names(label: str, names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """What is missing, and what should not have come along."""
    names = set(names)
    missing = [f"{label}: {name} is missing" for name in wanted if name not in names]
    strays = ("tests/", "__pycache__/", ".pyc", ".mypy_cache/")
    return missing + [
        f"{label}: {name} does not belong there"
        for name in sorted(names)
        if any(f"/{stray}" in name or name.endswith(stray) for stray in strays)
    ]


def check_metadata(label: str, metadata: Message, version: str) -> list[str]:
    """The metadata that users and indexes see."""
    expected = {
        "Version": version,
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
        "Description-Content-Type": "text/markdown",
    }
    found = [
        f"{label}: {key} is {metadata[key]!r}, not {value!r}"
        for key, value in expected.items()
        if metadata[key] != value
    ]
    found += [f"{label}: {key} is missing" for key in ("Summary", "Author") if not metadata[key]]
    if not str(metadata.get_payload()).strip():
        found.append(f"{label}: the README is not in the metadata")
    return found


def check_distribution(folder: Path, package: str, version: str) -> list[str]:
    """Both files of one distribution."""
    info = f"{package}-{version}.dist-info"
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    sdist = folder / f"{package}-{version}.tar.gz"
    absent = [f"{path} was not built" for path in (wheel, sdist) if not path.exists()]
    if absent:
        return absent

    wanted = [f"{package}/__init__.py", f"{package}/py.typed"]
    with zipfile.ZipFile(wheel) as archive:
        found = check_names(
            wheel.name,
            archive.namelist(),
            [*wanted, f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"],
        )
        metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
        found += check_metadata(wheel.name, metadata, version)

    top = f"{package}-{version}"
    with tarfile.open(sdist) as tar:
        inside = ["LICENSE", "README.md", "pyproject.toml", "PKG-INFO"]
        inside += [f"src/{name}" for name in wanted]
        found += check_names(sdist.name, tar.getnames(), [f"{top}/{name}" for name in inside])
    return found


def main(folder: Path) -> int:
    """Prints what is wrong; 1 if anything is."""
    projects = {path.parent.name: path for path in sorted(ROOT.glob("aeraki_*/pyproject.toml"))}
    found: list[str] = []
    versions = set()
    for package, path in projects.items():
        version = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
        versions.add(version)
        found += check_distribution(folder, package, version)
    if len(versions) != 1:
        found.append(f"the distributions are released together, but have {sorted(versions)}")
    print(*found, sep="\n") if found else print(f"{len(projects)} distributions are complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
