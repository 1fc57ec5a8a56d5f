"""Where istiod is, and who we are.

Token and certificate are read again for every connection, because both change while a pod runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import AerakiError

if TYPE_CHECKING:
    import grpc

__all__ = ["Istiod", "from_file"]

# Shorter ones make istiod close the connection (docs/internals/istio.md).
_KEEPALIVE_MS = 30_000


def from_file(path: Path, what: str) -> Callable[[], bytes]:
    """Return a function that reads the file at every call.

    It raises AerakiError when the file cannot be read.
    """

    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise AerakiError(f"{what} cannot be read: {error}") from error

    return read


@dataclass(frozen=True, slots=True)
class Istiod:
    """How to reach istiod."""

    address: str
    """``host:port``."""
    certificate: Callable[[], bytes] | None = None
    """Reads the PEM certificate of istiod's CA; None: plaintext, which only an istiod accepts that
    does not ask who we are."""
    token: Callable[[], bytes] | None = None
    """Reads a ServiceAccount's token with the audience ``istio-ca``."""
    server_name: str = ""
    """The name in istiod's certificate; empty for the address's own."""

    def channel(self) -> grpc.Channel:
        """Open a channel; nothing is sent before the first call.

        Raises:
            AerakiError: the certificate cannot be read.
        """
        import grpc

        options: list[tuple[str, int | str]] = [
            (
                "grpc.max_receive_message_length",
                -1,
            ),  # a big mesh's answer is larger than the 4 MiB of the default
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", 10_000),
            # One connection for each channel: a new one must not be given the state of an old one.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self.certificate is None:
            return grpc.insecure_channel(self.address, options)
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        return grpc.secure_channel(
            self.address, grpc.ssl_channel_credentials(self.certificate()), options
        )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return our credentials.

        Raises:
            AerakiError: the token cannot be read.
        """
        if self.token is None:
            return ()
        return (("authorization", f"Bearer {self.token().decode().strip()}"),)
