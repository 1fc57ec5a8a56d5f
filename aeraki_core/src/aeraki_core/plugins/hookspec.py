"""Every hook that a plugin can implement. docs/plugins.md describes them; tests run the examples.

A plugin is a module (or an object) named by an entry point of the group ``aeraki.plugins``. It
implements any of these functions under :data:`hookimpl`, with the parameters that it needs.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from aeraki_core.filters.patch import Patch
    from aeraki_core.model.resource import Kind, Resource
    from aeraki_core.model.service import Port, Service
    from aeraki_core.plugins.context import GenerateContext
    from aeraki_core.plugins.extend_context import ExtendContext
    from aeraki_core.plugins.types import AddOn, Protocol
    from aeraki_core.plugins.validate import ValidateContext

__all__ = ["ENTRY_POINT_GROUP", "PROJECT", "HookSpec", "hookimpl"]

PROJECT = "aeraki"
ENTRY_POINT_GROUP = "aeraki.plugins"

_hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpec(typing.Protocol):
    """The hooks, in the order in which the controller calls them."""

    @_hookspec
    def aeraki_protocols(self) -> Iterable[Protocol]:
        """Return the protocols that the plugin brings. Called once, when the plugin is loaded.

        A name, token or kind that another plugin has claimed makes both conflicting: neither is
        used.

        >>> @hookimpl
        ... def aeraki_protocols():
        ...     return [
        ...         Protocol(
        ...             name="echo",
        ...             tokens=("echo",),
        ...             extension=Extension("envoy.filters.network.echo", stock=True),
        ...             summary="Sends back what it gets",
        ...             codes=(ECHO_UNKNOWN_HOST,),
        ...         )
        ...     ]
        """

    @_hookspec
    def aeraki_resources(self) -> Iterable[Kind[Any]]:
        """Return the custom resources that the plugin reads. Called once, when it is loaded.

        They feed the CRD manifests, what is watched, the role, and validation.

        >>> @hookimpl
        ... def aeraki_resources():
        ...     return [
        ...         Kind(
        ...             group="echo.example.com",
        ...             version="v1",
        ...             kind="EchoPolicy",
        ...             plural="echopolicies",
        ...             spec=EchoPolicySpec,
        ...             summary="How to echo",
        ...         )
        ...     ]
        """

    @_hookspec
    def aeraki_detect_protocol(
        self,
        port: Port,
        service: Service,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> str | None:
        """Return one of the plugin's protocols for a TCP port without a matching token, or None.

        It may look at its parameters only: the port, its service, and the labels and annotations of
        the service's object. A plugin with the parameter ``labels`` or ``annotations`` is asked
        again whenever one of them changes. The first answer wins, in the order of the plugins'
        names. If it raises, a port that spoke one of the plugin's protocols keeps it.

        >>> @hookimpl
        ... def aeraki_detect_protocol(port, labels):
        ...     return "echo" if port.number == 7 or labels.get("app") == "echo" else None
        """

    @_hookspec
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterable[Patch]:
        """Return the patches for one service port that speaks one of the plugin's protocols.

        It is pure and deterministic: all it uses is ``context``, which records what it reads. It is
        called again when, and only when, something of that changes. If it raises, the last good
        filters of the port stay.

        >>> @hookimpl
        ... def aeraki_generate(protocol, context):
        ...     yield context.outbound.replace_tcp_proxy("envoy.filters.network.echo", Echo())
        """

    @_hookspec
    def aeraki_addons(self) -> Iterable[AddOn]:
        """Return what the plugin adds to its own or other plugins' ports. Called once, at load.

        >>> @hookimpl
        ... def aeraki_addons():
        ...     return [
        ...         AddOn(
        ...             name="guard",
        ...             summary="Closes ports",
        ...             extensions=(Extension("envoy.filters.network.rbac", stock=True),),
        ...         )
        ...     ]
        """

    @_hookspec
    def aeraki_extend(self, addon: AddOn, context: ExtendContext) -> Iterable[Patch]:
        """Yield the patches of an add-on for one service port of a protocol.

        They may insert filters and merge, never replace. As for ``aeraki_generate``, ``context`` is
        the only input. If it raises, its last good patches stay, and the protocol's plugin
        continues.

        >>> @hookimpl
        ... def aeraki_extend(addon, context):
        ...     for side in context.inbound:
        ...         rules = RBAC(stat_prefix=side.stat_prefix)
        ...         yield side.insert_before_protocol("envoy.filters.network.rbac", rules)
        """

    @_hookspec
    def aeraki_validate(self, resource: Resource[Any], context: ValidateContext) -> None:
        """Report mistakes in an object of the plugin's kinds, beyond the checks of its model.

        One implementation serves ``aeraki validate``, the controller, and the object's status.

        >>> @hookimpl
        ... def aeraki_validate(resource, context):
        ...     if not context.has_host(resource.spec.host):
        ...         context.report(ECHO_UNKNOWN_HOST, "no such host", field="spec.host")
        """
