"""`kubectl apply` on a real API server, with the chart's webhook and a running controller."""

from __future__ import annotations

import base64
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import self_signed
from tests.kubernetes.replica import Replica
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.errors import ApiError
from tests.waiting import wait_until

from .chart import Chart, Refused, all_of, installed, one

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

PASSWORD = "correct-horse-battery"


def encoded(certificate: Path) -> str:
    return base64.b64encode(certificate.read_bytes()).decode()


class Mesh:
    """A controller, and an API server that asks it, as the chart says, at its own address."""

    def __init__(
        self, control_plane: ControlPlane, namespace: str, replica: Replica, hook: Object
    ) -> None:
        self.api, self.namespace, self.replica, self.hook = (
            control_plane.api,
            namespace,
            replica,
            hook,
        )

    def create(
        self, kind: str, spec: Any, *, name: str = "cart", dry_run: bool = True
    ) -> list[str]:
        """The warnings for an object that is created."""
        api_version = {"Service": "v1", "RedisDestination": "redis.aeraki.io/v1alpha1"}.get(
            kind, "networking.istio.io/v1"
        )
        content: Object = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        return self.api.create_with_warnings(content, dry_run=dry_run)[1]

    def wait_for(self, code: str, kind: str, spec: Any) -> str:
        """The warning with that code; the API server asks a new webhook after a moment."""
        warnings: list[str] = []

        def look() -> str:
            warnings[:] = self.create(kind, spec)
            return next((text for text in warnings if code in text), "")

        return wait_until(
            look, 60, f"the warning {code}", seen=lambda: (warnings, self.replica.raw[-20:])
        )


ROUTE = {"destination": {"host": "cart", "subset": "v9"}}
WRONG = {"hosts": ["cart"], "http": [{"match": [{"method": {"exact": "get"}}], "route": [ROUTE]}]}


@pytest.fixture
def mesh(
    chart: Chart, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[Mesh]:
    objects = chart.render({"webhook.enabled": True}, namespace=namespace)
    wanted = ("CustomResourceDefinition", "ValidatingWebhookConfiguration")
    hook = one(objects, wanted[1])
    certificate = self_signed(tmp_path)
    arguments = ["--webhook-address", "127.0.0.1:0", "--webhook-certificate", str(tmp_path)]
    with Replica(
        "one", control_plane.kubeconfig, namespace, *arguments, plugins="dubbo,redis"
    ) as replica:
        port = replica.wait_for("reviews objects on")["message"].rpartition(" ")[2]
        (webhook,) = hook["webhooks"]
        # There is no kube-proxy in the rig, so no Service leads to the controller.
        webhook["clientConfig"] = {
            "url": f"https://127.0.0.1:{port}/validate",
            "caBundle": encoded(certificate),
        }
        with installed(control_plane.api, [each for each in objects if each["kind"] in wanted]):
            replica.wait_for("filters in the cluster")
            found = Mesh(control_plane, namespace, replica, hook)
            service = {
                "ports": [{"name": "tcp-dubbo", "port": 20880}],
                "selector": {"app": "cart"},
            }
            found.create("Service", service, dry_run=False)
            yield found


def test_findings_are_warnings_and_only_our_own_kinds_are_refused(mesh: Mesh) -> None:
    assert "spec.http[0]" in mesh.wait_for("AER0302", "VirtualService", WRONG)
    typo = {"ports": [{"name": "tcp-dubo", "port": 20880}]}
    assert "tcp-dubo" in mesh.create("Service", typo, name="order")[0]
    redis: Object = {"mode": "CLUSTER", "auth": {"plain": {"password": PASSWORD}}}
    spec = {"host": "cart", "trafficPolicy": {"connectionPool": {"redis": redis}}}
    redis["discoveryEndpoints"] = ["a:b:c"]
    with pytest.raises(ApiError, match="RDS0205") as refused:
        mesh.create("RedisDestination", spec)
    assert PASSWORD not in str(refused.value)
    redis["discoveryEndpoints"] = ["redis-0:6379"]
    warnings = mesh.create("RedisDestination", spec, dry_run=False)
    assert any("RDS0106" in text for text in warnings)  # no port of cart speaks Redis
    assert not any(PASSWORD in text for text in (*warnings, *mesh.replica.raw))


def test_without_an_answer_everything_is_admitted(mesh: Mesh) -> None:
    mesh.wait_for("AER0302", "VirtualService", WRONG)
    mesh.replica.send(signal.SIGSTOP)
    # Nobody answers, and the API server goes on: its own limit is two seconds.
    assert mesh.create("VirtualService", WRONG, name="while-paused", dry_run=False) == []
    mesh.replica.send(signal.SIGCONT)
    mesh.replica.send(signal.SIGKILL)
    mesh.replica.process.wait(60)
    assert mesh.create("VirtualService", WRONG, name="while-dead", dry_run=False) == []


def test_a_new_certificate_is_used_without_a_restart(mesh: Mesh, tmp_path: Path) -> None:
    mesh.wait_for("AER0302", "VirtualService", WRONG)
    (webhook,) = mesh.hook["webhooks"]
    webhook["clientConfig"]["caBundle"] = encoded(self_signed(tmp_path))
    mesh.api.apply(mesh.hook, manager="helm")
    # It looks at the files when it is asked.
    mesh.wait_for("AER0302", "VirtualService", WRONG)
    mesh.replica.wait_for("the webhook has a new certificate")


class TestChart:
    def test_it_is_off_by_default(self, chart: Chart) -> None:
        assert not all_of(chart.render(), "ValidatingWebhookConfiguration")
        assert not all_of(chart.render(), "Secret")

    def test_it_can_never_block(self, chart: Chart) -> None:
        hook = one(chart.render({"webhook.enabled": True}), "ValidatingWebhookConfiguration")
        (webhook,) = hook["webhooks"]
        assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Ignore", 2)
        asked = {name for rule in webhook["rules"] for name in rule["resources"]}
        assert asked == {
            "services",
            "destinationrules",
            "serviceentries",
            "virtualservices",
            "redisdestinations",
            "redisservices",
        }
        dubbo = chart.render({"webhook.enabled": True, "plugins": ["dubbo"]})
        (webhook,) = one(dubbo, "ValidatingWebhookConfiguration")["webhooks"]
        assert "redisservices" not in str(webhook["rules"])

    def test_its_certificate_is_for_the_service(self, chart: Chart, tmp_path: Path) -> None:
        objects = chart.render({"webhook.enabled": True}, namespace="mesh")
        data = one(objects, "Secret")["data"]
        for name in ("ca.crt", "tls.crt"):
            (tmp_path / name).write_bytes(base64.b64decode(data[name]))
        (webhook,) = one(objects, "ValidatingWebhookConfiguration")["webhooks"]
        assert webhook["clientConfig"]["caBundle"] == data["ca.crt"]
        service = webhook["clientConfig"]["service"]
        host = f"{service['name']}.{service['namespace']}.svc"
        command = ["openssl", "verify", "-CAfile", "ca.crt", "-verify_hostname", host, "tls.crt"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def test_cert_manager_can_make_the_certificate(self, chart: Chart) -> None:
        objects = chart.render({"webhook.enabled": True, "webhook.issuerRef": {"name": "mesh"}})
        certificate = one(objects, "Certificate")
        hook = one(objects, "ValidatingWebhookConfiguration")
        assert not all_of(objects, "Secret")
        inject = hook["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert inject == f"istio-system/{certificate['metadata']['name']}"
        pod = one(objects, "Deployment")["spec"]["template"]["spec"]
        secrets = [each["secret"] for each in pod["volumes"] if "secret" in each]
        # The pods start without it: filters do not wait for a certificate.
        assert secrets == [{"secretName": certificate["spec"]["secretName"], "optional": True}]

    def test_the_network_policy_lets_the_api_server_in(self, chart: Chart) -> None:
        policy = one(chart.render({"webhook.enabled": True}), "NetworkPolicy")
        rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
        assert rules["webhook"] is None
        assert rules["http"]

    @pytest.mark.parametrize("key", ["webhookAddress", "webhookCertificate"])
    def test_the_settings_are_the_charts(self, chart: Chart, key: str) -> None:
        with pytest.raises(Refused, match="webhook"):
            chart.render({f"settings.{key}": "x"})
