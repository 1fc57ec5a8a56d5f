#!/bin/sh
# Builds all distributions, looks into each, and installs the core and one plugin as a user does:
# plain pip, an empty environment, no development tools. The versions are those of requirements/dev.txt,
# so that no release of somebody else can fail this; make test-newest is for that.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=${VENV:-.venv}
user=build/install

make --no-print-directory build
"$venv/bin/python" scripts/check_dists.py build/dist
"$venv/bin/python" -m twine check --strict build/dist/*

new_venv "$user"
# A constraint with a hash would demand one of our own wheels too.
sed -n 's/^\([^ #][^\\]*\) \\$/\1/p' requirements/dev.txt >build/constraints.txt
"$user/bin/python" -m pip install --quiet --constraint build/constraints.txt \
    build/dist/aeraki_core-*.whl build/dist/aeraki_plugins_dubbo-*.whl
"$user/bin/python" -m pip check

# From elsewhere, so that nothing of the checkout is found by chance.
root=$PWD
mkdir -p build/elsewhere
cd build/elsewhere
aeraki="$root/$user/bin/aeraki"
"$aeraki" version
"$aeraki" plugins
"$aeraki" plugins | grep -q dubbo || die "aeraki plugins does not list the installed plugin"
"$aeraki" generate -f "$root/deploy/samples/dubbo" >filters.yaml
grep -q 'kind: EnvoyFilter' filters.yaml || die "aeraki generate made no filter of the samples"
say "a plain installation works: $(grep -c 'kind: EnvoyFilter' filters.yaml) filters"
