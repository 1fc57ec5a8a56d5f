"""Run the benchmarks named as arguments, or all that take minutes, and print a table."""

from __future__ import annotations

import sys

from benchmarks.cluster import obstacle
from benchmarks.figures import ALL, LONG, ON_CLUSTER
from benchmarks.table import Row, machine, show


def main(arguments: list[str]) -> int:
    """Print the figures; 2 for a name that is none."""
    markdown = "--markdown" in arguments
    names = [each for each in arguments if each != "--markdown"]
    if unknown := [name for name in names if name not in ALL | LONG]:
        known = ", ".join(ALL | LONG)
        print(f"no benchmark {', '.join(unknown)}; there are {known}", file=sys.stderr)
        return 2
    if not names:
        names = list(ALL)
        if reason := obstacle():
            names = [name for name in names if name not in ON_CLUSTER]
            print(f"{' and '.join(sorted(ON_CLUSTER))} are left out: {reason}", file=sys.stderr)
    print(f"{machine()}\n")
    rows: list[Row] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr)
        rows += (ALL | LONG)[name]()
    show(rows, markdown=markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
