"""The API server refuses what the pods' account may not write, though its role would allow it.

The policy is the chart's, the account its ServiceAccount, the API server a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.rig.api import Api, Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.errors import ApiError
from tests.rig.fixtures import NamespaceFactory
from tests.waiting import wait_until

from .chart import Chart, Values, installed

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

FILTER = "networking.istio.io/v1alpha3", "EnvoyFilter"
OURS = {"app.kubernetes.io/managed-by": "aeraki"}
NAME = "aeraki-outbound-cache.shop.svc.cluster.local-6379"

Install = Callable[[Values], Api]


def _filter(
    name: str = NAME,
    *,
    labels: dict[str, str] | None = OURS,
    apply_to: str = "LISTENER",
    namespace: str = ROOT_NAMESPACE,
) -> Object:
    patch = {
        "applyTo": apply_to,
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": {}},
    }
    metadata: Object = {"name": name, "namespace": namespace}
    if labels is not None:
        metadata["labels"] = labels
    return {
        "apiVersion": FILTER[0],
        "kind": FILTER[1],
        "metadata": metadata,
        "spec": {"configPatches": [patch]},
    }


def _refusal(action: Callable[[], Any]) -> str:
    """What the policy says against it; empty if it does not mind."""
    try:
        action()
    except ApiError as error:
        if "ValidatingAdmissionPolicy" not in str(error):
            raise
        return str(error)
    return ""


@pytest.fixture
def install(
    control_plane: ControlPlane, chart: Chart, make_namespace: NamespaceFactory
) -> Iterator[Install]:
    """Installs the chart; gives a client with the token of its pods, once the policy works."""
    with ExitStack() as stack:

        def start(values: Values) -> Api:
            namespace = make_namespace()
            objects = chart.render(values, namespace=namespace)
            stack.enter_context(installed(control_plane.api, objects))
            token = control_plane.api.token("aeraki", namespace)
            account = Api(control_plane.server, control_plane.ca_file, token)

            def enforced() -> bool:
                probe = _filter("not-ours", labels=None)
                return bool(_refusal(lambda: account.create(probe, dry_run=True)))

            # Roles and policies are read from watches; until then the role refuses with 403.
            wait_until(enforced, 60, "the policy to be enforced", swallow=(ApiError,))
            return account

        yield start


class TestCreate:
    def test_with_our_label_and_name_it_passes(self, install: Install) -> None:
        account = install({})
        for kind in ("LISTENER", "CLUSTER", "NETWORK_FILTER"):
            account.create(_filter(apply_to=kind), dry_run=True)
        account.create(_filter("aeraki-inbound-app-cache-0a1b2c3d-6379"), dry_run=True)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (_filter(labels=None), "label"),
            (_filter(labels={"app.kubernetes.io/managed-by": "helm"}), "label"),
            (_filter(labels={**OURS, "aeraki.io/instance": "blue"}), "label"),
            (_filter("lua-everywhere"), "name begins"),
            (_filter(apply_to="HTTP_FILTER"), "clusters, listeners and network filters"),
            (_filter(apply_to="BOOTSTRAP"), "clusters, listeners and network filters"),
        ],
        ids=["no label", "another's", "another instance", "name", "http filter", "bootstrap"],
    )
    def test_without_it_is_refused_with_the_reason(
        self, install: Install, content: Object, says: str
    ) -> None:
        account = install({})
        assert says in _refusal(lambda: account.create(content, dry_run=True))
        assert says in _refusal(lambda: account.apply(content, manager="aeraki"))

    def test_an_instance_writes_its_own_alone(self, install: Install) -> None:
        account = install({"settings.instance": "blue"})
        account.create(_filter(labels={**OURS, "aeraki.io/instance": "blue"}), dry_run=True)
        assert "aeraki.io/instance=blue" in _refusal(
            lambda: account.create(_filter(), dry_run=True)
        )


def test_nobody_claims_a_host_of_live_weights_of_another_namespace(
    control_plane: ControlPlane, install: Install, make_namespace: NamespaceFactory
) -> None:
    install({"settings.liveWeights": "annotated"})
    own, other = make_namespace(), make_namespace()

    def claim(namespace: str, *hosts: str) -> str:
        entry = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "x", "namespace": namespace},
            "spec": {
                "hosts": [*hosts],
                "ports": [{"number": 7070, "name": "tcp", "protocol": "TCP"}],
                "resolution": "STATIC",
            },
        }
        return _refusal(lambda: control_plane.api.create(entry, dry_run=True))

    host = f"cart-7000-0123456789abcdef.{own}.weights.aeraki.internal"
    wait_until(lambda: bool(claim(other, host)), 60, "the policy to be enforced")
    assert "only those of its own namespace" in claim(other, "example.org", host)
    assert claim(own, host) == ""
    assert claim(other, "example.org") == ""


def test_filters_of_others_are_neither_changed_nor_deleted(
    control_plane: ControlPlane, install: Install
) -> None:
    account = install({})
    others = _filter("aeraki-outbound-mine", labels=None)
    before = control_plane.api.create(others)
    for action in (
        lambda: account.delete(*FILTER, "aeraki-outbound-mine", namespace=ROOT_NAMESPACE),
        lambda: account.apply(_filter("aeraki-outbound-mine"), manager="aeraki"),
    ):
        assert "its own" in _refusal(action)
    after = control_plane.api.get(*FILTER, "aeraki-outbound-mine", namespace=ROOT_NAMESPACE)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("adopts", [False, True])
def test_upstreams_filters_go_only_when_they_are_adopted(
    control_plane: ControlPlane, install: Install, adopts: bool
) -> None:
    account = install({"settings.adoptUpstream": adopts})
    control_plane.api.create(_filter("upstreams", labels={"manager": "Aeraki"}))

    def delete() -> None:
        account.delete(*FILTER, "upstreams", namespace=ROOT_NAMESPACE)

    assert bool(_refusal(delete)) is not adopts


def test_others_write_what_they_like(control_plane: ControlPlane, install: Install) -> None:
    install({})
    control_plane.api.create(_filter("lua-everywhere", labels=None), dry_run=True)
