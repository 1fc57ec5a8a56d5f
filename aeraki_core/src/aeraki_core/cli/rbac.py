"""``aeraki rbac``: the least role that the controller needs with the active plugins."""

from __future__ import annotations

import click

from aeraki_core.cli import output
from aeraki_core.cli.command import define
from aeraki_core.cli.manifests import to_json, to_yaml
from aeraki_core.cli.plugin_set import open_registry
from aeraki_core.settings import Scope, Settings

__all__ = ["command"]


@define("rbac", Scope.PLUGINS, epilog="Example: aeraki rbac --service-account aeraki | kubectl apply -f -")
@click.option("--name", default="aeraki", show_default=True, help="The name of the roles.")
@click.option("--namespace", "-n", default="istio-system", show_default=True, help="The controller's own namespace.")
@click.option("--election-id", default="aeraki-controller", show_default=True, help="The name of its Lease.")
@click.option("--service-account", metavar="NAME", help="Print the ServiceAccount's bindings to the roles, too.")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", help="The form.")
def command(
    settings: Settings, *, name: str, namespace: str, election_id: str, service_account: str | None, form: str
) -> int:
    """Print the ClusterRole (and the Role for the Lease) with the least rights that the controller needs."""
    from aeraki_core.rbac import bindings, roles

    registry = open_registry(settings)
    manifests = roles(registry.kinds, name=name, namespace=namespace, election_id=election_id)
    if service_account:
        manifests += bindings(name=name, namespace=namespace, service_account=service_account)
    output.data(to_json(manifests) if form == "json" else to_yaml(manifests))
    return 0
