"""``aeraki validate``: what is wrong with the configuration in PATHs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aeraki_core.cli.command import PIPELINE, define, form_option, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.console.progress import progress
from aeraki_core.findings.text import count
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.session import Session, address_mode, has_errors, open_session

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Finding

__all__ = ["command"]


@define(
    "validate",
    *PIPELINE,
    SettingGroup.CLUSTER,
    error_exit=2,
    epilog="Example: aeraki validate --strict -o github deploy/",
    traces=True,
)
@click.option("--strict", is_flag=True, help="Warnings count, too.")
@click.option(
    "--envoy",
    is_flag=True,
    help="Load all filters in a real Envoy as well (needs aeraki-core[testing]).",
)
@use_cluster_option
@form_option("text", "json", "sarif", "github", "junit", text="The form on stdout.")
def command(settings: Settings, *, strict: bool, envoy: bool, use_cluster: bool, form: str) -> int:
    """Report what is wrong with the configuration in PATHs: code, object, field and line.

    A Service without a cluster IP, as it lies in Git, gets a stand-in address, so that its filters
    can be checked.

    Exits with 1 if a finding is an error (with --strict: or a warning), or if Envoy refuses a
    filter.
    """
    from aeraki_core.model.memory import collector_paused

    # Nearly all that is made stays to the end.
    with collector_paused():
        return _validate(settings, strict=strict, envoy=envoy, use_cluster=use_cluster, form=form)


def _validate(
    settings: Settings, *, strict: bool, envoy: bool, use_cluster: bool, form: str
) -> int:
    paths = require_paths(settings, "aeraki validate deploy/")
    addresses = address_mode(use_cluster=use_cluster)
    session = open_session(settings, paths, addresses=addresses, keeps_objects=envoy)
    output.data(_render(session.findings, form, strict=strict, docs_url=settings.docs_url))
    failed = has_errors(session.findings, strict=strict)
    if envoy:
        failed = not _loads_in_envoy(session, strict=strict) or failed
    ports = sum(session.pipeline.port_counts().values())
    made = count(len(session.pipeline.filters), "filter")
    judged = f"{made} for {count(ports, 'port')}{', loaded in Envoy' if envoy else ''}"
    ignored = f"; {session.ignored} ignored" if session.ignored else ""
    output.note(f"{output.summary(session.findings) or 'no findings'}{ignored}; {judged}")
    return int(failed)


def _loads_in_envoy(session: Session, *, strict: bool) -> bool:
    """Report whether a real Envoy accepts every sidecar's configuration, and print the failures.

    ``strict``: without a warning.
    """
    from aeraki_core.cli.in_envoy import check

    with progress("loading in Envoy"):
        verdict = check(session)
    for name in verdict.lacking:
        output.warning(f"this Envoy lacks {name}; filters with it were left out of the trial")
    for problem in verdict.errors:
        output.error(problem)
    for problem in verdict.warnings:
        output.warning(problem)
    return not verdict.errors and not (strict and verdict.warnings)


def _render(findings: tuple[Finding, ...], form: str, *, strict: bool, docs_url: str) -> str:
    from aeraki_core.console import finding_forms
    from aeraki_core.findings.finding import Severity
    from aeraki_core.plugins.discovery import core_version

    match form:
        case "json":
            return finding_forms.to_json(findings, docs_url)
        case "sarif":
            return finding_forms.sarif(findings, core_version(), docs_url)
        case "github":
            return finding_forms.github(findings)
        case "junit":
            return finding_forms.junit(findings, Severity.WARNING if strict else Severity.ERROR)
    return "".join(f"{output.finding_text(item)}\n" for item in findings)
