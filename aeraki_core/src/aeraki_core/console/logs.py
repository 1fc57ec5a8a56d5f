"""Log lines on stderr: as text for people, as JSON for machines, with levels by component.

The components are a fixed table and the plugins by name, so a module that moves changes no user's
settings.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING

from aeraki_core.console import output
from aeraki_core.findings.text import escape

if TYPE_CHECKING:
    from aeraki_core.settings import Settings

__all__ = ["COMPONENTS", "component_of", "configure_logging", "set_levels"]

COMPONENTS = {
    "sources": "what is read, and from where",
    "mesh": "each object that comes, changes or goes",
    "pipeline": "which port speaks what, and what is generated",
    "sinks": "each filter that is written or kept",
    "kube": "requests to the API server, and watches",
    "controller": "passes, leader election, HTTP server, Events and statuses",
    "plugins": "hooks that fail or take long",
    "settings": "a settings file that changes",
}
"""Component and what its loggers report.

The loggers of component X are ``aeraki_core.X`` and those below it.
"""

_CORE = "aeraki_core"
_OFF = logging.CRITICAL + 1
_COLORS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class _Text(logging.Formatter):
    """``12:34:56.789 INFO  component: message``."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = output.style(
            f"{record.levelname:<7}", _COLORS.get(record.levelname), stream=sys.stderr
        )
        message = escape(record.getMessage())
        text = f"{clock}.{int(record.msecs):03} {level} {component_of(record.name)}: {message}"
        return "\n".join([text, *map(escape, _traceback(record).splitlines())])


class _Json(logging.Formatter):
    """One JSON object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        content = {
            "time": f"{clock}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "component": component_of(record.name),
            "message": escape(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        traceback = _traceback(record)
        if traceback:
            content["traceback"] = traceback
        # ASCII only: JSON's own escapes keep bidirectional marks away from a terminal.
        return json.dumps(content, default=str)


def _traceback(record: logging.LogRecord) -> str:
    """Return the record's traceback if the command (``--debug``) or the component debugs.

    Otherwise return an empty text.
    """
    wanted = output.debugs() or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
    if not wanted or not record.exc_info:
        return ""
    return logging.Formatter().formatException(record.exc_info)


def component_of(logger: str) -> str:
    """Return a logger's component: one of the table, or a plugin's package without prefix."""
    package, _, rest = logger.partition(".")
    if package == _CORE and rest:
        return rest.partition(".")[0]
    return package.removeprefix("aeraki_plugins_")


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever stderr is now, not to what it was at the start."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(settings: Settings, *, default: str) -> None:
    """Send log lines to stderr. ``default`` is the level of everything without a set level."""
    handler = _Stderr()
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    logging.getLogger().handlers = [handler]
    set_levels(settings, default=default)


def set_levels(settings: Settings, *, default: str) -> None:
    """Set the level of everything and of each component with its own; the others follow."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("aeraki_") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
    everything = _number(settings.log_level.all or default)
    logging.getLogger().setLevel(everything)
    # It logs every event at info; we log what comes of them.
    logging.getLogger("watchfiles").setLevel(
        everything if everything <= logging.DEBUG else max(everything, logging.WARNING)
    )
    for component, level in settings.log_level.components:
        own = _logger_name(component)
        if own is None:
            output.warning(
                f"--log-level: no component or plugin is called {component!r}; components:"
                f" {', '.join(COMPONENTS)}"
            )
        else:
            logging.getLogger(own).setLevel(_number(level))


def _number(level: str) -> int:
    return _OFF if level == "none" else int(getattr(logging, level.upper()))


def _logger_name(component: str) -> str | None:
    """Return the logger of a component or a plugin; None when there is neither."""
    from aeraki_core.plugins.hookspec import ENTRY_POINT_GROUP

    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        if point.name == component:
            return point.module.partition(".")[0]
    return f"{_CORE}.{component}" if component in COMPONENTS else None
