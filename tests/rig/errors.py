"""What the rig raises. Every message says what is wrong, where, and what to do about it."""

from __future__ import annotations


class RigError(Exception):
    """Something in the rig failed: a component, a command, a wait."""


class RigUnavailableError(RigError):
    """The rig cannot run here, because a tool is missing; the message says which."""


class ApiError(RigError):
    """The API server refused a request.

    Attributes:
        status: the HTTP status, for example 404 or 409.
        reason: the machine-readable reason, for example ``NotFound`` or ``AlreadyExists``.
    """

    def __init__(self, what: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{what}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
