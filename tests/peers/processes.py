"""Child server processes: started on an address, awaited, stopped, never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from tests.children import spawn
from tests.waiting import wait_until

Address = tuple[str, int]

_handed_out: set[Address] = set()


class PeerError(Exception):
    """A peer did not start, or did not do what it should."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port that no outgoing connection gets (they start at 32768)."""
    while True:
        address = (host, random.randint(10_000, 32_000))
        if address in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                continue
        _handed_out.add(address)
        return address[1]


def free_address(host: str = "127.0.0.1") -> Address:
    return host, free_port(host)


def accepts(address: Address) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False


class ServerProcess:
    """A child process, in a folder of its own with its log. A context manager: ready, then killed.

    For an orderly end call `stop`; `start` starts it again, on the same address and folder.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        address: Address | None = None,
        ready: Callable[[], object] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        pipes: bool = False,
    ) -> None:
        """Ready once `ready()` is true; by default, once `address` accepts.

        `pipes` opens stdin and stdout; else stdout goes to the log.
        """
        self.name = name
        self.argv = [str(each) for each in argv]
        self.address = address
        self._ready = ready
        self._environment = environment or {}
        self._timeout = timeout
        self._pipes = pipes
        prefix = f"peer-{name}-"
        self._folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self._log = self.folder / "log"
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise PeerError(f"{self.name} was not started")
        return self._process

    @property
    def stdin(self) -> IO[str]:
        return cast(IO[str], self.process.stdin)

    @property
    def stdout(self) -> IO[str]:
        return cast(IO[str], self.process.stdout)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote since the last start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> Self:
        """Start (again, after `stop` or `kill`) and wait until ready."""
        if self.running:
            raise PeerError(f"{self.name} runs already")
        self._process = self._spawn()
        try:
            wait_until(self._is_ready, self._timeout, f"{self.name} to be ready")
        except BaseException as error:
            self.kill()
            error.add_note(self.describe())
            raise
        return self

    def _spawn(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE if self._pipes else None
        with self._log.open("w") as log:
            return spawn(
                self.argv,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self._environment},
                text=True,
                encoding="utf-8",
            )

    def _is_ready(self) -> bool:
        if not self.running:
            raise PeerError(f"{self.name} ended with {self.process.returncode}")
        if self._ready is not None:
            return bool(self._ready())
        return self.address is None or accepts(self.address)

    def describe(self) -> str:
        """For failure messages: the command and the end of the log."""
        return f"{' '.join(self.argv)}\n{self.log[-8000:]}"

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        self._end(signal.SIGKILL, 10.0)

    def _end(self, first: signal.Signals, timeout: float) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(first)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For the block, the process takes connections but does nothing (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *_: Any) -> None:
        # Nothing of it is wanted any more, and orderly ends take some servers seconds.
        self.kill()
        self._folder.cleanup()
