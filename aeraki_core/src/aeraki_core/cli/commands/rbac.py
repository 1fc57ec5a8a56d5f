"""``aeraki rbac``: the least role that the controller needs with the active plugins."""

from __future__ import annotations

import click

from aeraki_core.cli.command import define, form_option
from aeraki_core.console import output
from aeraki_core.model.mesh import LiveWeights
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.plugins import open_registry

__all__ = ["command"]


_SETTINGS = (
    "root_namespace",
    "filter_namespaces",
    "watch_namespaces",
    "watch_namespace_selector",
    "instance",
    "election_id",
    "live_weights",
    "http_authentication",
)


@define(
    "rbac",
    SettingGroup.PLUGINS,
    more=_SETTINGS,
    epilog="Example: aeraki rbac --service-account aeraki | kubectl apply -f -",
)
@click.option("--name", default="aeraki", show_default=True, help="The name of the roles.")
@click.option(
    "--namespace",
    "-n",
    default="istio-system",
    show_default=True,
    help="The controller's own namespace.",
)
@click.option(
    "--service-account",
    metavar="NAME",
    help="Print the ServiceAccount's bindings to the roles, too.",
)
@click.option(
    "--secret-namespaces",
    metavar="NAMES",
    default="",
    help="Namespaces whose Secrets may be read, separated by commas. Default: none.",
)
@form_option("yaml", "json", text="The form.")
def command(
    settings: Settings,
    *,
    name: str,
    namespace: str,
    service_account: str | None,
    secret_namespaces: str,
    form: str,
) -> int:
    """Print the roles with the least rights that a controller with these settings needs.

    A controller that watches everything, or namespaces by their labels, gets a ClusterRole; one
    that watches namespaces by name, a Role in each. It gets another Role for its Lease, and one in
    each namespace whose Secrets it may read.
    """
    from aeraki_core.manifests.rbac import Watched, bindings, roles
    from aeraki_core.manifests.write import render_list, render_objects
    from aeraki_core.wiring.cluster import filter_namespaces

    names = settings.watch_namespaces
    clients = tuple(
        item
        for item in filter_namespaces(settings)
        if item not in names or item == settings.root_namespace
    )
    secrets = {text.strip() for text in secret_namespaces.split(",") if text.strip()}
    watched = Watched(names, clients, tuple(sorted(secrets)))
    manifests = roles(
        open_registry(settings).kinds,
        name=name,
        namespace=namespace,
        election_id=settings.lease_name(),
        watched=watched,
        live_weights=settings.live_weights != LiveWeights.OFF,
        reviews_callers=settings.http_authentication,
    )
    if service_account:
        manifests += bindings(manifests, namespace=namespace, service_account=service_account)
    render = render_list if form == "json" else render_objects
    output.data(render(manifests, sort_keys=False))
    return 0
