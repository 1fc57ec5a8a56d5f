#!/bin/sh
# Runs the unit tests with the oldest version of each dependency that our pyproject.toml files allow
# (requirements/lowest.txt), from wheels only: a lower bound that needs a compiler, or that does not
# work, is a wrong one.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=build/lowest

new_venv "$venv"
install "$venv" --require-hashes --only-binary :all: -r requirements/lowest.txt
wheels "${VENV:-.venv}" build/lowest-wheels
install "$venv" --no-deps build/lowest-wheels/*.whl
grep == requirements/lowest.txt | sed 's/ .*//'
"$venv/bin/python" -m pytest tests/unit -p no:cacheprovider -n "${WORKERS:-auto}" ${TEST_ARGS:-}
