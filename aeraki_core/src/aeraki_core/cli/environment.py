"""Variables that look like a setting and are none, for a misspelt one would have no effect and say nothing.

In: the environment. Out: their names, each with the setting's that it is nearly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aeraki_core.settings import SETTINGS
from aeraki_core.settings.resolve import CONFIG_ENV

__all__ = ["misspelt"]

_PREFIX = "AERAKI_"
_OTHERS = (CONFIG_ENV, "AERAKI_DEBUG", "AERAKI_ENVOY")
# Kubernetes gives every pod such variables for each Service of its namespace, and one may be called aeraki.
_OF_A_SERVICE = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
_NEAR = 0.85  # of difflib: one or two letters; what is less like a setting may be somebody else's


def misspelt(environment: Iterable[str]) -> list[tuple[str, str]]:
    """Names of variables that are nearly a setting's, each with that one."""
    known = {name for item in SETTINGS for name in (item.env, *item.old_env)} | {*_OTHERS}
    strange = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    return [
        (name, near)
        for name in strange
        if not _OF_A_SERVICE.search(name)
        for near in _nearest(name, known)
    ]


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
