#!/bin/sh
# Runs the tests that need no mesh with the newest version of everything, in an environment of its own:
# what breaks here will break for users before requirements/dev.txt moves.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=build/newest

new_venv "$venv"
set --
for name in $DISTRIBUTIONS; do set -- "$@" -e "./$name"; done
"$venv/bin/python" -m pip install --quiet --upgrade pip # an old one knows no dependency groups
install "$venv" --upgrade --group dev "$@" './aeraki_core[testing]'
"$venv/bin/python" -m pip list --format freeze --exclude-editable
VENV=$venv scripts/test.sh -p no:cacheprovider ${TEST_ARGS:-}
