"""What an add-on may use to extend the patches of a service port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from aeraki_core.filters.patch import ExtendedSide, Inbound
from aeraki_core.plugins.context import Context, Detect, GenerateContext
from aeraki_core.plugins.options import OptionReader
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.types import AddOn, Option

__all__ = ["ExtendContext"]

V = TypeVar("V")


class ExtendContext(Context):
    """What ``aeraki_extend`` may ask, for one service port and one audience of clients."""

    def __init__(
        self,
        addon: AddOn,
        generating: GenerateContext,
        *,
        inbound: Iterable[Inbound],
        options: OptionReader,
        recorder: Recorder,
        detect: Detect,
    ) -> None:
        super().__init__(generating.service.ref, recorder=recorder, detect=detect)
        self.addon = addon
        self.protocol = generating.protocol
        self.service = generating.service
        self.port = generating.port
        self.outbound = ExtendedSide(generating.outbound)
        self.inbound = tuple(map(ExtendedSide, inbound))
        self._options = options

    def option(self, option: Option[V]) -> V:
        """The value of one of the add-on's options, or its default.

        Raises:
            PluginError: the add-on does not declare the option.
        """
        return self._options.value(option)

    def option_field(self, option: Option[Any]) -> str:
        """The field of the annotation that gives an option its value, for a finding about it.

        Raises:
            PluginError: the add-on does not declare the option.
        """
        return self._options.field(option)
