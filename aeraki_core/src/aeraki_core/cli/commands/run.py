"""``aeraki run``: the controller, until a signal ends it, or for one pass."""

from __future__ import annotations

import logging

import click

from aeraki_core.cli.command import PIPELINE, define
from aeraki_core.settings import SettingGroup, Settings

__all__ = ["command"]

_EPILOG = "Example: aeraki run -f deploy/ --to filters/   (files: no cluster is needed)"


@define("run", *PIPELINE, SettingGroup.RUN, SettingGroup.CLUSTER, epilog=_EPILOG, traces=True)
@click.option("--once", is_flag=True, help="One pass, then end.")
def command(settings: Settings, *, once: bool) -> int:
    """Watch the sources, generate, and write what differs, until Ctrl-C or SIGTERM.

    Logs the services, what each port speaks and why, which filters it wrote where, and every
    finding. With --once it exits with 1 if a finding is an error or a filter could not be written.
    """
    from aeraki_core.console.logs import configure_logging
    from aeraki_core.wiring.operator import build_operator, build_single_pass
    from aeraki_core.wiring.session import has_errors
    from aeraki_core.wiring.signals import stopped_by_signals

    configure_logging(settings, default="info")
    if once:
        controller = build_single_pass(settings)
        report = controller.run_once()
        return int(bool(report.failures) or has_errors(controller.findings))
    with stopped_by_signals() as stop:
        build_operator(settings, stop).run(stop)
    logging.getLogger("aeraki_core.controller").info("ended")
    return 0
