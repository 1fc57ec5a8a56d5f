"""``aeraki run``: the controller, until it is told to end, or for one pass."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from aeraki_core.cli.command import PIPELINE, define
from aeraki_core.errors import SettingsError
from aeraki_core.settings import Scope, Settings

__all__ = ["command"]

_EPILOG = "Example: aeraki run -f deploy/ --to filters/   (files: no cluster is needed)"


@define("run", *PIPELINE, Scope.RUN, Scope.CLUSTER, epilog=_EPILOG)
@click.option("--once", is_flag=True, help="One pass, then end.")
def command(settings: Settings, *, once: bool) -> int:
    """Watch the sources, generate, and write what differs, until Ctrl-C or SIGTERM.

    Says which services it found, what each port speaks and why, which filters it wrote where, and every finding. With --once it
    exits with 1 if a finding is an error or a filter could not be written.
    """
    from aeraki_core.cli.logs import configure_logging
    from aeraki_core.cli.places import open_sink, open_sources, sink_word
    from aeraki_core.cli.plugin_set import inactive_findings, open_registry
    from aeraki_core.cli.run_log import RunLog, say_finding
    from aeraki_core.cli.session import has_errors, make_pipeline
    from aeraki_core.controller.loop import Controller, Timing

    configure_logging(settings, default="info")
    if settings["httpAddress"]:
        raise SettingsError("--http-address is not part of this version; leave it out")
    registry = open_registry(settings)
    pipeline = make_pipeline(settings, registry)
    sources = open_sources(settings, pipeline, watch=not once)
    sink = open_sink(settings, pipeline, watch=not once)
    for finding in inactive_findings(registry):
        say_finding(finding)
    controller = Controller(
        pipeline,
        sources,
        sink,
        timing=Timing(quiet=settings["debounceQuiet"], longest=settings["debounceMax"]),
        observer=RunLog(pipeline, settings["to"] if sink_word(settings) == "files" else "the cluster"),
    )
    if once:
        report = controller.run_once()
        return int(bool(report.failures) or has_errors(controller.findings))
    log = logging.getLogger("aeraki_core.controller")
    log.info("started; Ctrl-C or SIGTERM ends it")
    with _stopped_by_signals() as stop:
        controller.run(stop)
    log.info("ended")
    return 0


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.set()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
