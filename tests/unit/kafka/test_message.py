"""Where the KafkaBroker message comes from, and that its definition is Envoy's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from aeraki_plugins_kafka.message import KafkaBroker

import aeraki_plugins_kafka
from aeraki_plugins_kafka import kafka_broker_pb2

PROTO = Path(aeraki_plugins_kafka.__file__).with_name("kafka_broker.proto")
FULL_NAME = "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"

# Prints which file defines the message that the plugin packs.
REPORT = """
import aeraki_plugins_kafka
from google.protobuf.any_pb2 import Any
from aeraki_plugins_kafka.message import KafkaBroker
packed = Any()
packed.Pack(KafkaBroker(stat_prefix="x", api_keys_denied=[20]))
print(packed.type_url, KafkaBroker.DESCRIPTOR.file.name)
"""

# A module such as a later xds-protos would bring: the same message in a file of another name.
FOREIGN_MODULE = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto.FromString({data!r})
file.name = "contrib/envoy/extensions/filters/network/kafka_broker/v3/kafka_broker.proto"
DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""


def run(script: str, path: Path) -> str:
    """What the script prints in an interpreter of its own: a process has one pool of types."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def foreign_package(root: Path, package: str) -> None:
    folder = root
    for part in package.split("."):
        folder /= part
        folder.mkdir()
        (folder / "__init__.py").touch()
    data = kafka_broker_pb2.DESCRIPTOR.serialized_pb
    (folder / "kafka_broker_pb2.py").write_text(FOREIGN_MODULE.format(data=data))


def test_without_a_foreign_definition_our_own_is_used(tmp_path: Path) -> None:
    printed = run(REPORT, tmp_path)
    assert printed == f"type.googleapis.com/{FULL_NAME} aeraki_plugins_kafka/kafka_broker.proto"


def test_a_definition_of_xds_protos_is_used_instead_of_ours(tmp_path: Path) -> None:
    foreign_package(tmp_path, "contrib.envoy.extensions.filters.network.kafka_broker.v3")
    printed = run(REPORT, tmp_path)
    assert printed == (
        f"type.googleapis.com/{FULL_NAME} "
        "contrib/envoy/extensions/filters/network/kafka_broker/v3/kafka_broker.proto"
    )


def test_a_definition_that_someone_loaded_before_is_used(tmp_path: Path) -> None:
    foreign_package(tmp_path, "vendored")
    printed = run(f"import vendored.kafka_broker_pb2\n{REPORT}", tmp_path)
    assert printed.endswith("kafka_broker/v3/kafka_broker.proto")


def test_the_generated_module_is_made_from_the_proto_file() -> None:
    """Fields and numbers; a change of one file without the other shows here."""
    written: dict[str, dict[str, int]] = {}
    message = ""
    for line in PROTO.read_text().splitlines():
        if found := re.fullmatch(r"message (\w+) \{", line):
            message = found[1]
            written[message] = {}
        elif found := re.fullmatch(r"\s+(?:repeated )?\w+ (\w+) = (\d+);", line):
            written[message][found[1]] = int(found[2])
    generated = {
        name: {field.name: field.number for field in descriptor.fields}
        for name, descriptor in kafka_broker_pb2.DESCRIPTOR.message_types_by_name.items()
    }
    assert generated == written


def test_the_numbers_are_those_of_envoy() -> None:
    """Envoy reads numbers: api/contrib/envoy/extensions/filters/network/kafka_broker/v3."""
    config = KafkaBroker(
        stat_prefix="p", force_response_rewrite=True, api_keys_allowed=[1], api_keys_denied=[2]
    )
    config.id_based_broker_address_rewrite_spec.rules.add(id=7, host="h", port=9)
    rule = b"\x08\x07\x12\x01h\x18\x09"
    assert config.SerializeToString(deterministic=True) == (
        b"\x0a\x01p" + b"\x10\x01" + b"\x1a\x09\x0a\x07" + rule + b"\x22\x01\x01" + b"\x2a\x01\x02"
    )
