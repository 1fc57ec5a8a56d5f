"""The message class of Envoy's ``KafkaBroker`` configuration: xds-protos' own, else this package's.

protobuf keeps one pool of types for the whole process and refuses a second definition of the same
name. So ours is registered only when no one else has the type: it is not loaded already, and no
package that may be loaded later brings it.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pool, message_factory

__all__ = ["TYPE_NAME", "KafkaBroker"]

TYPE_NAME = "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"

# Where xds-protos would put it: Envoy's API keeps contrib extensions in a folder of their own.
_FOREIGN = (
    "contrib.envoy.extensions.filters.network.kafka_broker.v3.kafka_broker_pb2",
    "envoy.extensions.filters.network.kafka_broker.v3.kafka_broker_pb2",
)
_OWN = "aeraki_plugins_kafka.kafka_broker_pb2"


def _message_class() -> Any:
    pool = descriptor_pool.Default()
    for module in (None, *_FOREIGN, _OWN):
        with suppress(ImportError):
            if module:
                import_module(module)
        with suppress(KeyError):
            return message_factory.GetMessageClass(pool.FindMessageTypeByName(TYPE_NAME))
    raise ImportError(f"{_OWN} does not define {TYPE_NAME}")


KafkaBroker: Any = _message_class()
