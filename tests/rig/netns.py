"""Network namespaces that live as long as a process of ours."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import RigError
from .processes import Process, find_tool, private_pids_prefix, run


def enter_network(descriptor: int) -> None:
    """Moves the calling thread; Python has no call of its own before 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        code = ctypes.get_errno()
        raise RigError(f"cannot enter a pod's network: {os.strerror(code)}")


class Holder:
    """An idle process that keeps a network and a mount namespace alive while it lives."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ready = folder / "ready"
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")
        # The address has no name server, which fails at once. An unreachable server would cost its
        # time limits. Names stand in the hosts file.
        resolver = folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n", encoding="utf-8")
        script = (
            'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && '
            'ip link set lo up && : >"$3" && exec sleep infinity'
        )
        files = [str(hosts), str(resolver), str(self._ready)]
        unshare = [find_tool("unshare"), "--net", "--mount", "--propagation", "private", "--"]
        self._process = Process(
            f"the namespace of {name}",
            [*unshare, find_tool("sh"), "-c", script, "sh", *files],
            folder / "namespace.log",
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        self._process.start()
        self._process.wait_ready(self._ready.exists, 10)

    def stop(self) -> None:
        self._process.kill()

    def wrap(
        self,
        argv: list[str],
        *,
        group: int | None = None,
        cwd: Path | None = None,
        private_pids: bool = False,
    ) -> list[str]:
        """The command line that runs `argv` inside, for `group` also as that user group.

        Entering a mount namespace forgets the working directory: `cwd` or this process's is kept.
        """
        inside = [find_tool("nsenter"), f"--target={self.pid}", "--net", "--mount", "--"]
        if private_pids:
            inside += private_pids_prefix()
        if group is not None:
            # This clears the kill-on-parent's-death that `Process` set: set it again.
            inside += [find_tool("setpriv"), f"--regid={group}", "--clear-groups"]
            inside += ["--pdeathsig", "KILL", "--"]
        return [*inside, find_tool("env"), f"--chdir={cwd or Path.cwd()}", *argv]

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float = 30) -> str:
        return run(self.wrap(list(argv)), stdin=stdin, timeout=timeout)

    def write(self, path: str, value: str) -> None:
        """Writes a kernel setting of the namespace."""
        self.run([find_tool("sh"), "-c", 'printf %s "$2" >"$1"', "sh", path, value])
