#!/bin/sh
# venv.sh DIR: makes or updates the development environment: the six distributions, editable, and
# the dependency group `dev`. DIR/.installed is newer than what it was made from.
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
    for file in pyproject.toml scripts/venv.sh; do
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

set -- -e './aeraki_core[testing]'
for name in $DISTRIBUTIONS; do
    [ "$name" = aeraki_core ] || set -- "$@" -e "./$name"
done
say "installing into $venv"
if uv=$(find_uv) && "$uv" pip install --quiet --python "$venv/bin/python" --group dev "$@"; then :; else
    # Slower, but it is told by the machine's own settings where to find packages.
    say "uv is not available or failed; using pip"
    "$venv/bin/python" -m ensurepip --upgrade >/dev/null 2>&1 || true
    "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
    "$venv/bin/python" -m pip install --quiet --group dev "$@"
fi
touch "$stamp"
