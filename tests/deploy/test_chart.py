"""What the values of the chart do, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from aeraki_core.filters.patch import ApplyTo
from aeraki_core.manifests.crds import crd
from aeraki_core.mesh.weight_sets import SUFFIX
from aeraki_core.settings import Settings, resolve

from scripts.dashboards import DASHBOARDS
from scripts.render_deploy import CHART

from .chart import Chart, Refused, Values, all_of, container, kinds, one, settings_file

# The first one may have to build Helm.
pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]  # helm is compiled with Go

SUBSETS: list[list[str]] = [[], ["dubbo"], ["redis"], ["zookeeper", "redis"]]
EVERYTHING: Values = {
    "plugins": ["dubbo", "redis"],
    "image": {"tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {
        "source": ["kubernetes", "istiod"],
        "logLevel": "debug",
        "proxyExtensions": ["orders:envoy.filters.network.x"],
    },
    "replicas": 3,
    "leaderElection": {"id": "mine"},
    "serviceAccount": {"annotations": {"example.com/role": "reader"}},
    "rbac": {
        "secretNamespaces": ["default"],
        "extraRules": [
            {
                "apiGroups": ["example.com"],
                "resources": ["things"],
                "verbs": ["get", "list", "watch"],
            }
        ],
    },
    "http": {"port": 9090},
    "webhook": {"enabled": True, "port": 9443},
    "metrics": {"service": {"annotations": {"example.com/a": "b"}}},
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "interval": "30s",
        "scrapeTimeout": "10s",
    },
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"team": "observability"}}}],
    },
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "labels": {"team": "mesh"},
    "podLabels": {"tier": "control"},
    "podAnnotations": {"example.com/c": "d"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
"""A value for nearly everything."""


def _settings(chart: Chart, tmp_path: Path, values: Values) -> Settings:
    """The settings as the controller in the pod would read them."""
    file = tmp_path / "settings.yaml"
    file.write_text(settings_file(chart.render(values)), encoding="utf-8")
    return resolve(file=file)


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"replicas": 1, "plugins": ["kafka"]}])
def test_helm_finds_nothing_to_complain_of(chart: Chart, values: Values) -> None:
    assert "0 chart(s) failed" in chart.lint(values)


class TestPlugins:
    @pytest.mark.parametrize("plugins", SUBSETS)
    def test_the_crds_are_what_aeraki_crds_prints(self, chart: Chart, plugins: list[str]) -> None:
        found = {
            item["metadata"]["name"]: item["spec"]
            for item in all_of(chart.render({"plugins": plugins}), "CustomResourceDefinition")
        }
        assert found == {
            item["metadata"]["name"]: item["spec"] for item in map(crd, kinds(plugins))
        }

    def test_without_a_choice_there_is_a_crd(self, chart: Chart) -> None:
        assert all_of(chart.render(), "CustomResourceDefinition")

    def test_the_controller_is_told_which(self, chart: Chart, tmp_path: Path) -> None:
        assert _settings(chart, tmp_path, {"plugins": ["dubbo", "redis"]}).wanted_plugins() == (
            "dubbo",
            "redis",
        )
        assert _settings(chart, tmp_path, {}).wanted_plugins() is None

    def test_a_plugin_that_the_chart_does_not_know_comes_beside_those_that_it_knows(
        self, chart: Chart, tmp_path: Path
    ) -> None:
        values = {"plugins": ["dubbo"], "extraPlugins": ["mongo"]}
        assert _settings(chart, tmp_path, values).wanted_plugins() == ("dubbo", "mongo")
        alone = {"extraPlugins": ["mongo"]}
        assert _settings(chart, tmp_path, alone).wanted_plugins() == ("mongo",)
        assert not all_of(chart.render(alone), "CustomResourceDefinition")

    def test_crds_outlive_the_release_unless_told(self, chart: Chart) -> None:
        def policies(keep: bool) -> set[str | None]:
            found = all_of(chart.render({"crds.keep": keep}), "CustomResourceDefinition")
            return {
                item["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
                for item in found
            }

        assert policies(True) == {"keep"}
        assert policies(False) == {None}

    def test_crds_can_be_left_to_others(self, chart: Chart) -> None:
        assert not all_of(chart.render({"crds.install": False}), "CustomResourceDefinition")


class TestSettings:
    @pytest.mark.parametrize("values", [{}, EVERYTHING])
    def test_the_controller_can_read_them(
        self, chart: Chart, tmp_path: Path, values: Values
    ) -> None:
        settings = _settings(chart, tmp_path, values)
        assert settings.sink == "kubernetes"
        assert settings.root_namespace == "istio-system"

    def test_one_can_be_changed_and_the_others_stay(self, chart: Chart, tmp_path: Path) -> None:
        settings = _settings(chart, tmp_path, {"settings.rootNamespace": "mesh"})
        assert (settings.root_namespace, settings.log_format) == ("mesh", "json")

    def test_a_change_starts_new_pods_and_nothing_else_does(self, chart: Chart) -> None:
        def pods(values: Values) -> Any:
            return one(chart.render(values), "Deployment")["spec"]["template"]

        assert pods({"settings.logLevel": "debug"}) != pods({})
        assert pods({"replicas": 5, "podDisruptionBudget.enabled": False}) == pods({})

    def test_istiod_gets_its_token_where_the_controller_looks_for_it(
        self, chart: Chart, tmp_path: Path
    ) -> None:
        values = {"settings.source": ["kubernetes", "istiod"]}
        pod = one(chart.render(values), "Deployment")["spec"]["template"]["spec"]
        ((name, token),) = [
            (volume["name"], source["serviceAccountToken"])
            for volume in pod["volumes"]
            if "projected" in volume
            for source in volume["projected"]["sources"]
        ]
        (mount,) = [
            mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == name
        ]
        assert token["audience"] == "istio-ca"
        assert (
            f"{mount['mountPath']}/{token['path']}"
            == _settings(chart, tmp_path, values).istiod_token
        )
        assert "istio-ca" not in json.dumps(one(chart.render(), "Deployment"))

    def test_istiods_address_is_its_own_unless_given(self, chart: Chart, tmp_path: Path) -> None:
        def address(values: Values) -> Any:
            return _settings(
                chart, tmp_path, {"settings.source": ["istiod"], **values}
            ).istiod_address

        assert address({}) == "istiod.istio-system.svc:15012"
        assert address({"settings.rootNamespace": "mesh"}) == "istiod.mesh.svc:15012"
        given = "istiod-canary.istio-system.svc:15012"
        assert address({"settings.istiodAddress": given}) == given

    def test_who_only_looks_for_refusing_proxies_gets_the_token_too(self, chart: Chart) -> None:
        values = {"settings.istiodAddress": "istiod.istio-system.svc:15012"}
        assert "istio-ca" in json.dumps(
            one(chart.render(values), "Deployment")["spec"]["template"]["spec"]["volumes"]
        )

    def test_the_controller_may_read_what_vouches_for_istiod(self, chart: Chart) -> None:
        rule = {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["istio-ca-root-cert"],
            "verbs": ["get"],
        }
        assert rule in one(chart.render(), "ClusterRole")["rules"]


class TestPods:
    def test_nothing_runs_as_root_or_writes_to_its_image(self, chart: Chart) -> None:
        pod = one(chart.render(), "Deployment")["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container(chart.render())["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }

    def test_probes_ask_a_port_of_their_own(self, chart: Chart, tmp_path: Path) -> None:
        values = {"http.port": 9090, "http.probePort": 9091}
        controller = container(chart.render(values))
        ports = {port["name"]: port["containerPort"] for port in controller["ports"]}
        assert ports == {"http": 9090, "probes": 9091}
        settings = _settings(chart, tmp_path, values)
        assert (settings.http_address, settings.probe_address) == (":9090", ":9091")
        asked = {
            name: controller[f"{name}Probe"]["httpGet"]
            for name in ("liveness", "readiness", "startup")
        }
        assert asked == {
            "liveness": {"path": "/healthz", "port": "probes"},
            "readiness": {"path": "/readyz", "port": "probes"},
            "startup": {"path": "/healthz", "port": "probes"},
        }

    def test_no_service_leaks_variables_that_look_like_settings(self, chart: Chart) -> None:
        assert (
            one(chart.render(), "Deployment")["spec"]["template"]["spec"]["enableServiceLinks"]
            is False
        )

    def test_the_controller_knows_its_pod(self, chart: Chart) -> None:
        fields = {
            item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"]
            for item in container(chart.render())["env"]
            if "valueFrom" in item
        }
        assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}

    def test_they_spread_over_nodes_and_a_selector_of_ones_own_stays(self, chart: Chart) -> None:
        deployment = one(chart.render(), "Deployment")["spec"]
        (constraint,) = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert constraint["labelSelector"] == deployment["selector"]
        own = {
            "maxSkew": 2,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
        given = one(chart.render({"topologySpreadConstraints": [own]}), "Deployment")["spec"][
            "template"
        ]["spec"]
        assert given["topologySpreadConstraints"] == [own]

    def test_what_is_given_for_them_reaches_them(self, chart: Chart) -> None:
        template = one(chart.render(EVERYTHING), "Deployment")["spec"]["template"]
        pod, (only,) = template["spec"], template["spec"]["containers"]
        for key in (
            "nodeSelector",
            "tolerations",
            "affinity",
            "priorityClassName",
            "imagePullSecrets",
        ):
            assert pod[key] == EVERYTHING[key]
        assert EVERYTHING["extraEnv"][0] in only["env"]
        assert EVERYTHING["extraVolumeMounts"][0] in only["volumeMounts"]
        assert EVERYTHING["extraVolumes"][0] in pod["volumes"]
        assert template["metadata"]["labels"].items() >= {"tier": "control", "team": "mesh"}.items()
        assert template["metadata"]["annotations"]["example.com/c"] == "d"

    def test_they_are_those_that_selectors_mean(self, chart: Chart) -> None:
        objects = chart.render(EVERYTHING)
        labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
        selectors = [
            one(objects, "Deployment")["spec"]["selector"]["matchLabels"],
            one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            *(each["spec"]["selector"] for each in all_of(objects, "Service")),
        ]
        for selector in selectors:
            assert selector
            assert selector.items() <= labels.items()

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            ({}, "aeraki/aeraki-py:0.1.0"),
            ({"tag": "1.2"}, "aeraki/aeraki-py:1.2"),
            (
                {"repository": "mine/aeraki", "tag": "1.2", "digest": f"sha256:{'a' * 64}"},
                f"mine/aeraki@sha256:{'a' * 64}",
            ),
        ],
    )
    def test_their_image(self, chart: Chart, image: Values, expected: str) -> None:
        assert (
            container(chart.render({f"image.{key}": value for key, value in image.items()}))[
                "image"
            ]
            == expected
        )


class TestMetrics:
    def test_a_monitor_finds_the_service_and_its_port(self, chart: Chart) -> None:
        objects = chart.render({"serviceMonitor.enabled": True})
        monitor, service = one(objects, "ServiceMonitor"), one(objects, "Service")
        assert (
            monitor["spec"]["selector"]["matchLabels"].items()
            <= service["metadata"]["labels"].items()
        )
        assert [item["port"] for item in monitor["spec"]["endpoints"]] == [
            item["name"] for item in service["spec"]["ports"]
        ]
        assert service["spec"]["ports"][0]["targetPort"] == container(objects)["ports"][0]["name"]

    def test_alerts_and_dashboards_are_there_when_wanted(self, chart: Chart) -> None:
        objects = chart.render({"prometheusRule.enabled": True, "dashboards.enabled": True})
        (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
        assert {rule["alert"] for rule in group["rules"]} >= {"AerakiDown", "AerakiNoLeader"}
        pages = [
            json.loads(text)["title"]
            for item in all_of(objects, "ConfigMap")
            if item["metadata"]["labels"].get("grafana_dashboard") == "1"
            for text in item["data"].values()
        ]
        assert sorted(pages) == sorted(dashboard.title for dashboard in DASHBOARDS)
        assert not all_of(chart.render(), "PrometheusRule")
        assert len(all_of(chart.render(), "ConfigMap")) == 1

    def test_they_are_read_once(self, chart: Chart) -> None:
        def annotated(values: Values) -> bool:
            return (
                "prometheus.io/scrape"
                in one(chart.render(values), "Deployment")["spec"]["template"]["metadata"][
                    "annotations"
                ]
            )

        assert annotated({})
        assert not annotated({"serviceMonitor.enabled": True})
        assert not annotated({"metrics.annotations": False})


class TestNetworkPolicy:
    def test_probes_come_from_everywhere_and_questions_from_the_own_namespace(
        self, chart: Chart
    ) -> None:
        objects = chart.render()
        policy = one(objects, "NetworkPolicy")["spec"]
        assert policy["podSelector"] == one(objects, "Deployment")["spec"]["selector"]
        assert policy["policyTypes"] == ["Ingress"]
        names = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
        probes, questions = policy["ingress"]
        assert probes == {"ports": [{"port": "probes", "protocol": "TCP"}]}
        assert questions == {
            "ports": [{"port": "http", "protocol": "TCP"}],
            "from": [{"podSelector": {}}],
        }
        assert set(names) == {"probes", "http"}

    def test_others_are_let_in_by_name(self, chart: Chart) -> None:
        scraper = {"namespaceSelector": {"matchLabels": {"team": "observability"}}}
        policy = one(chart.render({"networkPolicy.from": [scraper]}), "NetworkPolicy")
        assert policy["spec"]["ingress"][1]["from"] == [{"podSelector": {}}, scraper]

    def test_it_can_be_left_out(self, chart: Chart) -> None:
        assert not all_of(chart.render({"networkPolicy.enabled": False}), "NetworkPolicy")


class TestAdmissionPolicy:
    def test_it_is_there_where_the_cluster_serves_it(self, chart: Chart) -> None:
        objects = chart.render()
        policy = one(objects, "ValidatingAdmissionPolicy")["metadata"]["name"]
        binding = one(objects, "ValidatingAdmissionPolicyBinding")["spec"]
        assert binding == {"policyName": policy, "validationActions": ["Deny"]}
        for without in (
            chart.render(policies=False),
            chart.render({"admissionPolicy.enabled": False}),
        ):
            assert not [item for item in without if item["kind"].startswith("Validating")]

    def test_it_speaks_of_the_pods_account_alone(self, chart: Chart) -> None:
        for values, account in (
            ({}, "aeraki"),
            ({"serviceAccount": {"create": False, "name": "other"}}, "other"),
        ):
            policy = one(chart.render(values, namespace="mesh"), "ValidatingAdmissionPolicy")
            (condition,) = policy["spec"]["matchConditions"]
            assert condition["expression"].endswith(f'== "system:serviceaccount:mesh:{account}"')

    def test_another_guards_the_hosts_of_live_weights(self, chart: Chart) -> None:
        objects = chart.render({"settings.liveWeights": "annotated"})
        policies = all_of(objects, "ValidatingAdmissionPolicy")
        names = [policy["metadata"]["name"] for policy in policies]
        assert len(names) == 2
        bindings = all_of(objects, "ValidatingAdmissionPolicyBinding")
        assert [binding["spec"]["policyName"] for binding in bindings] == names
        assert all(SUFFIX in str(item) for item in policies[-1]["spec"]["validations"])

    def test_it_allows_every_kind_of_patch_that_the_core_makes(self, chart: Chart) -> None:
        variables = one(chart.render(), "ValidatingAdmissionPolicy")["spec"]["variables"]
        (kinds,) = [item["expression"] for item in variables if item["name"] == "kinds"]
        assert set(json.loads(kinds)) == {str(kind) for kind in ApplyTo}


class TestWrongValues:
    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({"replica": 3}, "replica"),
            ({"image.tagg": "1"}, "tagg"),
            ({"replicas": "three"}, "replicas"),
            ({"plugins": "dubbo"}, "plugins"),
            ({"plugins": ["Dubbo Proxy"]}, "plugins"),
            ({"plugins": ["duboo"]}, "plugins"),
            ({"extraPlugins": ["Mongo DB"]}, "extraPlugins"),
            ({"settings.logLvl": "debug"}, "logLvl"),
            ({"settings.logFormat": "xml"}, "logFormat"),
            ({"settings.registryOnly": "yes"}, "registryOnly"),
            ({"settings.paths": ["/tmp"]}, "paths"),
            ({"image.digest": "latest"}, "digest"),
            ({"http.port": 80}, "port"),
            ({"settings.sink": "files"}, "sink"),
            ({"settings.source": ["files"]}, "source"),
            ({"settings.electionId": "x"}, "leaderElection.id"),
            ({"settings.httpAddress": ":9"}, "http.port"),
            ({"settings.probeAddress": ":9"}, "http.probePort"),
            ({"settings.httpAuthentication": True}, "http.authentication"),
            ({"settings.plugins": ["dubbo"]}, "give the value plugins"),
            ({"serviceAccount.create": False}, "serviceAccount.name is needed"),
            (
                {"serviceMonitor.enabled": True, "metrics.service.enabled": False},
                "metrics.service.enabled",
            ),
            ({"podDisruptionBudget.maxUnavailable": "half"}, "maxUnavailable"),
            ({"settings.watchNamespaces": "shop"}, "watchNamespaces"),
            ({"networkPolicy.ingress": []}, "ingress"),
        ],
    )
    def test_helm_refuses_them_and_names_them(
        self, chart: Chart, values: Values, says: str
    ) -> None:
        with pytest.raises(Refused, match=says):
            chart.render(values)

    def test_the_schema_knows_every_value(self) -> None:
        """Without it a new value would be refused as misspelt."""
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
        assert set(schema["properties"]) - {"global"} == set(values)
