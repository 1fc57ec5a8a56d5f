"""The deletion of upstream Aeraki's filters once ours take their place."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose
from aeraki_core.sinks.kubernetes.upstream import superseded
from aeraki_core.sinks.kubernetes.writer import ApiWriter

__all__ = ["Adoption"]

_log = logging.getLogger(__name__)


class Adoption:
    """Deletes what ours supersede. One that comes back is not fought over: upstream still runs."""

    def __init__(self, filters: LiveFilters, *, dry_run: bool) -> None:
        self._filters = filters
        self._dry_run = dry_run
        self.adopted: set[FilterKey] = set()
        """The filters of upstream's that were deleted."""

    def run(self, pool: ThreadPoolExecutor, writer: ApiWriter) -> None:
        """Delete what is superseded now."""
        upstream = [key for key in self._filters.keys(Whose.UPSTREAM) if key not in self.adopted]
        if not upstream:
            return
        keys = superseded(upstream, self._filters.service_ports())
        for key, error in zip(keys, pool.map(writer.delete, keys), strict=True):
            if error is not None:
                _log.warning("upstream Aeraki's EnvoyFilter %s cannot be deleted: %s", key, error)
                continue
            _log.info("deleted upstream Aeraki's EnvoyFilter %s: ours takes its place", key)
            if not self._dry_run:
                self.adopted.add(key)
