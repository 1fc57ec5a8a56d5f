# Sourced by the other scripts, from the repository's root: finds Python and uv.
# shellcheck shell=sh

TOOLS=build/tools
DISTRIBUTIONS="aeraki_core aeraki_plugins_dubbo aeraki_plugins_kafka aeraki_plugins_redis \
aeraki_plugins_thrift aeraki_plugins_zookeeper"

# uv does not read pip's settings: what a machine says to pip counts for both.
if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
fi
if [ -n "${PIP_CERT:-}" ] && [ -z "${SSL_CERT_FILE:-}" ]; then
    export SSL_CERT_FILE="$PIP_CERT"
fi

say() { echo "aeraki: $*" >&2; }
die() { say "$@"; exit 1; }

# Prints the Python to use. Each is run, for a version manager's shim may lead nowhere. What counts
# is the Python behind an environment: the one that is active may be the one to be replaced.
find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null && return
    done
    die "Python 3.11 or later is needed; PYTHON=/path/to/python names one"
}

# Debian splits what `python -m venv` needs off into a package of its own.
ensure_venv_module() {
    "$1" -c 'import ensurepip' 2>/dev/null && return
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null ||
        die "$1 cannot make environments: install python3-venv (Debian, Ubuntu) or uv"
    {
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv ||
            { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv; }
    } >&2 || die "could not install python3-venv"
}

# Old versions do not know dependency groups.
is_usable_uv() { "$1" pip install --help 2>/dev/null | grep -q -e --group; }

# Prints the uv to use, installing one of our own if need be; fails when there is none.
# NO_UV=1 does without, as on a machine that cannot have it.
find_uv() {
    [ -z "${NO_UV:-}" ] || return 1
    for candidate in uv "$HOME/.local/bin/uv" "$TOOLS/bin/uv"; do
        if is_usable_uv "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "installing uv into $TOOLS"
    {
        python=$(find_python) && ensure_venv_module "$python" &&
            "$python" -m venv "$TOOLS" &&
            "$TOOLS/bin/python" -m pip install --quiet --require-hashes -r requirements/uv.txt
    } >&2 && is_usable_uv "$TOOLS/bin/uv" && echo "$TOOLS/bin/uv"
}

# new_venv DIR: an empty environment in DIR, in place of what is there; with pip.
new_venv() {
    rm -rf "$1"
    python=$(find_python)
    if uv=$(find_uv); then
        "$uv" venv --quiet --seed --python "$python" "$1"
    else
        ensure_venv_module "$python"
        "$python" -m venv "$1"
    fi
}

# install VENV ARGUMENTS...: installs into the environment with uv, or with pip where uv is absent or fails.
install() {
    into=$1
    shift
    if uv=$(find_uv) && "$uv" pip install --quiet --python "$into/bin/python" "$@"; then return; fi
    # Slower, but it is told by the machine's own settings where to find packages.
    say "uv is not available or failed; using pip"
    "$into/bin/python" -m ensurepip --upgrade >/dev/null 2>&1 || true
    "$into/bin/python" -m pip install --quiet "$@"
}

# wheels VENV DIR: wheels of the six distributions in DIR, built by the pinned backend in the environment.
wheels() {
    rm -rf "$2"
    # shellcheck disable=SC2086 # names without spaces
    "$1/bin/python" -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir "$2" \
        $(printf './%s ' $DISTRIBUTIONS)
}
