"""Whether the rig can run on this machine, and what to do where it cannot."""

from __future__ import annotations

import sys

from . import build
from .errors import RigUnavailableError
from .processes import find_tool

_TOOLS = ("etcd", "openssl", "setpriv", "envoy")


def obstacle() -> str | None:
    """Why the rig can never run here as things are, with the remedy; None when it can.

    Binaries that are merely not built yet are no obstacle where Go can build them.
    """
    if sys.platform != "linux":
        return f"the rig needs Linux, this is {sys.platform}: use a virtual machine or a container"
    for tool in _TOOLS:
        try:
            find_tool(tool)
        except RigUnavailableError as error:
            return str(error)
    if build.artifacts().missing() and build.find_go() is None:
        return build.NO_GO
    return None


def unbuilt() -> str | None:
    """What has yet to be built, with the remedy; None when all is there."""
    missing = build.artifacts().missing()
    if not missing:
        return None
    names = ", ".join(path.name for path in missing)
    return f"not built yet: {names}: run `make rig-build` (some 16 minutes on two cores, once)"
