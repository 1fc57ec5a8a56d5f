"""Nothing of the rig stays behind, however the process ends that started it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until

from .errors import RigError
from .interception import PodNetwork
from .processes import Process, run

pytestmark = pytest.mark.mesh


def test_a_program_dies_with_its_starter(tmp_path: Path) -> None:
    """Also one that was started by a thread that has ended long ago, and its own children."""
    if os.geteuid() != 0:
        pytest.skip("a PID namespace needs root")
    script = """
import pathlib, sys, threading
from tests.rig.processes import Process
folder = pathlib.Path(sys.argv[1])
inner = "import os, signal, subprocess, sys; print(os.getpid(), flush=True); "
family = inner + "subprocess.run([sys.executable, '-c', sys.argv[1]])"
process = Process("p", [sys.executable, "-c", family, inner + "signal.pause()"], folder / "log",
                  private_pids=True)
starter = threading.Thread(target=process.start)
starter.start()
starter.join()
print(process.pid, flush=True)
threading.Event().wait()
"""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        leader = int(parent.stdout.readline())
        log = tmp_path / "log"
        wait_until(lambda: len(log.read_text().split()) == 2, 10, "both programs to run")
        session = [pid for pid in _processes() if _session(pid) == leader]
        assert len(session) >= 2
        time_of_death = time.monotonic()
        parent.kill()
    wait_until(lambda: all(not _alive(pid) for pid in session), 5, "all programs to be killed")
    assert time.monotonic() - time_of_death < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_rig_of_a_person_ends_with_its_command(number: signal.Signals, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tests.rig", "--envoys=1", f"--kubeconfig={kubeconfig}"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("AERAKI_RIG_KEEP", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=env) as rig:
        assert rig.stdout is not None
        said = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, rig.stdout))
        assert json.loads(kubeconfig.read_text())["clusters"]
        assert any(line.startswith("Envoy") for line in said)
        children = [pid for pid in _processes() if _parent(pid) == rig.pid]
        assert len(children) == 4
        rig.send_signal(number)
    wait_until(lambda: not any(map(_alive, children)), 5, "all of it to end")
    left = list(tmp_path.glob("aeraki-rig-*"))
    if number == signal.SIGINT:
        assert rig.returncode == 130
        assert not left


def test_the_forwarding_of_a_crashed_run_is_swept(pod_network: PodNetwork, tmp_path: Path) -> None:
    script = """
import os, pathlib, signal, sys
from types import SimpleNamespace
from tests.rig.interception import PodNetwork
from tests.rig.istio import Ports
network = PodNetwork(SimpleNamespace(
    folder=pathlib.Path(sys.argv[1]),
    istiod_ports=Ports(1, 2, 3, 4, 5),
    server="https://127.0.0.1:6",
))
network.start()
network.pod("some", "default")
print(network.link, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    link = Path("/sys/class/net", done.stdout.strip())
    assert link.name.startswith("rig")
    wait_until(lambda: not link.exists(), 5, "the link to go with its namespace")
    list_rules = ["iptables-save", "-t", "nat"]
    assert link.name in run(list_rules)
    pod_network.sweep()
    rules = run(list_rules)
    assert link.name not in rules
    assert pod_network.link in rules


def test_the_folder_of_a_crashed_run_is_removed(tmp_path: Path) -> None:
    script = """
import os, signal
from tests.rig.workspace import Workspace
print(Workspace().path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("AERAKI_RIG_KEEP", None)
    command = [sys.executable, "-c", script]
    runs = [
        subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=False)
        for _ in range(2)
    ]
    assert [done.returncode for done in runs] == [-signal.SIGKILL, -signal.SIGKILL]
    assert [str(path) for path in tmp_path.iterdir()] == [runs[-1].stdout.strip()]


def test_a_program_that_fails_is_shown_with_its_log(tmp_path: Path) -> None:
    process = Process("broken", ["sh", "-c", "echo no such luck; exit 3"], tmp_path / "log")
    process.start()
    with pytest.raises(RigError, match=r"(?s)broken ended with 3.*no such luck"):
        process.wait_ready(lambda: False, 5)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ["X", "0", "0", "0"]
    return text.rpartition(")")[2].split()


def _session(pid: int) -> int:
    return int(_stat(pid)[3])


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _alive(pid: int) -> bool:
    return _stat(pid)[0] not in "XZ"
