"""`aeraki run` over the rig's cluster as a process that tests kill, pause and query over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
WAIT = 60.0  # seconds; a loaded machine is slow


class Replica:
    """A context manager, which kills the process at its end if it still runs.

    ``namespace`` is that of the pod that it represents, and so of the Lease.
    """

    def __init__(
        self,
        name: str,
        kubeconfig: Path,
        namespace: str,
        *arguments: str,
        plugins: str = "redis",
        elects: bool = True,
    ) -> None:
        self.name = name
        command = [
            sys.executable,
            "-m",
            "aeraki_core",
            "run",
            "--source",
            "kubernetes",
            "--sink",
            "kubernetes",
        ]
        command += ["--kubeconfig", str(kubeconfig), "--plugins", plugins, "--log-format", "json"]
        command += ["--http-address", "127.0.0.1:0", *arguments]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("AERAKI_")
        }
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "POD_NAME": name}
        if elects:
            environment["POD_NAMESPACE"] = namespace
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def __enter__(self) -> Replica:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(WAIT)
        self._reader.join(WAIT)
        assert self.process.stderr is not None
        self.process.stderr.close()
        if error is not None:
            print(f"--- {self.name} ---", *self.raw[-60:], sep="\n")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def mark(self) -> int:
        """A place in the log, for :meth:`wait_for`."""
        return len(self.lines)

    def said(self, words: str, since: int = 0) -> list[dict[str, Any]]:
        return [line for line in self.lines[since:] if words in line["message"]]

    def wait_for(self, words: str, since: int = 0, timeout: float = WAIT) -> dict[str, Any]:
        """The first log line with these words."""

        def look() -> list[dict[str, Any]]:
            found = self.said(words, since)
            assert found or self.process.poll() is None, f"{self.name} ended:\n{''.join(self.raw)}"
            return found

        return wait_until(
            look, timeout, f"{self.name} to say {words!r}", seen=lambda: "".join(self.raw[-15:])
        )[0]

    def get(self, path: str) -> tuple[int, str]:
        """Status code and text of an answer over HTTP."""
        line = self.wait_for("answers on")["message"]
        port = line.rpartition(" ")[2]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wait_for('answers on')['message'].rpartition(' ')[2]}"


def metric(replica: Replica, name: str, /, **labels: str) -> float:
    """The value of one metric, 0 if it is not there; of several the sum."""
    total = 0.0
    for line in replica.get("/metrics")[1].splitlines():
        found, _, value = line.rpartition(" ")
        if found.partition("{")[0] == name and all(
            f'{key}="{text}"' in found for key, text in labels.items()
        ):
            total += float(value)
    return total
