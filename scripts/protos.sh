#!/bin/sh
# protos.sh: makes config_pb2.py of aeraki-core from config.proto (what istiod serves over xDS).
# The compiler's version decides from which protobuf on the result runs: this one makes it 6.31.1, the
# lower bound of aeraki-core.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
venv=build/protoc

[ -x "$venv/bin/python" ] || new_venv "$venv"
"$venv/bin/python" -m pip install --quiet 'grpcio-tools==1.74.0' 'protobuf==6.31.1'
"$venv/bin/python" -m grpc_tools.protoc -I aeraki_core/src --python_out=aeraki_core/src --pyi_out=aeraki_core/src \
    aeraki_core/src/aeraki_core/sources/istiod/config.proto

target=aeraki_core/src/aeraki_core/sources/istiod/config_pb2.pyi
{
    echo '# mypy: ignore-errors'
    cat "$target"
} >"$target.new"
mv "$target.new" "$target"
say "wrote aeraki_core/src/aeraki_core/sources/istiod/config_pb2.py"
