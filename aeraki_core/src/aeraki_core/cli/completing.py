"""The completions of a shell for a value: possible words, or files.

Functions that return words become callbacks for click, which return those that begin with the typed
text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Complete", "code_names", "files", "plugin_names", "words"]

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def words(known: Callable[[], Iterable[str]]) -> Complete:
    """Complete one of the words; of a list with commas, its last item."""

    def complete(
        _ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        return [
            CompletionItem(f"{before}{comma}{word}")
            for word in sorted(known())
            if word.startswith(last)
        ]

    return complete


def files(*others: str) -> Complete:
    """Files and folders, and the ``others`` where one of those was begun."""

    def complete(
        _ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        paths = [
            CompletionItem(word) for word in others if incomplete and word.startswith(incomplete)
        ]
        return [*paths, CompletionItem(incomplete, type="file")]

    return complete


def plugin_names() -> Iterable[str]:
    """Return the names of the installed plugins; none is imported."""
    from importlib import metadata

    from aeraki_core.plugins.hookspec import ENTRY_POINT_GROUP

    return {point.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}


def code_names() -> Iterable[str]:
    """Return the codes of the core's findings."""
    from aeraki_core.findings.codes import CORE_CODES

    return [code.id for code in CORE_CODES]
