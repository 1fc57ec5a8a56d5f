from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.running import Run

from .conftest import BROKEN, OUTBOUND, SERVICE

DEADLINE = 60.0  # seconds; a loaded machine is slow


class TestOnce:
    def test_says_what_it_found_and_what_it_wrote(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        result = aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out")
        assert (result.code, result.out) == (0, "")
        assert (
            "cart.shop.svc.cluster.local:7000 speaks echo (port name 'tcp-echo'): 2 filters"
            in result.err
        )
        assert f"created {OUTBOUND}" in result.err
        assert f"2 filters in {tmp_path / 'out'}: 2 created" in result.err
        written = "---\n".join(path.read_text() for path in sorted((tmp_path / "out").iterdir()))
        assert written == aeraki("generate", "-f", shop).out

    def test_again_it_writes_nothing(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out")
        assert (
            ": nothing to write, in"
            in aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out").err
        )

    def test_an_error_gives_1_and_keeps_what_is_there(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out")
        (shop / "cart.yaml").write_text(BROKEN)
        result = aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out")
        assert result.code == 1
        assert len(list((tmp_path / "out").iterdir())) == 2
        assert f"{shop}/cart.yaml:2: AER0101: " in result.err
        assert f"AER0502: {OUTBOUND}: " in result.err

    def test_json_log_lines(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        result = aeraki(
            "run", "--once", "-f", shop, "--to", tmp_path / "out", "--log-format", "json"
        )
        lines = [json.loads(line) for line in result.err.splitlines()]
        assert {"time", "level", "component", "message"} <= lines[0].keys()
        port = next(line for line in lines if line.get("port") == 7000)
        assert (port["host"], port["protocol"]) == ("cart.shop.svc.cluster.local", "echo")
        assert lines[-1]["created"] == 2

    def test_log_level(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        out = ("-f", shop, "--to", tmp_path / "out")
        assert aeraki("run", "--once", *out, "--log-level", "error").err == ""
        assert "generated" not in aeraki("run", "--once", *out, "--log-level", "all:info").err
        assert (
            "no component or plugin is called 'ech'"
            in aeraki("run", "--once", *out, "--log-level", "ech:debug").err
        )

    def test_a_secret_is_not_in_the_log(self, aeraki: Run, secretive: Path, tmp_path: Path) -> None:
        result = aeraki(
            "run", "--once", "-f", secretive, "--to", tmp_path / "out", "--log-level", "debug"
        )
        assert result.code == 0
        assert "hunter2" not in result.err

    def test_reads_standard_input(self, aeraki: Run, tmp_path: Path) -> None:
        assert aeraki("run", "--once", "-f", "-", "--to", tmp_path / "out", stdin=SERVICE).code == 0
        assert len(list((tmp_path / "out").iterdir())) == 2

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--source", "files", "--sink", "files"], "--source files: nothing to read"),
            (
                ["-f", ".", "--sink", "files"],
                "--sink files: name the directory to write to with --to DIR",
            ),
            (
                ["--source", "tape", "--to", "out"],
                "--source: 'tape' is none of kubernetes, istiod, files",
            ),
            (
                ["-f", ".", "--to", "out", "--debounce-quiet", "soon"],
                "--debounce-quiet: 'soon' is not a duration",
            ),
        ],
    )
    def test_usage(self, aeraki: Run, arguments: list[str], words: str) -> None:
        result = aeraki("run", "--once", *arguments)
        assert result.code == 2
        assert words in result.err

    @pytest.mark.parametrize(
        "arguments", [["-f", "."], ["--to", "out"]], ids=["no sink", "no source"]
    )
    def test_without_a_cluster(self, aeraki: Run, arguments: list[str], tmp_path: Path) -> None:
        result = aeraki("run", "--once", *arguments, "--kubeconfig", tmp_path / "none")
        assert result.code == 1
        assert "no usable cluster configuration" in result.err
        assert "--kubeconfig" in result.err


class TestUpstream:
    """Command lines of upstream's manifests."""

    @pytest.mark.parametrize(
        "flags",
        [
            [
                "-root-namespace=istio-config",
                "-log-level=all:info",
                "-election-id",
                "mine",
                "-domain",
                "cluster.local",
            ],
            ["--root-namespace", "istio-config", "--istiod-address=istiod:15010", "--master=true"],
            [
                "--root-namespace=istio-config",
                "--log_output_level=all:info",
                "--httpAddr=127.0.0.1:0",
            ],
            [
                "--root-namespace=istio-config",
                "--istiodaddr",
                "istiod:15010",
                "--electionID=a",
                "--logLevel=default:info",
            ],
        ],
    )
    def test_keep_working(self, aeraki: Run, shop: Path, tmp_path: Path, flags: list[str]) -> None:
        result = aeraki(*flags, "--once", "-f", shop, "--to", tmp_path / "out")
        assert result.code == 0
        assert "istio-config/aeraki-outbound-cart" in result.err
        assert "warning:" not in result.err

    def test_namespace_scope(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        result = aeraki(
            "-enable-envoy-filter-namespace-scope=true",
            "--once",
            "-f",
            shop,
            "--to",
            tmp_path / "out",
        )
        assert "created shop/aeraki-outbound-cart" in result.err

    def test_what_means_nothing_here_is_said(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        result = aeraki(
            "run",
            "--cluster-id",
            "east",
            "-httpsAddr=:15017",
            "--log_rotate=/var/log/aeraki.log",
            "--log_as_json",
            "--once",
            "-f",
            shop,
            "--to",
            tmp_path / "out",
        )
        assert result.code == 0
        assert (
            "warning: --cluster-id has no effect: one controller serves one cluster" in result.err
        )
        for name in ("httpsAddr", "log_rotate", "log_as_json"):
            assert f"warning: --{name} has no effect" in result.err


class Process:
    """`aeraki run` as its own process, whose log can be awaited."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "aeraki_core", "run", *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.seen: list[str] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, pattern: str) -> str:
        while True:
            line = self.lines.get(timeout=DEADLINE)
            assert line is not None, "it ended:\n" + "".join(self.seen)
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start(site: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(*arguments: object) -> Process:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        process = Process([str(argument) for argument in arguments], environment)
        started.append(process)
        return process

    yield run
    for process in started:
        process.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_follows_changes_and_ends_cleanly(
    start: Callable[..., Process], shop: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    running = start("-f", shop, "--to", out)
    running.wait_for(r"2 filters in .*: 2 created")
    (shop / "till.yaml").write_text(
        SERVICE.replace("cart", "till").replace("10.96.0.1", "10.96.0.9")
    )
    running.wait_for(r"created istio-system/aeraki-outbound-till\.")
    running.wait_for(r"4 filters in .*: 2 created")
    assert not [line for line in running.seen if "updated" in line]
    (shop / "till.yaml").unlink()
    running.wait_for(r"deleted istio-system/aeraki-outbound-till\.")
    (shop / "cart.yaml").write_text(BROKEN)
    running.wait_for(r"cart\.yaml:2: AER0101")
    running.process.send_signal(number)
    assert running.process.wait(DEADLINE) == 0
    running.wait_for(r"ended")
    assert not [line for line in running.seen if "watchfiles" in line]
    assert len(list(out.iterdir())) == 2
