"""Where istiod is, and who we are.

In: address, certificate and token. Out: a gRPC channel, and the headers of a call; the token and the certificate are read again for
every connection, because both change while a pod runs.
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

# Shorter ones make istiod close the connection (facts/istio.md).
_KEEPALIVE_MS = 30_000


def from_file(path: Path, what: str) -> Callable[[], bytes]:
    """Reads the file each time it is asked.

    The function raises AerakiError when the file cannot be read.
    """

    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise AerakiError(f"{what} cannot be read: {error}") from error

    return read


@dataclass(frozen=True, slots=True)
class Istiod:
    """How to reach istiod.

    ``address`` is ``host:port``. ``certificate`` gives the PEM certificate of istiod's CA; None: plaintext, which only istiods take
    that do not ask who we are. ``token`` gives a ServiceAccount's token with the audience ``istio-ca``. ``server_name`` is the name
    in istiod's certificate; empty for the address's own.
    """

    address: str
    certificate: Callable[[], bytes] | None = None
    token: Callable[[], bytes] | None = None
    server_name: str = ""

    def channel(self) -> grpc.Channel:
        """A new channel; nothing is sent before the first call.

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
        """Who we are.

        Raises:
            AerakiError: the token cannot be read.
        """
        if self.token is None:
            return ()
        return (("authorization", f"Bearer {self.token().decode().strip()}"),)
