#!/usr/bin/env bash
# Installs the Debian packages of the servers that the dataplane tests run. Quick when all is there.
set -euo pipefail

# command (or file) that must be there : Debian package that has it
needs=(
  redis-server:redis-server
  /usr/share/java/zookeeper.jar:zookeeper
  javac:default-jdk-headless
  mvn:maven
  setpriv:util-linux
  prometheus:prometheus
)
# Machines that have Chrome may have no package with Chromium.
command -v google-chrome >/dev/null || needs+=(chromium:chromium)
missing=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null || [ -e "${need%%:*}" ] || missing+=("${need##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup.sh: install these (Debian's names; needs root): ${missing[*]}" >&2
  exit 1
fi

# Tests start their own servers: Debian must not start one on the well-known port.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"; }
# The lists of a fresh machine are empty or old, so the first try may fail; mirrors fail now and then.
for attempt in 1 2 3; do
  install && exit 0
  echo "setup.sh: attempt $attempt failed, refreshing the package lists" >&2
  apt-get update -q || true
done
install
