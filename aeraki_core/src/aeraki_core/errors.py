"""The errors that the core raises, as a tree.

    AerakiError                 needs a person; str() says what, where and what to do
    |-- InputError              a source holds something that cannot be used
    |   |-- UnreadableError     a file that cannot be read or parsed at all
    |   `-- RejectedError       a model rejects an object; ``problems`` names each field
    |       `-- HandlingError   a plugin's code fails on an object; ``plugin`` names it
    |-- SettingsError           a flag, a variable or the settings file is wrong (exit 2)
    |-- PluginError             a plugin broke its contract
    |-- UnserialisableError     a filter holds a value that has no JSON form
    `-- SinkError               a write failed; ``retry`` says whether another try may help

Exceptions are for callers inside the program. Users read findings
(:mod:`aeraki_core.findings.finding`).
"""

from __future__ import annotations

import signal
import traceback
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "AerakiError",
    "HandlingError",
    "InputError",
    "Interrupted",
    "PluginError",
    "Problem",
    "RejectedError",
    "SettingsError",
    "SinkError",
    "UnreadableError",
    "UnserialisableError",
    "ends_the_program",
    "line_of_plugin",
    "text_of",
]

_CORE = Path(__file__).parent


class AerakiError(Exception):
    """Base of all errors of Aeraki."""


class InputError(AerakiError):
    """A source holds something that cannot be used."""


class UnreadableError(InputError):
    """A file cannot be read or parsed at all. ``line`` counts from 1; None when it is not known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in an object: the field's path (``spec.http[0].route``) and the message."""

    field: str
    message: str


class RejectedError(InputError):
    """An object does not fit its model; each problem names the field."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


class HandlingError(RejectedError):
    """A plugin's own code failed on an object. ``plugin`` is the plugin's name."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__((Problem("", message),))
        self.plugin = plugin


class SettingsError(AerakiError):
    """A flag, an environment variable or the settings file holds a value that cannot be used."""


class PluginError(AerakiError):
    """A plugin broke its contract: what it did, and what the contract asks for."""


class UnserialisableError(AerakiError):
    """A filter holds a value without a JSON form, such as a duration of more than 10,000 years."""


class SinkError(AerakiError):
    """A write to a sink failed. ``retry`` is False when the same write can never succeed."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C. A plugin that raises KeyboardInterrupt raises the plain one."""


def ends_the_program(error: BaseException) -> bool:
    """Report whether an error from a plugin's code is not the plugin's own and must propagate.

    A plugin may raise anything, SystemExit and KeyboardInterrupt included, and only its own call
    fails. Where Python's default handler is installed, a KeyboardInterrupt may be the user's
    Ctrl-C.
    """
    if isinstance(error, Interrupted):
        return True
    return (
        isinstance(error, KeyboardInterrupt)
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def text_of(error: BaseException) -> str:
    """What an error says, of at most 10,000 characters. A plugin's own may be unable to say it."""
    return str(traceback.TracebackException.from_exception(error, limit=0))[:10_000]


def line_of_plugin(error: BaseException) -> str:
    """Return the last line of the plugin's package before the error, such as ``pkg/module.py:7``.

    Empty when no code but the core's took part.
    """
    frames = [
        (Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    ]
    foreign = [(file, line) for file, line in frames if not file.is_relative_to(_CORE)]
    if not foreign:
        return ""
    package = foreign[0][0].parent  # the core calls this function of the plugin first
    file, line = [(file, line) for file, line in foreign if file.is_relative_to(package)][-1]
    return f"{file.parent.name}/{file.name}:{line}"
