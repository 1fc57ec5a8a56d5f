#!/bin/sh
# test.sh ARGUMENTS...: runs the tests that need no mesh, with these arguments for pytest. Meanwhile Maven
# builds the Java peers, where Java is there and they are not: the tests that need them come later, and
# wait for what is not ready yet.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/${VENV:-.venv}/bin:$PATH"

if command -v mvn >/dev/null && command -v javac >/dev/null; then
    python -m tests.peers &
    trap 'kill $! 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM
fi
# The order of the files is that of tests/conftest.py: the long ones first. A file's tests share a
# worker, and so the servers that they start. A worker that dies gets no successor: pytest-xdist would
# wait for it for ever.
python -m pytest -m "not mesh" -n "${WORKERS:-auto}" --dist loadfile --no-loadscope-reorder \
    --max-worker-restart 0 "$@"
