"""Run the benchmarks named as arguments, or all, and print a table."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.cluster import obstacle
from benchmarks.figures import ALL


def main(names: list[str]) -> int:
    """Print the figures; 2 for a name that is none."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    if not names:
        names = list(ALL)
        if reason := obstacle():
            names.remove("cluster")
            print(f"cluster is left out: {reason}", file=sys.stderr)
    table = Table("what", "figure", "aim")
    for name in names:
        for row in ALL[name]():
            table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
