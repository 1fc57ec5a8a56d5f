"""Cached answers, so that frequent requests cost the controller nothing.

The first request has an answer made. All others get the same bytes until a new one may be made.
Making answers takes at most a tenth of the time, for any number of clients and paths. While one is
being made, requests get the last one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Snapshots"]

_SHARE = 10.0
"""One part of so many that making answers may take of the time."""

_KNOWN = 64
"""So many answers are kept."""


@dataclass(frozen=True, slots=True)
class _CachedAnswer:
    """An answer, the state that it is about, and when it was made."""

    body: bytes
    version: int
    at: float


class Snapshots:
    """Answers by question. ``version`` says which state they are about: it rises with each pass.

    ``fresh``: seconds in which a change of state is not looked at; ``stale``: seconds after which
    an answer is made again though the state is the same; ``patience``: seconds to wait for one's
    turn.
    """

    def __init__(
        self,
        version: Callable[[], int],
        *,
        fresh: float = 0.2,
        stale: float = 5.0,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._fresh = fresh
        self._stale = stale
        self._patience = patience
        self._clock = clock
        self._answers: OrderedDict[str, _CachedAnswer] = OrderedDict()
        self._making = threading.Lock()
        self._not_before = 0.0

    def get(self, question: str, make: Callable[[], bytes]) -> bytes:
        """Return the answer to a question; ``make`` computes it.

        Raises:
            TimeoutError: it could not be made in time, and there is none from before. What ``make``
                raises is raised too.
        """
        answer = self._answers.get(question)
        if answer is not None and self._is_good(answer):
            return answer.body
        if not self._making.acquire(timeout=0 if answer is not None else self._patience):
            if answer is not None:
                return answer.body
            raise TimeoutError
        try:
            return self._make(question, make)
        finally:
            self._making.release()

    def _is_good(self, answer: _CachedAnswer) -> bool:
        age = self._clock() - answer.at
        if age < self._fresh or self._clock() < self._not_before:
            return True
        return age < self._stale and answer.version == self._version()

    def _make(self, question: str, make: Callable[[], bytes]) -> bytes:
        """Under the lock. Somebody else may have made it meanwhile."""
        answer = self._answers.get(question)
        if answer is not None and self._is_good(answer):
            return answer.body
        wait = self._not_before - self._clock()
        if wait > self._patience:
            raise TimeoutError
        if wait > 0:
            time.sleep(wait)
        version, begin = self._version(), self._clock()
        try:
            body = make()
        finally:
            end = self._clock()
            self._not_before = end + (end - begin) * _SHARE
        self._answers[question] = _CachedAnswer(body, version, end)
        self._answers.move_to_end(question)
        while len(self._answers) > _KNOWN:
            self._answers.popitem(last=False)
        return body
