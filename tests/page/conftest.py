"""The command line of the tests of commands."""

from __future__ import annotations

from tests.cli.conftest import aeraki, in_the_checkout

__all__ = ["aeraki", "in_the_checkout"]
