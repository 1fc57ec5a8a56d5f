"""``aeraki run`` over a folder of manifests, beside the plugins of a test, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.waiting import wait_until

__all__ = ["Running", "running", "service"]

COMMAND = [sys.executable, "-c", "from aeraki_core.cli import main; main()"]


def service(name: str, number: int, port_name: str, port: int = 7000) -> dict[str, Any]:
    """A Service whose port has that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": f"10.0.0.{number}", "ports": [{"name": port_name, "port": port}]},
    }


@dataclass(frozen=True, kw_only=True)
class Running:
    """The controller's process, its folders, its log, and the address of its probes."""

    process: subprocess.Popen[str]
    mesh: Path
    filters: Path
    log: Path
    address: str

    def put(self, file: str, *objects: Mapping[str, Any]) -> None:
        """Write a manifest; the controller sees the file appear as a whole."""
        hidden = self.mesh / f".{file}.new"
        hidden.write_text(yaml.safe_dump_all(objects))
        hidden.rename(self.mesh / file)

    def hosts(self) -> set[str]:
        """The names of the services that have a filter."""
        return {
            name.partition("aeraki-outbound-")[2].partition(".")[0]
            for name in (path.name for path in self.filters.glob("*.yaml"))
        }

    def until_logged(self, *parts: str) -> str:
        """Wait for a line of the log that holds all parts; return it."""

        def line() -> str:
            assert self.process.poll() is None, self.log.read_text()
            lines = self.log.read_text().splitlines()
            return next((line for line in lines if all(part in line for part in parts)), "")

        return wait_until(line, 60, f"a line of the log with {parts}", seen=self.log.read_text)

    def until_filters_of(self, *names: str) -> None:
        """Wait until these services have a filter."""
        wait_until(
            lambda: self.process.poll() is not None or self.hosts() >= {*names},
            60,
            f"filters of {names}",
            seen=self.log.read_text,
        )
        assert self.process.poll() is None, self.log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """What the controller answers: the status code and the text."""
        try:
            with urllib.request.urlopen(f"{self.address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@contextmanager
def running(folder: Path, site: Path, *arguments: str) -> Iterator[Running]:
    """The controller over ``folder``/mesh with the plugins of ``site``, until the test is over."""
    mesh, filters, log = folder / "mesh", folder / "filters", folder / "log"
    mesh.mkdir(parents=True)
    filters.mkdir()
    port = _free_port()
    command = [*COMMAND, "run", "--source", "files", "-f", str(mesh), "--sink", "files"]
    command += ["--to", str(filters), "--http-address", f"127.0.0.1:{port}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1"}
    with log.open("w") as written:
        process = subprocess.Popen(
            command, env=environment, stdout=written, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield Running(
            process=process,
            mesh=mesh,
            filters=filters,
            log=log,
            address=f"http://127.0.0.1:{port}",
        )
    finally:
        process.kill()
        process.wait(10)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        number: int = listening.getsockname()[1]
        return number
