"""Aeraki's core: what a plugin imports, and nothing else.

A plugin is written against these names and :mod:`aeraki_core.testing`. docs/plugins.md is the one
page to read. ``__init__.pyi`` lists the names.
"""

from __future__ import annotations

from aeraki_core.exports import from_stub

__all__, __getattr__, __dir__ = from_stub(__name__, __file__, globals())
