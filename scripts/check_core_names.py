"""The core knows no protocol: neither its code, nor its settings, nor its unit tests name one.

A name counts as part of a word too (`DubboProxy`, `redis_auth`); file names count as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("aeraki_core/src", "aeraki_core/pyproject.toml", "tests/unit/core")
# What istiod and istio-proxy know, with or without a plugin: protocols, and Envoy's extensions.
EXEMPT = frozenset(
    {
        "aeraki_core/src/aeraki_core/plugins/istio_proxy.py",
        "aeraki_core/src/aeraki_core/testing/sidecar/protocols.py",
    }
)
# English words that happen to begin like one of the names: redistribute, rediscover.
PROTOCOL = re.compile(r"dubbo|thrift|kafka|zookeeper|redis(?!trib|cover)", re.IGNORECASE)


def files(place: Path) -> Iterator[Path]:
    """The files that people write in `place`."""
    if place.is_file():
        yield place
    for path in sorted(place.rglob("*")):
        inside = path.relative_to(place).parts
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside):
            yield path


def findings(root: Path) -> Iterator[str]:
    """Every place that names a protocol, as file:line: text."""
    for place in PLACES:
        for path in files(root / place):
            name = path.relative_to(root).as_posix()
            if name in EXEMPT:
                continue
            if PROTOCOL.search(name):
                yield f"{name}: the file's name"
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), start=1):
                if PROTOCOL.search(line):
                    yield f"{name}:{number}: {line.strip()}"


def main() -> int:
    """Prints what was found; 1 if anything was."""
    found = list(findings(ROOT))
    for line in found:
        print(line)
    if found:
        print(f"the core names a protocol in {len(found)} places; it must know none")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
