#!/bin/sh
# generate_kafka_proto.sh: makes kafka_broker_pb2.py of aeraki-plugins-kafka from kafka_broker.proto.
# The compiler's version decides from which protobuf on the result runs: this one makes it 6.31.1, the
# lower bound of aeraki-plugins-kafka.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
package=aeraki_plugins_kafka
venv=build/protoc

[ -x "$venv/bin/python" ] || new_venv "$venv"
"$venv/bin/python" -m pip install --quiet 'grpcio-tools==1.74.0' 'protobuf==6.31.1'
"$venv/bin/python" -m grpc_tools.protoc -I "$package/src" --python_out="$package/src" \
    "$package/src/$package/kafka_broker.proto"

target=$package/src/$package/kafka_broker_pb2.py
{
    echo '# mypy: ignore-errors'
    cat "$target"
} >"$target.new"
mv "$target.new" "$target"
say "wrote $target"
