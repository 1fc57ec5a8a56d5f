"""Helm for the tests of the chart: built once where Go is there, a skip that says why elsewhere."""

from __future__ import annotations

import pytest

from tests.rig.errors import RigUnavailableError

from . import helm_binary
from .chart import Chart


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart; the first one builds Helm."""
    try:
        return Chart(helm_binary.helm())
    except RigUnavailableError as error:
        pytest.skip(str(error))
