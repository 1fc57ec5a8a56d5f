"""One tenant's objects change nothing for the others.

Namespace ``shop`` is the victim (base.yaml), ``evil`` the tenant. Every other file is an attack.
The tests ask for more than "nothing crashes": every client of the victim has the same listeners and
clusters as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.testing import Made, objects_in
from aeraki_core.testing.generating import LivePipeline, registry_of

from aeraki_core import Severity
from tests import reach
from tests.reach import client_of

TENANTS = Path(__file__).parent
API_SERVER = """
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default, creationTimestamp: "2023-01-01T00:00:00Z"}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443}]}
"""
VICTIMS = ("base", "canary")
BASE = API_SERVER + "".join(
    f"---\n{(TENANTS / f'{name}.yaml').read_text(encoding='utf-8')}" for name in VICTIMS
)
MESH = Mesh(live_weights=LiveWeights.ANNOTATED)
ATTACKS = sorted(path.stem for path in TENANTS.glob("*.yaml") if path.stem not in VICTIMS)
# The victim's own object: it does change the victim's cluster.
OWN = frozenset({"s01-password-to-every-sidecar"})


def made_of(*texts: str) -> Made:
    return reach.made_of(*texts, mesh=MESH)


def attack(name: str) -> str:
    return (TENANTS / f"{name}.yaml").read_text(encoding="utf-8")


def seen_by(namespace: str, *texts: str) -> dict[str, bytes]:
    """What a client has: each listener and cluster with its content."""
    config = client_of(made_of(*texts), namespace).config
    return {
        item.name: item.SerializeToString(deterministic=True)
        for item in (*config.outbound, *config.outbound_clusters)
    }


def of_shop(made: Made) -> dict[str, Any]:
    """What is written for the victim's services outside the tenant's namespace."""
    return {
        f"{item['kind']} {item['metadata']['name']}": item
        for item in (*made.filters, *made.companions)
        if item["metadata"]["namespace"] != "evil"
        and item["metadata"]["labels"].get("aeraki.io/namespace") == "shop"
    }


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in OWN])
def test_the_victims_callers_have_what_they_had(name: str) -> None:
    for namespace in ("client", "shop"):
        before, after = seen_by(namespace, BASE), seen_by(namespace, BASE, attack(name))
        changed = [place for place in before if after.get(place) != before[place]]
        assert changed == [], f"for a client in {namespace}"


@pytest.mark.parametrize(
    "name",
    [
        "t12-freeze",
        "t13-freeze-the-mesh",
        "d01-one-duration-stops-all-writes",
    ],
)
def test_the_victims_next_change_takes_effect(name: str) -> None:
    """A tenant's object that is rejected, or waits for a Secret, blocks nothing of the victim."""
    change = """
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: redis, namespace: shop}
spec: {host: [redis], settings: {opTimeout: 3s}}
"""
    live = LivePipeline(registry_of(), made_of(BASE).mesh)
    live.become(objects_in(BASE))
    live.become(objects_in(f"{BASE}\n---\n{attack(name)}"))
    after = live.become(objects_in(f"{BASE}\n---\n{attack(name)}\n---\n{change}"))
    (patch, *_) = after.filter("istio-system/aeraki-outbound-redis.shop")["spec"]["configPatches"]
    assert patch["patch"]["value"]["typed_config"]["settings"]["op_timeout"] == "3s"


def test_every_filter_belongs_to_a_namespace_that_can_exist() -> None:
    made = made_of(BASE, attack("p01-path-traversal"))
    namespaces = {item["metadata"]["namespace"] for item in made.filters}
    assert all(map(is_dns_subdomain, namespaces)), namespaces


def test_a_name_that_looks_like_anothers_makes_a_filter_of_its_own() -> None:
    before, after = made_of(BASE), made_of(BASE, attack("t07-name-collision"))
    names = [{item["metadata"]["name"] for item in made.filters} for made in (before, after)]
    assert len(names[1] - names[0]) == 1


def test_the_victims_password_is_where_it_must_be_and_nowhere_else() -> None:
    made = made_of(BASE, attack("s01-password-to-every-sidecar"))
    name = "outbound|6379||redis.shop.svc.cluster.local"
    assert b"Pa55-of-shop" in client_of(made, "shop").config.cluster(name).SerializeToString()
    for namespace in ("evil", "client", made.mesh.root_namespace):
        config = client_of(made, namespace).config
        everything = (*config.outbound, *config.inbound, *config.clusters)
        assert not any(b"Pa55" in each.SerializeToString() for each in everything), namespace
    assert "Pa55" not in made.findings_text


def test_filters_of_the_victim_are_the_same() -> None:
    """Also patches that no client of the tests has a listener for."""
    before = of_shop(made_of(BASE))
    assert len(before) == 7
    for name in ATTACKS:
        if name not in OWN:
            assert of_shop(made_of(BASE, attack(name))) == before, name


@pytest.mark.parametrize("name", ["i01-control-characters"])
def test_no_text_moves_a_terminals_cursor(
    name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from aeraki_core.cli import main

    path = tmp_path / "in.yaml"
    path.write_text(f"{BASE}\n---\n{attack(name)}", encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["validate", "-f", str(path)])
    printed = "".join(capfd.readouterr())
    controls = [char for char in printed if ord(char) < 32 and char != "\n"]
    assert controls == []
    assert not any(line.startswith(("::", "07:00")) for line in printed.splitlines())


def test_a_rejected_object_is_named_at_its_tenant() -> None:
    made = made_of(BASE, attack("t13-freeze-the-mesh"))
    refs = {str(item.ref) for item in made.findings if item.severity is Severity.ERROR}
    assert refs == {"RedisService evil/e"}
