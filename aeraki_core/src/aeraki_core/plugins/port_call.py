"""A pending call of a generator: what the core keeps beside the plugin's context."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.filters.patch import Side
from aeraki_core.plugins.audience import Audience
from aeraki_core.plugins.context import Detect, GenerateContext
from aeraki_core.plugins.options import OptionReader
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.types import AddOn

__all__ = ["PortCall"]


@dataclass(frozen=True, slots=True)
class PortCall:
    """A pending call of ``aeraki_generate``: the plugin's side of it and the core's."""

    context: GenerateContext
    options: OptionReader
    recorder: Recorder
    detect: Detect
    audience: Audience

    def has_extension(self, name: str) -> bool:
        """Whether all proxies of the audience have an extension that is not in the stock proxy.

        Namespaces that have it where others do not get a call of their own.
        """
        self.recorder.extensions.add(name)
        return self.audience.has_extension(name, self.context.service, self.context.mesh)

    def covered_sides(self, addon: AddOn) -> tuple[Side, ...]:
        """The sides whose proxies have all that the add-on's filters need."""
        needed = [each.name for each in addon.extensions if not each.stock]
        service, mesh = self.context.service, self.context.mesh
        # Each is asked for, so that a namespace that has one of them is looked at.
        lacking = [name for name in needed if not self.has_extension(name)]
        inbound = tuple(
            side
            for side in self.context.inbound
            if all(
                any(rule.covers(service.namespace, side.selector) for rule in mesh.rules_for(name))
                for name in needed
            )
        )
        return inbound if lacking else (self.context.outbound, *inbound)
