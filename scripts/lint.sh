#!/bin/sh
# All linters, each to its end: one run shows everything there is to mend.
set -u
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
failed=

check() {
    echo "== $*"
    tool=$1
    shift
    "$bin/$tool" "$@" || failed="$failed $tool"
}

check ruff check .
check ruff format --check .
# Only what exists: mypy refuses a missing folder.
check mypy $(ls -d aeraki_*/src tests typing_tests scripts benchmarks 2>/dev/null)
check lint-imports
check python scripts/check_core_names.py
check python scripts/check_lock.py
check python scripts/check_addresses.py
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
