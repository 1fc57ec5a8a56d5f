"""What every command does alike: streams, colours, errors, speed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from aeraki_core.cli.group import COMMANDS

from tests.cli.running import Run

from .conftest import OUTBOUND, SERVICE

HEAVY = ("pydantic", "google.protobuf", "rich", "kubernetes", "grpc", "yaml", "pluggy", "envoy")


def _python(code: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom aeraki_core.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = _python(code)
    assert done.stderr.strip() == "[]"
    assert done.stdout.startswith("Usage: ")


def test_generate_imports_no_client_and_no_table(site: Path, shop: Path) -> None:
    code = (
        "import sys\nfrom aeraki_core.cli import main\n"
        f"try: main(['generate', '-f', {str(shop)!r}])\nexcept SystemExit: pass\n"
        "heavy = ('kubernetes', 'grpc', 'rich', 'watchfiles')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    assert _python(code, site).stderr.strip() == "[]"


def test_every_command_is_listed_with_its_help(aeraki: Run) -> None:
    out = aeraki("--help").out
    for name, text in COMMANDS.items():
        assert f"{name} " in out
        assert text in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(aeraki: Run, name: str) -> None:
    result = aeraki(name, "--help")
    assert result.code == 0
    assert "--no-color" not in result.out
    assert f"aeraki {name} --help-all shows " in result.out
    everything = aeraki(name, "--help-all")
    assert everything.code == 0
    assert "--no-color" in everything.out
    assert len(everything.out) > len(result.out)


def test_an_unknown_command_is_answered_with_the_nearest(aeraki: Run) -> None:
    result = aeraki("genrate")
    assert result.code == 2
    assert "Did you mean 'generate'?" in result.err


def test_what_a_pipe_gets_is_what_a_file_gets(site: Path, shop: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for command in (["generate"], ["status"]):
        argv = [sys.executable, "-m", "aeraki_core", *command, "-f", str(shop)]
        piped = subprocess.run(argv, capture_output=True, env=environment, check=True).stdout
        with (tmp_path / "file").open("wb") as file:
            subprocess.run(
                argv, stdout=file, stderr=subprocess.DEVNULL, env=environment, check=True
            )
        assert (tmp_path / "file").read_bytes() == piped
        assert piped


def _on_a_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """What the command line prints where stdout is a terminal of 80 columns."""
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "aeraki_core", *arguments]
    with subprocess.Popen(
        argv, stdout=slave, stderr=subprocess.DEVNULL, env={"TERM": "xterm", **environment}
    ) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            text += part
        process.wait()
    os.close(master)
    return text.decode()


def test_what_takes_long_is_said_on_a_terminal_and_erased(site: Path) -> None:
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "aeraki_core", "generate", "-f", "-", "-o", "name"]
    environment = {**os.environ, "PYTHONPATH": str(site), "TERM": "xterm"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        said = b""
        while b"reading 0 of 1, " not in said:  # it waits for the input that nobody has given
            said += os.read(master, 65536)
        out, _ = process.communicate(SERVICE.encode())
    assert process.returncode == 0
    assert OUTBOUND in out.decode()
    rest = said.partition(b"reading")[2]
    with suppress(OSError):  # the other end is closed
        while part := os.read(master, 65536):
            rest += part
    os.close(master)
    assert rest.endswith(b"s\r" + ERASE.encode())


ESCAPE = "\x1b["
ERASE = "\x1b[K"


@pytest.mark.parametrize(
    ("variables", "flags", "colors"),
    [
        ({}, [], True),
        ({}, ["--no-color"], False),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
        ({"TERM": "dumb"}, [], False),
    ],
)
def test_colors_on_a_terminal(
    site: Path, shop: Path, variables: dict[str, str], flags: list[str], colors: bool
) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if k != "TERM"},
        "PYTHONPATH": str(site),
        "TERM": "xterm",
    }
    text = _on_a_terminal(["status", "-f", str(shop), *flags], {**environment, **variables})
    assert "cart.shop" in text
    assert (ESCAPE in text) is colors


def test_colors_in_a_pipe_only_when_forced(
    aeraki: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ESCAPE not in aeraki("status", "-f", shop).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE in aeraki("status", "-f", shop).out
    assert ESCAPE not in aeraki("status", "-f", shop, "--no-color").out
    assert ESCAPE not in aeraki("generate", "-f", shop).out


def test_a_reader_that_goes_away_is_no_error(site: Path, tmp_path: Path) -> None:
    for number in range(200):  # more than a pipe holds
        text = SERVICE.replace("cart", f"cart{number}").replace("10.96.0.1", f"10.96.1.{number}")
        (tmp_path / f"{number}.yaml").write_text(text)
    argv = [sys.executable, "-m", "aeraki_core", "generate", "-f", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def _in_a_shell(script: str, site: Path) -> subprocess.CompletedProcess[str]:
    """Run the script, in which `aeraki` is the command line."""
    aeraki = f'aeraki() {{ "{sys.executable}" -m aeraki_core "$@"; }}\n'
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        ["sh", "-c", aeraki + script], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    ("where", "reason"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")]
)
@pytest.mark.parametrize("command", ["version", "findings"])
def test_output_that_cannot_be_written_is_said_in_one_line(
    site: Path, command: str, where: str, reason: str
) -> None:
    done = _in_a_shell(f"aeraki {command} >{where}", site)
    assert (done.returncode, done.stderr) == (1, f"error: standard output: {reason}\n")


def test_what_a_plugin_prints_is_no_part_of_the_data(
    aeraki: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aeraki_chatty.py").write_text(
        "from aeraki_core import Extension, Protocol, hookimpl\nprint('imported')\n@hookimpl\n"
        "def aeraki_protocols():\n    extension = Extension('envoy.filters.network.echo', "
        "stock=True)\n    return [Protocol(name='chatty', tokens=('chatty',), "
        "extension=extension, summary='x')]\n@hookimpl\ndef aeraki_generate(context):\n    "
        "return []\n@hookimpl\ndef aeraki_detect_protocol(port, service):\n    import sys\n"
        "    print('asked')\n    sys.stdout.close()\n"
    )
    info = tmp_path / "aeraki_chatty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aeraki-chatty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[aeraki.plugins]\nchatty = aeraki_chatty\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    quiet = aeraki("generate", "-f", shop)
    result = aeraki("generate", "-f", shop, "--plugins", "echo,chatty")
    assert result.out == quiet.out != ""
    assert result.err.startswith("imported\nasked\n")


def test_a_second_signal_ends_the_process_without_a_word() -> None:
    done = _python(
        "import os, signal\nfrom aeraki_core.wiring.signals import stopped_by_signals\n"
        "with stopped_by_signals() as stop:\n    os.kill(os.getpid(), "
        "signal.SIGINT)\n    stop.wait()\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


_WAITS_FOR_A_STOP = """
import os, queue, signal, sys, threading
from aeraki_core.wiring.signals import stopped_by_signals

with stopped_by_signals(within=2.0) as stop:
    events = queue.SimpleQueue()
    threading.Thread(target=lambda: (stop.wait(), events.put("stopped")), daemon=True).start()
    # A thread gets the signal, so that nothing wakes the main thread: as when the signal comes
    # just before the main thread begins to wait.
    kill = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Timer(0.2, kill).start()
    print(events.get())
"""


def test_a_signal_that_does_not_wake_the_main_thread_stops_the_run() -> None:
    done = _python(_WAITS_FOR_A_STOP)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_a_run_ends_in_time_although_nobody_reads_its_log() -> None:
    """The pipe of its log is full and stays so."""
    done = _python(
        "import logging, os, signal, sys, threading\n"
        "from aeraki_core.wiring.signals import stopped_by_signals\n"
        "reading, writing = os.pipe()\n"
        "os.dup2(writing, 2)\n"
        "logging.basicConfig()\n"
        "def chatter():\n"
        "    while True: logging.warning('x' * 1000)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
        "with stopped_by_signals(within=0.5) as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    threading.Event().wait()\n"
    )
    assert done.returncode == 0


class TestSpelling:
    """What is written as for other tools, or a little wrong."""

    def test_a_path_without_its_flag(self, aeraki: Run, shop: Path) -> None:
        assert aeraki("generate", shop) == aeraki("generate", "-f", shop)
        assert "unexpected x" in aeraki("version", "x").err

    def test_a_flag_before_the_command(self, aeraki: Run) -> None:
        result = aeraki("--debug", "version")
        assert result.code == 2
        assert "Flags of a command go after it: aeraki COMMAND --debug" in result.err

    def test_help_as_a_command(self, aeraki: Run) -> None:
        assert aeraki("help").out == aeraki("--help").out
        assert aeraki("help", "generate").out == aeraki("generate", "--help").out

    def test_a_variable_that_is_nearly_a_setting(
        self, aeraki: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AERAKI_ROOT_NAMESPAC", "x")
        result = aeraki("version")
        assert result.code == 0
        assert (
            "AERAKI_ROOT_NAMESPAC is no setting and has no effect; "
            "did you mean AERAKI_ROOT_NAMESPACE?" in result.err
        )

    @pytest.mark.parametrize(
        "name",
        [
            "AERAKI_PORT",
            "AERAKI_SERVICE_HOST",
            "AERAKI_PORT_8080_TCP_ADDR",
            "AERAKI_SOURCE_SERVICE_PORT_HTTP",
        ],
    )
    def test_what_kubernetes_tells_a_pod_of_a_service_is_no_slip(
        self, aeraki: Run, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "x")
        assert aeraki("version").err == ""


class TestErrors:
    def test_a_defect_of_ours_is_one_line_and_a_hint(
        self, aeraki: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("by nothing")

        monkeypatch.setattr("aeraki_core.cli.commands.version._version", broken)
        result = aeraki("version")
        assert result.code == 1
        assert result.err.startswith("error: internal error: ZeroDivisionError: by nothing\n")
        assert "--debug" in result.err
        assert "Traceback" not in result.err
        assert "Traceback" in aeraki("version", "--debug").err

    def test_the_traceback_may_also_be_asked_for_by_a_variable(
        self, aeraki: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("AERAKI_DEBUG", "1")
        result = aeraki("generate", "-f", "-", "--to", tmp_path / "file" / "x", stdin=SERVICE)
        assert result.code == 1
        assert "Traceback" in result.err

    def test_a_bad_value_of_a_flag_gives_2(self, aeraki: Run, shop: Path) -> None:
        result = aeraki("generate", "-f", shop, "--arrangement", "each")
        assert (result.code, result.out) == (2, "")
        assert (
            result.err
            == "error: --arrangement: 'each' is none of auto, service, namespace, imports\n"
        )
