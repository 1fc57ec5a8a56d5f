"""``aeraki crds``: the CRDs of the active plugins' kinds, for ``kubectl apply -f -``."""

from __future__ import annotations

from aeraki_core.cli.command import define, form_option
from aeraki_core.console import output
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.plugins import open_registry

__all__ = ["command"]


@define("crds", SettingGroup.PLUGINS, epilog="Example: aeraki crds | kubectl apply -f -")
@form_option("yaml", "json", "name", text="The form.")
def command(settings: Settings, *, form: str) -> int:
    """Print the CustomResourceDefinitions of the active plugins' kinds."""
    from aeraki_core.manifests.crds import crd
    from aeraki_core.manifests.write import render_list, render_objects

    registry = open_registry(settings)
    manifests = [
        crd(kind) for kind in sorted(registry.kinds, key=lambda kind: (kind.group, kind.kind))
    ]
    if not manifests:
        output.note("No active plugin brings a kind of its own, so there is no CRD.")
    elif form == "name":
        output.data("".join(f"{item['metadata']['name']}\n" for item in manifests))
    else:
        render = render_list if form == "json" else render_objects
        output.data(render(manifests, sort_keys=False))
    return 0
