"""Run the benchmarks named as arguments, or all that take minutes, and print a table.

Progress goes to stderr. The exit code is 1 when a benchmark failed, and 2 for a name that is none.
"""

from __future__ import annotations

import sys

from benchmarks.cluster import obstacle
from benchmarks.figures import BENCHMARKS
from benchmarks.runner import measure
from benchmarks.table import circumstances, duration, show


def main(arguments: list[str]) -> int:
    """Print the figures."""
    markdown = "--markdown" in arguments
    names = [each for each in arguments if each != "--markdown"]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        known = ", ".join(BENCHMARKS)
        print(f"no benchmark {', '.join(unknown)}; there are {known}", file=sys.stderr)
        return 2
    chosen = {
        name: benchmark
        for name, benchmark in BENCHMARKS.items()
        if name in names or (not names and not benchmark.is_long)
    }
    where = circumstances()
    print(where, file=sys.stderr)
    results = measure(chosen, obstacle())
    show(results.rows, f"{where} All took {duration(results.seconds)}.", markdown=markdown)
    if results.failed:
        print(f"failed: {', '.join(results.failed)}", file=sys.stderr)
    return int(bool(results.failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
