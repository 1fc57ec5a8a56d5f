#!/bin/sh
# Runs the unit tests with the oldest version of each dependency that our pyproject.toml files allow,
# from wheels only: a lower bound that needs a compiler, or that does not work, is a wrong one.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
uv=$(find_uv) || die "uv is needed: pip cannot choose the oldest versions"
venv=build/lowest
lowest=build/lowest.txt

mkdir -p build
new_venv "$venv"
: >build/lowest.in
set --
for name in $DISTRIBUTIONS; do
    echo "./$name" >>build/lowest.in
    set -- "$@" -e "./$name"
done
"$uv" pip compile --quiet --python "$venv/bin/python" --resolution lowest-direct \
    --no-annotate --no-header --output-file build/lowest.all build/lowest.in
grep == build/lowest.all >"$lowest"
cat "$lowest"
# The tests' own tools are not what is tested: they are the newest that go with the rest.
"$uv" pip install --quiet --python "$venv/bin/python" --constraints "$lowest" \
    --only-binary :all: --requirements "$lowest"
"$uv" pip install --quiet --python "$venv/bin/python" --constraints "$lowest" \
    --group test "$@" 'aeraki-core[testing]'
"$venv/bin/python" -m pytest tests/unit -p no:cacheprovider -n "${WORKERS:-auto}" \
    ${TEST_ARGS:-}
