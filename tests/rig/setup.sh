#!/bin/sh
# setup.sh [PACKAGE:COMMAND...]: installs what the rig needs from Debian, and these packages when their commands are missing.
# Idempotent; does nothing, fast, when all is there.
# Exit codes: 0 all there, 1 something is missing and this script cannot install it.
set -eu

# package:command pairs; a package is missing when its command is.
NEEDED="etcd-server:etcd iptables:iptables-restore iproute2:ip util-linux:setpriv util-linux:nsenter \
util-linux:unshare openssl:openssl $*"

# The sbin folders are not in everyone's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing_packages() {
    for pair in $NEEDED; do
        command -v "${pair#*:}" >/dev/null 2>&1 || echo "${pair%%:*}"
    done | sort -u | tr '\n' ' '
}

missing=$(missing_packages)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "rig: missing packages: $missing" >&2
    echo "rig: install them first, for example: sudo apt-get install --no-install-recommends $missing" >&2
    exit 1
fi

# Debian starts a daemon when its package is installed. This policy refuses that (101: "action
# forbidden"), so that no etcd of the distribution takes its usual ports. An existing policy stays.
policy=/usr/sbin/policy-rc.d
made_policy=
remove_policy() { [ -z "$made_policy" ] || rm -f "$policy"; }
trap remove_policy EXIT
trap 'exit 1' INT TERM HUP
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
# Package lists may be stale or absent: try with what is there, then refresh once.
install() { apt-get install -y -q --no-install-recommends $missing >&2; }
install || { apt-get update -q >&2 && install; }

missing=$(missing_packages)
if [ -n "$missing" ]; then
    echo "rig: still missing after the installation: $missing" >&2
    exit 1
fi
