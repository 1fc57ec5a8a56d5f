"""What can go wrong between us and an API server.

AerakiError
`-- RequestError          a request did not succeed; ``retry``: another try may help
|-- AnswerError       the answer is not what an API server sends
|-- ApiError          the server refused it: ``status``, ``reason``, ``retry_after``
|-- NotSentError      it was not sent: this replica may not write
`-- UnreachableError  no answer: connection refused, reset, timed out
"""

from __future__ import annotations

from aeraki_core.errors import AerakiError

__all__ = ["AnswerError", "ApiError", "NotSentError", "RequestError", "UnreachableError"]

_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class RequestError(AerakiError):
    """A request to the API server did not succeed."""

    retry = True


class AnswerError(RequestError):
    """The answer is not what an API server sends: a proxy or another server stands in its place."""


class NotSentError(RequestError):
    """The request was not sent, because this replica does not lead."""


class UnreachableError(RequestError):
    """The API server gave no answer."""


class ApiError(RequestError):
    """The API server refused a request.

    ``reason`` is Kubernetes' word for it (``AlreadyExists``, ``Expired``); ``retry_after`` is in
    seconds, None when the server did not say.
    """

    def __init__(
        self, what: str, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{what}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def retry(self) -> bool:  # type: ignore[override]
        """Whether the same request may succeed later."""
        return self.status in _PASSING
