"""What of an object anybody reads, where that is little of it.

Clusters write some objects all day, such as the readiness of endpoints and the status of Pods. The
rest of such an object is left out as it arrives, so it takes no memory, and a change of the rest
alone is no event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from aeraki_core.kube.decode import Object

__all__ = ["NAMESPACE", "POD", "READY_SLICE", "SECRET", "SLICE", "Needed", "digest_of", "only"]

_DIGEST = 16  # bytes
_ALL: dict[str, Any] = {}

Needed = Mapping[str, Any]
"""The fields that are read, each with those inside it; empty: all of them.

The fields of a list are those of each of its members.
"""

_NAME: dict[str, Any] = {"name": _ALL, "namespace": _ALL}
_PORTS: dict[str, Any] = {"name": _ALL, "port": _ALL}

SLICE: Needed = {
    "metadata": {**_NAME, "labels": {"kubernetes.io/service-name": _ALL}},
    "addressType": _ALL,
    "endpoints": {"addresses": _ALL},
    "ports": _PORTS,
}
"""Of an EndpointSlice: the workloads. Whether they are ready changes no listener."""

READY_SLICE: Needed = {
    **SLICE,
    "endpoints": {
        "addresses": _ALL,
        "conditions": {"ready": _ALL},
        "targetRef": {"kind": _ALL, "name": _ALL},
    },
}
"""Of an EndpointSlice, with live weights: which workloads take calls, too."""

POD: Needed = {
    "metadata": {**_NAME, "labels": _ALL},
    "spec": {"serviceAccountName": _ALL},
    "status": {"podIP": _ALL, "podIPs": _ALL},
}

SECRET: Needed = {
    "metadata": {**_NAME, "labels": _ALL},
    "type": _ALL,
    "data": _ALL,
}

NAMESPACE: Needed = {"metadata": {"name": _ALL, "annotations": _ALL}}


def only(fields: Needed, value: Any) -> Any:
    """Copy these fields of a value.

    What has another shape than expected is copied whole: the store reports it.
    """
    if not fields:
        return value
    if isinstance(value, list):
        return [only(fields, each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: only(inner, value[name]) for name, inner in fields.items() if name in value}


def digest_of(content: Object) -> str:
    """Equal for equal objects."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return blake2b(text.encode(), digest_size=_DIGEST).hexdigest()
