"""Run command lines through the real entry point, in this process.

The :class:`Result` holds what both streams received through their file descriptors.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from aeraki_core.cli import main

__all__ = ["Result", "Run", "clean_environment", "runner"]


@dataclass(frozen=True)
class Result:
    """How a command line ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own settings counts."""
    for name in [name for name in os.environ if name.startswith("AERAKI_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def runner(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs one command line: its arguments, and ``stdin`` as text."""

    def run(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run
