#!/bin/sh
# Builds every distribution a second time, elsewhere and under other circumstances, and compares the
# files with those of `make build`: whoever builds the tag gets the bytes that were published.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
again=build/again
rm -rf "$again"
mkdir -p "$again"

# As a checkout has it: nothing that git does not know, another folder, other permissions and times.
git ls-files -z -- 'aeraki_*' | tar -c --null -T - | tar -x -C "$again"
chmod -R go-rwx "$again"
find "$again" -type f -exec touch -d 2001-02-03 {} +
for name in $DISTRIBUTIONS; do
    (umask 077; LC_ALL=C TZ=Asia/Tokyo PYTHONHASHSEED=1 \
        "${VENV:-.venv}/bin/python" -m build --no-isolation --outdir "$again/dist" "$again/$name" >/dev/null)
done
(cd build/dist && sha256sum -- *.whl *.tar.gz) >"$again/first.txt"
(cd "$again/dist" && sha256sum -- *.whl *.tar.gz) >"$again/second.txt"
diff "$again/first.txt" "$again/second.txt" || die "two builds differ"
say "two builds are equal: $(wc -l <"$again/first.txt") files"
