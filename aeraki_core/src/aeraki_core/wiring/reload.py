"""Files that change while the controller runs: the settings file, and plugins of ``--plugin``.

Log levels follow the settings file at once, so that a problem can be examined without a restart.
Every other change of a setting is logged, and takes effect at the next start. A plugin's file is
loaded again, so that its author sees the effect of a change; an unusable version changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import PluginError, SettingsError
from aeraki_core.settings import SETTINGS, setting_of

if TYPE_CHECKING:
    from aeraki_core.controller.loop import Controller
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings

__all__ = ["PluginFiles", "SettingsFile"]

log = logging.getLogger("aeraki_core.settings")
plugins_log = logging.getLogger("aeraki_core.plugins")

_EVERY = 2.0  # seconds; a ConfigMap takes up to a minute to arrive, so nobody notices
_EVERY_FOR_PLUGINS = 0.5  # seconds; an author waits for it
_PATIENCE = 60.0  # seconds until the controller's loop must have taken a new version in


class _Watch:
    """Looks again and again in a thread of its own, until it is stopped."""

    def __init__(self, look: Callable[[], None], *, every: float, name: str) -> None:
        self._look = look
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
            self._look()


class SettingsFile(_Watch):
    """Watches the file in a thread of its own.

    A mounted ConfigMap is swapped as a whole, so the content is compared.
    """

    def __init__(self, settings: Settings, every: float = _EVERY) -> None:
        super().__init__(self._compare, every=every, name="settings-file")
        self._settings = settings
        self._content = _read(settings.file)

    def _compare(self) -> None:
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


class PluginFiles(_Watch):
    """Looks at the files of ``--plugin`` in a thread of its own, and loads those that changed.

    The new version is imported and judged there; the controller's loop only puts it in the place
    of the one before, between two passes.
    """

    def __init__(
        self,
        settings: Settings,
        controller: Controller,
        pipeline: Pipeline,
        every: float = _EVERY_FOR_PLUGINS,
    ) -> None:
        super().__init__(self._compare, every=every, name="plugin-files")
        self._settings = settings
        self._controller = controller
        self._pipeline = pipeline
        self._loaded = {path: _read(path) for path in settings.plugin_files}
        self._seen = dict(self._loaded)

    def _compare(self) -> None:
        for path in self._loaded:
            content = _read(path)
            # What differs between two looks is being written.
            settled = content is not None and content == self._seen[path]
            self._seen[path] = content
            if settled and content != self._loaded[path]:
                self._loaded[path] = content
                self._reload(path)

    def _reload(self, path: Path) -> None:
        from aeraki_core.findings.codes import PLUGIN_INACTIVE
        from aeraki_core.findings.finding import Finding
        from aeraki_core.plugins.discovery import load_file
        from aeraki_core.sources.events import Problems
        from aeraki_core.wiring.plugins import tracer_for

        candidate = load_file(path)
        findings: tuple[Finding, ...] = ()
        try:
            registry = self._pipeline.registry.reloaded(candidate, tracer_for(self._settings))
            replace = partial(self._pipeline.replace_plugin, registry, candidate.name)
            self._controller.call(replace, _PATIENCE)
            plugins_log.info("plugin %s: loaded again from %s", candidate.name, path)
        except (PluginError, TimeoutError) as error:
            why = str(error) or "the controller is busy"
            message = (
                f"plugin {candidate.name}: the changed {path} is not used, "
                f"its last good version stays: {why}"
            )
            findings = (Finding(PLUGIN_INACTIVE, message, plugin=candidate.name),)
        self._controller.post(Problems("plugins", str(path), findings))


def _read(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError:
        return None
