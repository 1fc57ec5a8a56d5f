"""Files that take long to make, in the rig's cache.

Each is made once, also when several processes ask for it at the same time.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable
from pathlib import Path


def ensure(wanted: Path, make: Callable[[Path, Path], None]) -> Path:
    """Return the file `wanted`; make it by ``make(path, folder)`` beside it unless it exists.

    A rename makes it complete at once.

    Raises:
        RigError: what `make` raises.
    """
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with (wanted.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, also when this process is killed
        if not wanted.exists():
            with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=".making-") as work:
                made = Path(work) / wanted.name
                make(made, Path(work))
                made.replace(wanted)
    return wanted
