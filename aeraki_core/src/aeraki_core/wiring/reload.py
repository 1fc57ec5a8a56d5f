"""A settings file that changes while the controller runs.

Log levels follow the file at once, so that a problem can be looked at without a restart. Every other setting that changes is
logged, and counts from the next start.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError
from aeraki_core.settings import SETTINGS, setting_of

if TYPE_CHECKING:
    from aeraki_core.settings import Settings

__all__ = ["SettingsFile"]

log = logging.getLogger("aeraki_core.settings")

_EVERY = 2.0  # seconds; a ConfigMap takes up to a minute to arrive, so nobody notices


class SettingsFile:
    """Looks at the file in a thread of its own. A mounted ConfigMap is swapped as a whole, so the content is compared."""

    def __init__(self, settings: Settings, every: float = _EVERY) -> None:
        self._settings = settings
        self._every = every
        self._stop = threading.Event()
        self._content = _read(settings.file)
        self._thread = threading.Thread(target=self._run, name="settings-file", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            content = _read(self._settings.file)
            # A file that is away for a moment is about to be replaced.
            if content is not None and content != self._content:
                self._content = content
                self._reread()

    def _reread(self) -> None:
        """Set the log levels anew, and name every other setting that changed."""
        from aeraki_core.console.logs import set_levels

        if self._settings.reread is None:
            return
        try:
            fresh = self._settings.reread()
        except SettingsError as error:
            log.error(
                "the settings file changed and cannot be used; its last valid content stays in"
                " effect: %s",
                error,
            )
            return
        changed = [
            setting
            for setting in SETTINGS
            if getattr(fresh, setting.name) != getattr(self._settings, setting.name)
        ]
        if fresh.log_level != self._settings.log_level:
            set_levels(fresh, default="info")
            log.warning("log levels are now %s", setting_of("log_level").text(fresh.log_level))
        later = [setting.key for setting in changed if setting.name != "log_level"]
        if later:
            log.warning(
                "the settings file changed: %s will count after a restart", ", ".join(later)
            )
        self._settings = fresh


def _read(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError:
        return None
