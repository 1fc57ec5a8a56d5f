"""What ``aeraki_validate`` may use: the same recorded view of the mesh that generators have."""

from __future__ import annotations

from typing import Any

from aeraki_core.model.resource import Resource
from aeraki_core.plugins.context import Context, Detect
from aeraki_core.plugins.recorder import Recorder

__all__ = ["ValidateContext"]


class ValidateContext(Context):
    """What a validator may ask about one resource."""

    def __init__(self, resource: Resource[Any], *, recorder: Recorder, detect: Detect) -> None:
        super().__init__(resource.ref, recorder=recorder, detect=detect)
        self.resource = resource
