"""``aeraki report``: the page of a mesh in PATHs, for a pull request or a browser."""

from __future__ import annotations

from datetime import UTC, datetime

from aeraki_core.cli.command import PIPELINE, define, require_paths, use_cluster_option
from aeraki_core.console import output
from aeraki_core.settings import SettingGroup, Settings

__all__ = ["command"]


@define(
    "report",
    *PIPELINE,
    SettingGroup.CLUSTER,
    epilog="Example: aeraki report deploy/ > mesh.html",
)
@use_cluster_option
def command(settings: Settings, *, use_cluster: bool) -> int:
    """Print a page about the configuration in PATHs: services, routes, findings and plugins.

    It is one HTML document that loads nothing and needs no JavaScript. A running controller serves
    the same page at `/` of its --http-address.
    """
    from aeraki_core.console.page.content import MAX_PORTS, PageContent, page_row, shown_first
    from aeraki_core.console.page.render import render
    from aeraki_core.console.progress import progress
    from aeraki_core.plugins.discovery import core_version
    from aeraki_core.wiring.session import address_mode, open_session

    paths = require_paths(settings, "aeraki report deploy/ > mesh.html")
    session = open_session(settings, paths, addresses=address_mode(use_cluster=use_cluster))
    reports = session.pipeline.reports()
    shown = shown_first(reports)
    with progress("writing"):
        page = render(
            PageContent(
                title="Mesh",
                facts=(("version", core_version()), ("read", ", ".join(paths))),
                ports=[page_row(session.pipeline, each) for each in shown[:MAX_PORTS]],
                filters=len(session.pipeline.filters),
                more_ports=len(shown[MAX_PORTS:]),
                silent_ports=len(reports) - len(shown),
                findings=session.findings,
                writes=None,
                plugins=session.registry.plugins,
                docs_url=settings.docs_url,
                at=datetime.now(UTC),
            )
        )
    output.data(page.decode())
    return 0
