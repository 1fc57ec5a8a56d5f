"""Two controllers as processes of their own, one of which leads."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.rig.api import Api
from tests.rig.processes import Process

from .changes import STEADY

ROOT = Path(__file__).parents[2]
PLUGINS = "redis,thrift"
_LEASE = ("coordination.k8s.io/v1", "Lease", "aeraki-controller")
_TIMES = ("--lease-duration", "6s", "--renew-deadline", "4s", "--retry-period", "500ms")
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


class Replica:
    """``aeraki run`` over the cluster."""

    def __init__(self, name: str, kubeconfig: Path, folder: Path) -> None:
        self.name = name
        command = [sys.executable, "-m", "aeraki_core", "run", "--plugins", PLUGINS]
        command += ["--source", "kubernetes", "--sink", "kubernetes", "--kubeconfig"]
        command += [str(kubeconfig), "--log-format", "json", "--live-weights", "annotated", *_TIMES]
        environment = {"PYTHONUNBUFFERED": "1", "POD_NAME": name, "POD_NAMESPACE": STEADY}
        self.process = Process(name, command, folder / f"{name}.log", env=environment, cwd=ROOT)
        self.meant_to_run = False
        self.paused = False
        self.ended = 0
        """How often it ended although nobody killed it."""

    def start(self) -> None:
        """Start it, also again."""
        self.process.start()
        self.meant_to_run = True

    def kill(self) -> None:
        """Kill it at once."""
        self.check()
        self.meant_to_run = self.paused = False
        self.process.kill()

    def pause(self) -> None:
        """Stop it in its tracks."""
        if self.meant_to_run:
            self.process.pause()
            self.paused = True

    def heal(self) -> None:
        """Make it run again, whatever happened to it."""
        self.check()
        if self.paused:
            self.process.resume()
            self.paused = False
        self.start()

    def check(self) -> None:
        """Count an end that nobody wanted."""
        if self.meant_to_run and not self.process.running:
            self.ended += 1
            self.meant_to_run = False

    def resident(self) -> tuple[int, float]:
        """Its process id, and the memory that it has now, in MiB."""
        # The program runs in a process of its own name: setpriv execs it.
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = _RESIDENT.search(text)
        return self.process.pid, int(found[1]) / 1024 if found else 0.0

    def tracebacks(self) -> int:
        """Log lines of errors that nobody expected."""
        return self.process.log_text().count('"traceback"') + self.process.log_text().count(
            "Traceback (most recent call last)"
        )


def leader_of(api: Api, replicas: list[Replica]) -> Replica | None:
    """The replica that holds the Lease.

    Raises:
        ApiError, HTTPError: the API server cannot be asked.
    """
    lease = api.find(*_LEASE, namespace=STEADY)
    holder = str((lease or {}).get("spec", {}).get("holderIdentity") or "")
    return next((each for each in replicas if holder.startswith(f"{each.name}_")), None)


def environment_is_clean() -> bool:
    """Whether no setting of Aeraki is in the environment, which the replicas would follow."""
    return not any(name.startswith("AERAKI_") and "RIG" not in name for name in os.environ)
