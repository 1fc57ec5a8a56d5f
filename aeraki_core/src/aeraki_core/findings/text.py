"""Text that people read: names and messages escaped, counting words, a finding on one line.

Other users write the objects that names, annotations and messages come from. A line break forges a
log line, an escape sequence repaints a terminal, a bidirectional mark shows a name as another.
:func:`escape` is applied to all text that leaves the process: terminal, logs, reports, Events, the
page. JSON and XML escape some of it by themselves, but not bidirectional marks.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Sequence, Sized
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding

__all__ = [
    "and_more",
    "count",
    "did_you_mean",
    "escape",
    "finding_line",
    "finding_place",
    "finding_subject",
]

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str) -> str:
    r"""Return the text on one line, with each control, format or unassigned character as ``\x1b``.

    Spaces of all kinds, letters, marks and symbols of all scripts stay as they are.
    """
    if text.isprintable():  # nearly every text, and it is quick
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    number = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def count(things: int | Sized, word: str) -> str:
    """``1 port``, ``2 ports``. ``things`` is the number, or what is counted."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def and_more(
    things: Sequence[object] | Collection[object], most: int, separator: str = ", "
) -> str:
    """Return the first ``most`` of the things, and how many more there are: ``a, b and 3 more``."""
    shown = separator.join(str(thing) for thing in list(things)[:most])
    return f"{shown} and {len(things) - most} more" if len(things) > most else shown


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the known word that is most like it; empty for none."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def finding_place(finding: Finding) -> str:
    """``FILE:LINE: ``, or empty for a finding at no file. Escaped."""
    if not finding.source:
        return ""
    return f"{escape(finding.source)}{f':{finding.line}' if finding.line else ''}: "


def finding_subject(finding: Finding) -> str:
    """Object and field, or empty. Escaped."""
    return escape(" ".join(part for part in (str(finding.ref or ""), finding.field or "") if part))


def finding_line(finding: Finding, *, action: bool = True) -> str:
    """Return a finding on one line, escaped: place, code, message, object.

    With ``action`` the line also says what to do.
    """
    subject = finding_subject(finding)
    about = f" ({subject})" if subject else ""
    text = f"{finding_place(finding)}{finding.code.id}: {escape(finding.message)}{about}"
    return f"{text}. {finding.code.action}" if action else text
