#!/bin/sh
# venv.sh DIR: makes or updates the development environment: what requirements/dev.txt pins, and the
# six distributions, editable. DIR/.installed is newer than what it was made from.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=$1
stamp=$venv/.installed

# Two makes at once must not install into the same environment.
if [ -z "${VENV_LOCKED:-}" ] && command -v flock >/dev/null; then
    mkdir -p build
    VENV_LOCKED=1 exec flock build/.venv.lock "$0" "$@"
fi

outdated() {
    [ -e "$stamp" ] || return 0
    for file in requirements/dev.txt scripts/venv.sh; do
        [ "$stamp" -nt "$file" ] || return 0
    done
    for name in $DISTRIBUTIONS; do
        [ "$stamp" -nt "$name/pyproject.toml" ] || return 0
    done
    return 1
}
outdated || exit 0

# A venv whose Python is gone, or of another version now, is of no use.
"$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    new_venv "$venv"

say "installing into $venv"
install "$venv" --require-hashes -r requirements/dev.txt
set --
for name in $DISTRIBUTIONS; do set -- "$@" -e "./$name"; done
install "$venv" --no-deps --no-build-isolation "$@"
touch "$stamp"
