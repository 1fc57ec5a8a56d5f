"""What tests with real traffic share: sidecars with the plugins' filters in a real Envoy, and loopback addresses.

A test makes a mesh with services at ``loopback()``, runs ``sidecars.serve(objects, endpoints=...)`` and sends its calls to that
address. A change of the mesh is ``sidecar.update(objects=...)``: the plugins run again and Envoy has the result when it returns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count

import pytest
from aeraki_core.testing import Sandbox

_numbers = count(1)


@pytest.fixture
def sidecars(envoy_sandbox: Sandbox) -> Sandbox:
    """Runs sidecars; on a failure their logs and configurations are shown."""
    return envoy_sandbox


@pytest.fixture
def loopback() -> Callable[[], str]:
    """Gives addresses of 127/8 that no other test, nor another worker of pytest-xdist, uses: services can have any port there."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

    def address() -> str:
        number = next(_numbers)
        return f"127.{100 + worker}.{number // 250}.{number % 250 + 1}"

    return address
