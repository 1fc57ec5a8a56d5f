"""``aeraki crds``: the CRDs of the active plugins' kinds, for ``kubectl apply -f -``."""

from __future__ import annotations

import click

from aeraki_core.cli import output
from aeraki_core.cli.command import define
from aeraki_core.cli.manifests import to_json, to_yaml
from aeraki_core.cli.plugin_set import open_registry
from aeraki_core.settings import Scope, Settings

__all__ = ["command"]


@define("crds", Scope.PLUGINS, epilog="Example: aeraki crds | kubectl apply -f -")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json", "name"]), default="yaml", help="The form.")
def command(settings: Settings, *, form: str) -> int:
    """Print the CustomResourceDefinitions of the active plugins' kinds."""
    from aeraki_core.crds import crd

    registry = open_registry(settings)
    manifests = [crd(kind) for kind in sorted(registry.kinds, key=lambda kind: (kind.group, kind.kind))]
    if not manifests:
        output.note("No active plugin brings a kind of its own, so there is no CRD.")
    elif form == "name":
        output.data("".join(f"{item['metadata']['name']}\n" for item in manifests))
    else:
        output.data(to_json(manifests) if form == "json" else to_yaml(manifests))
    return 0
