#!/bin/sh
# Tests the distributions in examples/ as an outsider has them: wheels of the core and of the example,
# an empty environment, and a copy of the example's tests far from this checkout. The versions are
# those of requirements/dev.txt where it has them.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=${VENV:-.venv}
root=$PWD
work=$root/build/examples

# What `aeraki new-plugin` makes is held to the same.
made=$root/build/new-plugin/aeraki-plugins-sample
rm -rf "$made"
"$venv/bin/aeraki" new-plugin sample --to "$made" --with resource,secret,traffic,ci >/dev/null 2>&1

sed -n 's/^\([^ #][^\\]*\) \\$/\1/p' requirements/dev.txt >build/constraints.txt
for example in "$root"/examples/*/ "$made"/; do
    name=$(basename "$example")
    rm -rf "$work/$name"
    mkdir -p "$work/$name"
    "$venv/bin/python" -m pip wheel --quiet --no-index --no-deps --no-build-isolation \
        --wheel-dir "$work/$name/wheels" ./aeraki_core "$example"
    new_venv "$work/$name/venv"
    wheel=$(ls "$work/$name/wheels/$(echo "$name" | tr - _)"-*.whl)
    install "$work/$name/venv" --constraint build/constraints.txt \
        "$work/$name"/wheels/aeraki_core-*.whl "$wheel[test]"
    # Without src: the tests must find the installed wheel.
    mkdir "$work/$name/copy"
    cp -r "$example/tests" "$example/sample.yaml" "$example/pyproject.toml" "$work/$name/copy"
    (
        cd "$work/$name/copy"
        PATH="$work/$name/venv/bin:$PATH"
        plugin=${name#aeraki-plugins-}
        aeraki plugins | grep -q "^$plugin " || die "aeraki plugins does not list $plugin"
        aeraki generate -f sample.yaml | grep -q 'kind: EnvoyFilter' || die "no filter of the sample"
        mypy tests "$example/src"
        ! grep -q '^\[tool.ruff' pyproject.toml || ruff check --config pyproject.toml tests "$example/src"
        pytest -q -p no:cacheprovider
    )
    say "$name works as its wheel"
done
