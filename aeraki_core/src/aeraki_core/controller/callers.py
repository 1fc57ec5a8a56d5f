"""Who may ask a controller for its metrics and state, as kube-rbac-proxy decides it.

A TokenReview says whose token a caller sends, a SubjectAccessReview whether that account may
``get`` the path. Both answers are kept for a short time. Reviews are few at once and have a
deadline, so an API server that is away costs a caller a 503 and the controller nothing.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.errors import AerakiError
from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import AnswerError

__all__ = ["Admission", "Callers"]

log = logging.getLogger(__name__)

_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 a path
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_KNOWN = 1_000  # verdicts that are kept
_AT_ONCE = 4  # reviews
_LOG_EVERY = 60.0  # seconds
_LONGEST_TOKEN = 16_384  # characters; a server's headers are longer in no sane cluster


class Admission(StrEnum):
    """What a caller may do."""

    ADMITTED = "admitted"
    """It gets an answer."""
    UNKNOWN = "unknown"
    """It sends no token that the cluster knows: 401."""
    FORBIDDEN = "forbidden"
    """The cluster knows it, and it may not ask: 403."""
    UNREVIEWED = "unreviewed"
    """Nobody can say now who it is: 503."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    admission: Admission
    until: float


class Callers:
    """Judges callers. Usable by many threads at once.

    ``client``: whose account may create both kinds of reviews.
    ``audience``: the audience that a token must be for; empty for the API server's own.
    ``admitted_for``, ``refused_for``: seconds for which a verdict is kept. A right that is taken
    away counts until then.
    ``patience``: seconds that one review may take.
    """

    def __init__(
        self,
        client: Client,
        audience: str = "",
        *,
        admitted_for: float = 30.0,
        refused_for: float = 10.0,
        patience: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        self._admitted_for = admitted_for
        self._refused_for = refused_for
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[tuple[bytes, str], _Verdict] = OrderedDict()
        self._reviewing = threading.BoundedSemaphore(_AT_ONCE)
        self._quiet_until = 0.0

    def judge(self, authorization: str | None, path: str) -> Admission:
        """Whether who sends this Authorization header may ``get`` the path."""
        token = _bearer(authorization)
        if token is None:
            return Admission.UNKNOWN
        # Not the token itself: nothing that is kept for long should hold one.
        question = (hashlib.sha256(token.encode(errors="replace")).digest(), path)
        known = self._cached(question)
        if known is not None:
            return known
        if not self._reviewing.acquire(timeout=self._patience):
            return Admission.UNREVIEWED
        try:
            # Whoever asked the same meanwhile has had it reviewed.
            return self._cached(question) or self._review(question, token, path)
        finally:
            self._reviewing.release()

    def _cached(self, question: tuple[bytes, str]) -> Admission | None:
        with self._lock:
            verdict = self._verdicts.get(question)
            return verdict.admission if verdict and self._clock() < verdict.until else None

    def _review(self, question: tuple[bytes, str], token: str, path: str) -> Admission:
        try:
            user = self._user_of(token)
            if user is None:
                admission = Admission.UNKNOWN
            elif self._may_get(user, path):
                admission = Admission.ADMITTED
            else:
                admission = Admission.FORBIDDEN
        except AerakiError as error:
            self._complain(error)
            # Kept for a moment too: many callers must not wait for the same silence one by one.
            self._keep(question, Admission.UNREVIEWED, 1.0)
            return Admission.UNREVIEWED
        kept = self._admitted_for if admission is Admission.ADMITTED else self._refused_for
        self._keep(question, admission, kept)
        return admission

    def _keep(self, question: tuple[bytes, str], admission: Admission, seconds: float) -> None:
        with self._lock:
            self._verdicts[question] = _Verdict(admission, self._clock() + seconds)
            self._verdicts.move_to_end(question)
            while len(self._verdicts) > _KNOWN:
                self._verdicts.popitem(last=False)

    def _user_of(self, token: str) -> dict[str, Any] | None:
        """Whose token it is; None for a token that the cluster does not know.

        Raises:
            RequestError: the API server does not say.
        """
        audiences = {"audiences": [self._audience]} if self._audience else {}
        status = self._ask(
            _TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token, **audiences}
        )
        # An authenticator that knows no audiences leaves them out: the token is for anybody then.
        if status.get("authenticated") is not True or (
            self._audience and self._audience not in (status.get("audiences") or ())
        ):
            return None
        user = status.get("user")
        return user if isinstance(user, dict) else None

    def _may_get(self, user: dict[str, Any], path: str) -> bool:
        """Whether the account may ``get`` the path.

        Raises:
            RequestError: the API server does not say.
        """
        spec = {
            "user": user.get("username") or "",
            "nonResourceAttributes": {"path": path, "verb": "get"},
            **{name: user[name] for name in ("groups", "uid", "extra") if user.get(name)},
        }
        status = self._ask(_ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return status.get("allowed") is True

    def _ask(self, path: str, api_version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        review = {"apiVersion": api_version, "kind": kind, "spec": spec}
        status = self._client.request("POST", path, body=review, timeout=self._patience).body.get(
            "status"
        )
        if not isinstance(status, dict):
            raise AnswerError(f"POST {path}: the answer has no status")
        return status

    def _complain(self, error: AerakiError) -> None:
        now = self._clock()
        with self._lock:
            level = logging.WARNING if now >= self._quiet_until else logging.DEBUG
            if level == logging.WARNING:
                self._quiet_until = now + _LOG_EVERY
        log.log(
            level,
            "callers of /metrics, /status and /explain get a 503: the API server does not say who"
            " they are: %s. The controller's account must have the right to create tokenreviews"
            " and subjectaccessreviews (`aeraki rbac --http-authentication`)",
            error,
        )


def _bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        return None
    with suppress(UnicodeEncodeError):
        token.encode("ascii")
        return token
    return None
