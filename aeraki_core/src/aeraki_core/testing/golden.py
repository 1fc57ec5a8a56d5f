"""Golden files: what a test's output is compared with, and written to when asked.

A difference fails the test with a unified diff. With ``regenerate`` the file is written instead;
the author reads the difference before committing it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Golden"]


@dataclass(frozen=True, slots=True)
class Golden:
    """Compares with golden files. pytest's fixture ``golden`` obeys ``--regenerate``."""

    regenerate: bool = False

    def check(self, path: Path, text: str) -> None:
        """The file must hold exactly that text; empty text needs no file.

        Raises:
            AssertionError: it does not; with the difference.
        """
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if text == expected:
            return
        if self.regenerate:
            if text:
                path.write_text(text, encoding="utf-8")
            else:
                path.unlink()
            return
        difference = difflib.unified_diff(
            expected.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"{path.name} (expected)",
            f"{path.name} (generated)",
        )
        raise AssertionError(f"{path} differs; --regenerate writes it:\n{''.join(difference)}")
