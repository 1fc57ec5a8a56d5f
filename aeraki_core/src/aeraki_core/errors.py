"""The errors that the core raises, as a tree.

    AerakiError                 something a person must look at; str() says what, where and what to do
    |-- InputError              a source holds something that cannot be used
    |   |-- UnreadableError     a file that cannot be read or parsed at all
    |   `-- RejectedError       an object that its model rejects; ``problems`` names each field
    |-- SettingsError           a flag, an environment variable or the settings file is wrong (usage: exit 2)
    |-- PluginError             a plugin broke its contract
    `-- SinkError               a write did not succeed; ``retry`` tells whether another try may help

Exceptions are for callers inside the program. What a user reads is a finding (:mod:`aeraki_core.findings.finding`).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AerakiError",
    "InputError",
    "PluginError",
    "Problem",
    "RejectedError",
    "SettingsError",
    "SinkError",
    "UnreadableError",
]


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
    """One thing wrong in an object: the field's path (``spec.http[0].route``) and what is wrong there."""

    field: str
    message: str


class RejectedError(InputError):
    """An object does not fit its model; each problem names the field."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


class SettingsError(AerakiError):
    """A flag, an environment variable or the settings file holds a value that cannot be used."""


class PluginError(AerakiError):
    """A plugin broke its contract: what it did, and what the contract asks for."""


class SinkError(AerakiError):
    """A write to a sink did not succeed. ``retry`` is False when the same write can never succeed."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry
