"""Texts without the secrets that a plugin was given: its errors and findings go to logs, Events and statuses.

In: a text or an error, and the Secrets that were handed out. Out: the same with ``***`` in the place of each of their values, also
where the value is quoted, escaped, trimmed, encoded or only one line of several.
"""

from __future__ import annotations

import json
import re
import traceback
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from aeraki_core.model.secret import Secret

__all__ = ["MASK", "RedactedError", "redact", "redact_error"]

MASK = "***"

_SHORT = 4  # a value with fewer characters counts only as a word of its own: letters of other words tell nothing of it


class RedactedError(Exception):
    """An error of a plugin for the log: what its traceback says, without secrets."""


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text without any value of these Secrets."""
    forms = {form for secret in secrets for value in secret.data.values() for form in _forms(value)}
    if not forms:
        return text
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.sub("|".join(map(_pattern, longest_first)), MASK, text)


def redact_error(error: BaseException, secrets: Iterable[Secret]) -> BaseException:
    """What may be logged with its traceback in the error's place: the error itself, if no secret was given to whoever raised it."""
    secrets = tuple(secrets)
    if not secrets:
        return error
    return RedactedError(redact("".join(traceback.format_exception(error)).rstrip(), secrets))


def _forms(value: str) -> Iterator[str]:
    for text in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        if text:
            yield text
            yield repr(text)[1:-1]
            yield json.dumps(text)[1:-1]
            yield quote(text, safe="")
            yield b64encode(text.encode()).decode()


def _pattern(form: str) -> str:
    pattern = re.escape(form)
    return rf"(?<!\w){pattern}(?!\w)" if len(form) < _SHORT else pattern
