"""The current gaps of the sources, as a value: nothing that they may concern is deleted."""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core.sources.events import Incomplete

__all__ = ["NO_GAPS", "Gaps"]


@dataclass(frozen=True, slots=True)
class Gaps:
    """``deletions``: why nothing is deleted now; None when deletions are done.

    ``unread``: what was never read; live filters of the hosts that it mentions stay as they are.
    """

    deletions: str | None = None
    unread: tuple[Incomplete, ...] = ()

    def why_held(self, host: str) -> str | None:
        """Return why a host's live filters stay as they are; None if no gap concerns the host."""
        for incomplete in self.unread:
            if incomplete.concerns(host):
                return f"not everything about it could be read: {incomplete.reason}"
        return None


NO_GAPS = Gaps()
"""Everything was read."""
