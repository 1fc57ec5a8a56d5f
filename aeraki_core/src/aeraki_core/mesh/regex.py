"""Whether Envoy's engine accepts a regular expression.

Envoy rejects a whole listener for one expression that RE2 does not compile, so each is compiled
before it is written.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["MAX_PROGRAM_SIZE", "regex_problem"]

MAX_PROGRAM_SIZE = 32768
"""Largest compiled expression; Istio's proxies set ``re2.max_program_size.error_level`` to it."""


@lru_cache(maxsize=16384)  # compiling takes 5 to 11 ms; every view and every run asks again
def regex_problem(pattern: str) -> str | None:
    """Return why RE2 rejects the expression; None if it accepts it."""
    import re2

    options = re2.Options()
    options.log_errors = False  # RE2 writes to stderr otherwise
    try:
        size = re2.compile(pattern, options).programsize
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        return detail.decode() if isinstance(detail, bytes) else str(detail)
    return (
        f"its program size {size} exceeds {MAX_PROGRAM_SIZE}" if size > MAX_PROGRAM_SIZE else None
    )
