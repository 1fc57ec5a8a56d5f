#!/bin/sh
# lock.sh [PACKAGE...]: writes requirements/*.txt: exact versions with hashes, the same for every Python
# from 3.11 on and every platform. Without arguments every version is the newest that the ranges in the
# pyproject.toml files allow; with arguments only these packages move, where nothing else has to.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
uv=$(find_uv) || die "uv is needed: pip writes no lock for other Pythons"
python=$(find_python)

# Hashes make the files fit any index, so none is named: no address, no path of this machine.
compile() {
    out=$1
    shift
    # Not $out itself: uv would keep its versions, and a failure must leave the old file whole.
    mkdir -p build/lock
    "$uv" pip compile --quiet --python "$python" --python-version 3.11 --universal --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "build/lock/${out##*/}" "$@"
    { cat build/lock/head; cat "build/lock/${out##*/}"; } >"$out.new"
    mv "$out.new" "$out"
    say "wrote $out: $(grep -c '==' "$out") packages"
}

mkdir -p build/lock
rm -f build/lock/*.txt
echo "# Written by make lock; do not edit. Installed with --require-hashes (scripts/venv.sh)." >build/lock/head
if [ $# -gt 0 ]; then
    for file in dev docs uv lowest; do grep -v '^#' "requirements/$file.txt" >"build/lock/$file.txt" || true; done
fi
upgrades=
for package; do upgrades="$upgrades --upgrade-package $package"; done

# The six distributions come from this checkout; only what they need is written.
ours=
: >build/lock/ours.in
for name in $DISTRIBUTIONS; do
    ours="$ours --no-emit-package $(echo "$name" | tr _ -)"
    echo "./$name" >>build/lock/ours.in
done
echo "./aeraki_core[testing]" >build/lock/testing.in

compile requirements/uv.txt --group uv $upgrades
compile requirements/docs.txt --group docs $upgrades
compile requirements/dev.txt --group dev $ours $upgrades build/lock/ours.in build/lock/testing.in

# The oldest versions that we allow, and the tests' tools beside them: tools and indirect needs are the newest.
"$uv" pip compile --quiet --python "$python" --python-version 3.11 --universal --resolution lowest-direct \
    --no-header --no-annotate $ours --output-file build/lock/lowest.all build/lock/ours.in
grep == build/lock/lowest.all >build/lock/lowest.in
compile requirements/lowest.txt --group test $ours $upgrades \
    --constraints build/lock/lowest.in build/lock/lowest.in build/lock/ours.in build/lock/testing.in
