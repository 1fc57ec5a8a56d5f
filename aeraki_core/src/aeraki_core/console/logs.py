"""Log lines on stderr: as text for people, as JSON for machines, with a level for each component.

A component is a module of the core (``pipeline``, ``sources``) or a plugin by its name.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aeraki_core.console import output

if TYPE_CHECKING:
    from aeraki_core.settings import Settings

__all__ = ["configure_logging", "set_levels"]

_LEVELS = {"none": logging.CRITICAL + 1}
_COLORS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class _Text(logging.Formatter):
    """``12:34:56.789 INFO  component: message``."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = output.style(
            f"{record.levelname:<7}", _COLORS.get(record.levelname), stream=sys.stderr
        )
        text = f"{clock}.{int(record.msecs):03} {level} {_component(record.name)}: {record.getMessage()}"
        traceback = _traceback(record)
        return f"{text}\n{traceback}" if traceback else text


class _Json(logging.Formatter):
    """One JSON object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        content = {
            "time": f"{clock}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "component": _component(record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        traceback = _traceback(record)
        if traceback:
            content["traceback"] = traceback
        return json.dumps(content, ensure_ascii=False, default=str)


def _traceback(record: logging.LogRecord) -> str | None:
    """The record's traceback, for whoever debugs: the command (``--debug``) or the component (its level)."""
    wanted = output.debugs() or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
    return (
        logging.Formatter().formatException(record.exc_info) if wanted and record.exc_info else None
    )


def _component(name: str) -> str:
    return name.removeprefix("aeraki_core.")


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever stderr is now, not to what it was at the start."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(settings: Settings, *, default: str) -> None:
    """Send log lines to stderr. ``default`` is the level of everything where the settings give none."""
    handler = _Stderr()
    handler.setFormatter(_Json() if settings["logFormat"] == "json" else _Text())
    logging.getLogger().handlers = [handler]
    set_levels(settings, default=default)


def set_levels(settings: Settings, before: Settings | None = None, *, default: str) -> None:
    """The level of everything and of each component; those that only ``before`` gave one have none of their own any more."""
    levels = settings["logLevel"]
    for component, _ in before["logLevel"].components if before is not None else ():
        name = _logger_name(component)
        if name is not None:
            logging.getLogger(name).setLevel(logging.NOTSET)
    everything = _level(default if settings.is_default("logLevel") else levels.all)
    logging.getLogger().setLevel(everything)
    # It tells of every event at info; what came of them is said by us.
    logging.getLogger("watchfiles").setLevel(
        everything if everything <= logging.DEBUG else max(everything, logging.WARNING)
    )
    for component, level in levels.components:
        name = _logger_name(component)
        if name is None:
            output.warning(f"--log-level: there is no component or plugin {component!r}")
        else:
            logging.getLogger(name).setLevel(_level(level))


def _level(name: str) -> int:
    return _LEVELS.get(name) or int(getattr(logging, name.upper()))


def _logger_name(component: str) -> str | None:
    """The logger of a plugin or of a module of the core; None when there is neither."""
    from aeraki_core.plugins.hookspec import ENTRY_POINT_GROUP

    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        if point.name == component:
            return point.module.partition(".")[0]
    name = f"aeraki_core.{component}"
    try:
        return name if find_spec(name) is not None else None
    except (ImportError, ValueError):
        return None
