"""Durations as Kubernetes and Istio write them: ``200ms``, ``1.5s``, ``1m30s``, ``1h``."""

from __future__ import annotations

import re

__all__ = ["parse_duration"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|s|m|h)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of ``1.5s``, ``200ms``, ``1m30s``, ``1h``.

    Raises:
        ValueError: it is not of that form.
    """
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f"{text!r} is not a duration such as 200ms, 1.5s or 1m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
