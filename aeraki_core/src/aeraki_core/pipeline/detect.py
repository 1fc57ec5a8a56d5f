"""Which protocol a port speaks, and why (protocols.md, "Which ports").

In: a port, the protocols of the active plugins, a way to ask their hooks. Out: a :class:`Detection`, a value with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aeraki_core.model.service import Port, Service
from aeraki_core.plugins.types import Protocol

__all__ = ["Detection", "Detector"]

_NEVER = frozenset({"UDP", "HTTP", "HTTP2", "HTTPS", "GRPC", "GRPC-WEB", "TLS", "HTTP_PROXY"})
_NEVER_APP = frozenset(
    {
        "http",
        "http2",
        "https",
        "grpc",
        "grpc-web",
        "tls",
        "kubernetes.io/h2c",
        "kubernetes.io/ws",
        "kubernetes.io/wss",
    }
)
_APP_PROTOCOL_PREFIX = "aeraki.io/"

AskHooks = Callable[[Port, Service], Protocol | None]


@dataclass(frozen=True, slots=True)
class Detection:
    """The protocol of a port, or None, and why."""

    protocol: Protocol | None
    reason: str


class Detector:
    """Knows the tokens of the active protocols; asks the plugins' own detection last."""

    def __init__(self, protocols: Iterable[Protocol], ask_hooks: AskHooks) -> None:
        self._tokens = {token: protocol for protocol in protocols for token in protocol.tokens}
        self._ask_hooks = ask_hooks

    def detect(self, service: Service, port: Port) -> Detection:
        """The first that answers: appProtocol, the port's name, a plugin's own detection."""
        if port.protocol in _NEVER:
            return Detection(None, f"its protocol is {port.protocol}")
        if port.app_protocol:
            given = port.app_protocol.lower().removeprefix(_APP_PROTOCOL_PREFIX)
            if given in self._tokens:
                return Detection(self._tokens[given], f"appProtocol {port.app_protocol!r}")
            if given in _NEVER_APP:
                return Detection(None, f"its appProtocol is {port.app_protocol}")
        token = self._name_token(port.name)
        if token:
            return Detection(self._tokens[token], f"port name {port.name!r}")
        found = self._ask_hooks(port, service)
        if found is not None:
            return Detection(found, f"detected by the plugin of {found.name}")
        return Detection(
            None, f"no protocol is named tcp-{port.name.removeprefix('tcp-') or '<protocol>'}"
        )

    def _name_token(self, name: str) -> str | None:
        """The token of ``tcp-<token>`` or ``tcp-<token>-<anything>``, any case; a token may hold dashes: the longest wins."""
        head, dash, rest = name.lower().partition("-")
        if head != "tcp" or not dash:
            return None
        parts = rest.split("-")
        candidates = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((token for token in candidates if token in self._tokens), None)
