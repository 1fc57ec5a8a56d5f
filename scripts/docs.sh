#!/bin/sh
# docs.sh [ARGUMENTS...]: builds the site, or does with mkdocs what the arguments say, such as `serve`.
# mkdocs has an environment of its own, for nothing else here needs what it needs.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=build/docs
stamp=$venv/.installed

if [ ! "$stamp" -nt requirements/docs.txt ]; then
    new_venv "$venv"
    say "installing into $venv"
    install "$venv" --require-hashes -r requirements/docs.txt
    touch "$stamp"
fi
# Its notice about the future of mkdocs would be in every log.
export NO_MKDOCS_2_WARNING=1
exec "$venv/bin/mkdocs" "${@:-build}"
