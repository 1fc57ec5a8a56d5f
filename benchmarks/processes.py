"""Processes of their own, for what must not share memory or CPU time with the rest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = ["peak_kilobytes", "resident_kilobytes", "result_of"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def result_of(
    function: Callable[_Parameters, _Result],
    *arguments: _Parameters.args,
    **keywords: _Parameters.kwargs,
) -> _Result:
    """Call a function in a fresh process.

    Raises:
        BrokenProcessPool: the process ended without a result.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **keywords).result()


def peak_kilobytes() -> int:
    """Return the peak resident memory of this process.

    ru_maxrss would include that of the parent, from before the exec.
    """
    return _status("VmHWM")


def resident_kilobytes() -> int:
    """Return the resident memory of this process."""
    return _status("VmRSS")


def _status(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(
        next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    )
