"""``aeraki run``: the controller, until it is told to end, or for one pass."""

from __future__ import annotations

import logging

import click

from aeraki_core.cli.command import PIPELINE, define
from aeraki_core.settings import SettingGroup, Settings

__all__ = ["command"]

_EPILOG = "Example: aeraki run -f deploy/ --to filters/   (files: no cluster is needed)"


@define("run", *PIPELINE, SettingGroup.RUN, SettingGroup.CLUSTER, epilog=_EPILOG)
@click.option("--once", is_flag=True, help="One pass, then end.")
def command(settings: Settings, *, once: bool) -> int:
    """Watch the sources, generate, and write what differs, until Ctrl-C or SIGTERM.

    Says which services it found, what each port speaks and why, which filters it wrote where, and every finding. With --once it
    exits with 1 if a finding is an error or a filter could not be written.
    """
    from aeraki_core.cli.run_log import RunLog, say_finding
    from aeraki_core.console.logs import configure_logging
    from aeraki_core.controller.loop import Controller, LoopTiming
    from aeraki_core.controller.observer import Observers
    from aeraki_core.wiring.operator import Beside, Gate, elects
    from aeraki_core.wiring.plugins import inactive_findings, open_registry
    from aeraki_core.wiring.session import has_errors, make_pipeline
    from aeraki_core.wiring.signals import stopped_by_signals
    from aeraki_core.wiring.sources_and_sinks import open_sink, open_sources, sink_word

    configure_logging(settings, default="info")
    registry = open_registry(settings)
    pipeline = make_pipeline(settings, registry)
    sources = open_sources(settings, pipeline, watch=not once)
    run_log = RunLog(pipeline, settings["to"] if sink_word(settings) == "files" else "the cluster")
    timing = LoopTiming(quiet=settings["debounceQuiet"], longest=settings["debounceMax"])
    for finding in inactive_findings(registry):
        say_finding(finding)
    if once:
        sink = open_sink(settings, pipeline, watch=False)
        controller = Controller(pipeline, sources, sink, timing=timing, observer=run_log)
        report = controller.run_once()
        return int(bool(report.failures) or has_errors(controller.findings))
    log = logging.getLogger("aeraki_core.controller")
    with stopped_by_signals() as stop:
        gate = Gate(stop)
        beside = Beside(settings, pipeline, gate)
        controller = Controller(
            pipeline,
            sources,
            open_sink(settings, pipeline, watch=True, may_write=gate),
            timing=timing,
            observer=Observers([run_log, *beside.observers()]),
            may_write=gate if elects(settings) else None,
        )
        try:
            beside.start(controller)
            log.info("started; Ctrl-C or SIGTERM ends it")
            controller.run(stop)
        finally:
            beside.stop()
    log.info("ended")
    return 0
