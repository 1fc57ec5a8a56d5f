"""Texts without the Secrets that a plugin received.

Its errors and findings go to logs, Events and statuses. ``***`` replaces each value, also where it
is quoted, escaped, trimmed, encoded, only one line of several, or cut off with an ellipsis.
"""

from __future__ import annotations

import json
import re
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

from aeraki_core.model.secret import Secret

__all__ = ["MASK", "RedactedError", "redact", "redact_error"]

MASK = "***"

# A value with fewer characters counts only as a word of its own: within other words it reveals
# nothing.
_SHORT = 4
_ELLIPSIS = re.compile(r"\.\.\.|\N{HORIZONTAL ELLIPSIS}")
# Characters beside an ellipsis: as many as libraries keep of a long value (pydantic: 50).
_NEAR = 300


class RedactedError(Exception):
    """An error of a plugin for the log: what its traceback says, without secrets."""


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Return the text without any value of these Secrets."""
    secrets = tuple(secrets)
    if not secrets:
        return text
    forms = {form for secret in secrets for value in secret.data.values() for form in _forms(value)}
    # One expression for all would take seconds: a Secret may hold a bundle of certificates, and
    # each line counts.
    there = (_pattern(form) for form in _longest_first(form for form in forms if form in text))
    patterns = [*_longest_first(_remnants(text, forms)), *there]
    return re.sub("|".join(patterns), MASK, text) if patterns else text


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts), key=lambda text: (-len(text), text))


def redact_error(error: BaseException, secrets: Iterable[Secret]) -> BaseException:
    """Return what may be logged with its traceback in the error's place.

    This is the error itself if the code that raised it received no Secret.
    """
    secrets = tuple(secrets)
    if not secrets:
        return error
    return RedactedError(redact("".join(traceback.format_exception(error)).rstrip(), secrets))


@lru_cache(maxsize=64)  # for several findings of one generator
def _forms(value: str) -> frozenset[str]:
    return frozenset(_written(value))


def _written(value: str) -> Iterator[str]:
    # A short line of several, such as a bracket, reveals nothing.
    lines = (line for line in map(str.strip, value.splitlines()) if len(line) >= _SHORT)
    for text in {value, value.strip(), *lines}:
        if text:
            data = text.encode(errors="surrogatepass")
            yield text
            yield repr(text)[1:-1]
            yield repr(data)[2:-1]
            yield json.dumps(text)[1:-1]
            yield quote(data)
            yield quote(data, safe="")
            yield quote_plus(data)
            yield b64encode(data).decode()
            yield urlsafe_b64encode(data).decode()


def _remnants(text: str, forms: Iterable[str]) -> Iterator[str]:
    """Yield expressions for a form that is cut at an ellipsis.

    Its beginning stands before the ellipsis, its end behind it.
    """
    for cut in _ELLIPSIS.finditer(text):
        mark = re.escape(cut[0])
        before = text[max(0, cut.start() - _NEAR) : cut.start()]
        behind = text[cut.end() : cut.end() + _NEAR]
        for form in forms:
            sizes = range(_SHORT, len(form))
            if form[:_SHORT] in before:
                yield from (
                    f"{re.escape(form[:n])}(?={mark})" for n in sizes if before.endswith(form[:n])
                )
            if form[-_SHORT:] in behind:
                yield from (
                    f"(?<={mark}){re.escape(form[-n:])}"
                    for n in sizes
                    if behind.startswith(form[-n:])
                )


def _pattern(form: str) -> str:
    pattern = re.escape(form)
    return rf"(?<!\w){pattern}(?!\w)" if len(form) < _SHORT else pattern
