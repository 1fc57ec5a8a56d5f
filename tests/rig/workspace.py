"""A folder for one run of the rig, free ports, and the clean-up after runs that crashed."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
from pathlib import Path

_PREFIX = "aeraki-rig-"
_OWNER = "owner"


class Workspace:
    """A temporary folder that is removed by `close`, or by the next run if this one crashes.

    With ``AERAKI_RIG_KEEP`` set it stays, for a look at the logs, until a run without it.
    """

    def __init__(self) -> None:
        if not _keep():
            remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.path.chmod(0o755)  # proxies run as another user and read their config from here
        (self.path / _OWNER).write_text(_identity(os.getpid()) or "", encoding="utf-8")

    def close(self) -> None:
        """Removes the folder."""
        if not _keep():
            shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned() -> None:
    """Removes the folders of runs whose process is dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = (folder / _OWNER).read_text(encoding="utf-8")
        except OSError:
            continue  # just being made, or someone else's
        if owner and _identity(int(owner.split()[0])) != owner:
            shutil.rmtree(folder, ignore_errors=True)


def _keep() -> bool:
    return bool(os.environ.get("AERAKI_RIG_KEEP"))


def _identity(pid: int) -> str | None:
    """The process id with the time of its start: a reused id is another identity."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The command's name is in parentheses and may hold spaces; the start time is field 22.
    return f"{pid} {stat.rpartition(')')[2].split()[19]}"


def free_ports(count: int) -> list[int]:
    """Return unused ports of 127.0.0.1, below those that the kernel gives to connections.

    Any outgoing connection could get a port that the kernel picked (port 0) before our server binds
    it, or while the server is down for a fault test.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            # As servers do: a port with connections in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports
