"""Envoy's log as records: level, logger, text.

Envoy is started with :data:`LOG_FORMAT`; a line that does not begin a record continues the one
before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["LOG_FORMAT", "LogRecord", "parse_log", "readable", "reason_of"]

LOG_FORMAT = "[%T.%e][%l][%n] %v"

_START = re.compile(r"\[(\d\d:\d\d:\d\d\.\d+)\]\[(\w+)\]\[([\w-]+)\] ?(.*)", re.DOTALL)
_DUMP = re.compile(r"goo\.gle/debug\w+ .*?\n: ", re.DOTALL)
_NOISE = ("  ", "statically linked extensions:", "HTTP header map info:")
_LEVELS = ("trace", "debug", "info", "warning", "error", "critical")


def readable(records: Iterable[LogRecord]) -> str:
    """Return the log for a person: without Envoy's initial lists of extensions and headers."""
    shown = (item for item in records if not item.text.startswith(_NOISE))
    return "".join(f"{item}\n" for item in shown)


def reason_of(text: str) -> str:
    """Return an error of Envoy's without the configuration that some errors repeat."""
    return _DUMP.sub("", text).strip()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record. ``level`` is Envoy's word for it: ``trace`` to ``critical``."""

    level: str
    logger: str
    text: str

    @property
    def is_warning(self) -> bool:
        """Whether it is a warning or worse."""
        return self.level not in _LEVELS[:3]

    def __str__(self) -> str:
        return f"[{self.level}][{self.logger}] {self.text}"


def parse_log(lines: Iterable[str]) -> list[LogRecord]:
    """Return the records of those lines.

    Lines before the first record (a crash of the loader) are an error.
    """
    records: list[LogRecord] = []
    for line in lines:
        match = _START.fullmatch(line.rstrip("\n"))
        if match:
            records.append(LogRecord(match[2], match[3], match[4]))
        elif line.startswith("configuration '"):
            continue  # the last word of --mode validate, written beside the log
        elif records:
            records[-1] = replace(records[-1], text=f"{records[-1].text}\n{line.rstrip()}")
        elif line.strip():
            records.append(LogRecord("error", "stderr", line.rstrip()))
    return records
