"""`aeraki apply` and `aeraki diff --live cluster` over a real cluster with istiod's webhook."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import pytest
import yaml
from aeraki_core.cli.commands import apply
from aeraki_core.filters.envoyfilter import to_dict

from tests.cli.running import Result, clean_environment, runner
from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.errors import ApiError
from tests.rig.fixtures import NamespaceFactory
from tests.rig.workloads import Workloads
from tests.waiting import wait_until

from .filters import redis_filter
from .test_faults import entry, live, versions

pytestmark = pytest.mark.mesh

API = ("networking.istio.io/v1alpha3", "EnvoyFilter")
Aeraki = Callable[..., Result]


@pytest.fixture
def aeraki(
    control_plane: ControlPlane, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Aeraki:
    """Run a command line on the rig's cluster, by default as its administrator."""
    clean_environment(monkeypatch)
    monkeypatch.setenv("AERAKI_KUBECONFIG", str(control_plane.kubeconfig))
    return runner(capfd, monkeypatch)


@pytest.fixture
def mesh(tmp_path: Path, namespace: str) -> Callable[..., Path]:
    """A directory with a ServiceEntry for each number: one filter each."""

    def write(*numbers: int) -> Path:
        (tmp_path / "mesh.yaml").write_text(
            yaml.safe_dump_all(entry(number, namespace) for number in numbers)
        )
        return tmp_path

    return write


def name(number: int, namespace: str) -> str:
    return f"aeraki-outbound-redis-{number}.{namespace}.example.org-6379"


def said(number: int, namespace: str, what: str) -> str:
    return f"envoyfilter {ROOT_NAMESPACE}/{name(number, namespace)} {what}\n"


def foreign(called: str, **labels: str) -> Object:
    return {
        "apiVersion": API[0],
        "kind": API[1],
        "metadata": {"name": called, "namespace": ROOT_NAMESPACE, "labels": labels},
        "spec": {"workloadSelector": {"labels": {"app": "none"}}, "configPatches": []},
    }


class TestAPartOfTheMesh:
    """With the settings of a controller that watches some namespaces, or is one of several."""

    @pytest.fixture
    def both(self, tmp_path: Path, make_namespace: NamespaceFactory) -> tuple[Path, str, str]:
        mine, other = make_namespace(labels={"env": "prod"}), make_namespace()
        entries = [entry(1, mine), entry(2, other)]
        (tmp_path / "mesh.yaml").write_text(yaml.safe_dump_all(entries))
        return tmp_path, mine, other

    @pytest.mark.parametrize("by", ["name", "label"])
    def test_only_filters_of_these_namespaces_are_written_and_pruned(
        self, aeraki: Aeraki, both: tuple[Path, str, str], control_plane: ControlPlane, by: str
    ) -> None:
        folder, mine, other = both
        chosen = (
            ("--watch-namespaces", mine)
            if by == "name"
            else ("--watch-namespace-selector", "env=prod")
        )
        result = aeraki("apply", "-f", folder, *chosen)
        assert (result.code, result.out) == (0, said(1, mine, "created"))
        aeraki("apply", "-f", folder)
        assert len(live(control_plane)) == 2
        (folder / "mesh.yaml").write_text("")
        result = aeraki("diff", "-f", folder, "--live", "cluster", "-o", "name", *chosen)
        assert result.out == f"delete {ROOT_NAMESPACE}/{name(1, mine)}\n"
        assert f"namespace {other} is not watched here" in result.err
        result = aeraki("apply", "-f", folder, "--prune", "--yes", *chosen)
        assert (result.code, result.out) == (0, said(1, mine, "pruned"))
        assert live(control_plane).keys() == {name(2, other)}

    def test_filters_of_another_instance_are_not_seen(
        self, aeraki: Aeraki, both: tuple[Path, str, str], control_plane: ControlPlane
    ) -> None:
        folder, mine, other = both
        aeraki("apply", "-f", folder, "--instance", "blue")
        assert len(live(control_plane)) == 2
        result = aeraki("apply", "-f", folder, "--instance", "green")
        assert result.code == 1
        assert "it is not ours" in result.err
        (folder / "mesh.yaml").write_text("")
        assert aeraki("apply", "-f", folder, "--prune", "--yes").out == ""
        assert aeraki("apply", "-f", folder, "--prune", "--yes", "--instance", "green").out == ""
        result = aeraki("apply", "-f", folder, "--prune", "--yes", "--instance", "blue")
        assert result.out == "".join(sorted([said(1, mine, "pruned"), said(2, other, "pruned")]))

    def test_a_label_needs_a_cluster(
        self, aeraki: Aeraki, both: tuple[Path, str, str], tmp_path: Path
    ) -> None:
        folder, _, _ = both
        result = aeraki(
            "diff", "-f", folder, "--live", tmp_path, "--watch-namespace-selector", "env=prod"
        )
        assert result.code == 2
        assert "use --live cluster" in result.err


def test_created_then_unchanged_then_configured(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    folder = mesh(1, 2)
    before = aeraki("diff", "-f", folder, "--live", "cluster", "-o", "name")
    assert before.code == 1
    assert before.out.splitlines() == [
        f"create {ROOT_NAMESPACE}/{name(number, namespace)}" for number in (1, 2)
    ]
    result = aeraki("apply", "-f", folder)
    assert (result.code, result.err) == (0, "")
    assert result.out == said(1, namespace, "created") + said(2, namespace, "created")
    found = control_plane.api.get(*API, name(1, namespace), namespace=ROOT_NAMESPACE)
    assert [field["manager"] for field in found["metadata"]["managedFields"]] == ["aeraki"]

    written = versions(control_plane)
    result = aeraki("apply", "-f", folder)
    assert (result.code, result.err) == (0, "")
    assert result.out == said(1, namespace, "unchanged") + said(2, namespace, "unchanged")
    assert versions(control_plane) == written
    assert aeraki("diff", "-f", folder, "--live", "cluster").code == 0

    control_plane.api.merge(
        *API, name(1, namespace), {"spec": {"priority": 5}}, namespace=ROOT_NAMESPACE
    )
    result = aeraki("diff", "-f", folder, "--live", "cluster")
    assert result.code == 1
    assert "-  priority: 5\n" in result.out
    result = aeraki("apply", "-f", folder)
    assert (result.code, result.err) == (0, "")
    assert result.out == said(1, namespace, "configured") + said(2, namespace, "unchanged")
    assert aeraki("diff", "-f", folder, "--live", "cluster").code == 0


@pytest.mark.parametrize("judge", ["client", "server"])
def test_a_dry_run_changes_nothing(
    judge: str,
    aeraki: Aeraki,
    mesh: Callable[..., Path],
    namespace: str,
    control_plane: ControlPlane,
) -> None:
    aeraki("apply", "-f", mesh(1))
    written = versions(control_plane)
    result = aeraki("apply", "-f", mesh(2), "--prune", "--dry-run", judge)
    assert result.code == 0, result.err
    mark = {"client": "(dry run)", "server": "(server dry run)"}[judge]
    assert result.out == said(2, namespace, f"created {mark}") + said(
        1, namespace, f"pruned {mark}"
    )
    assert versions(control_plane) == written


def test_nothing_is_deleted_unasked(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    aeraki("apply", "-f", mesh(1, 2))
    result = aeraki("apply", "-f", mesh(2))
    assert result.code == 0
    assert result.out == said(2, namespace, "unchanged")
    assert name(1, namespace) in result.err
    assert "--prune" in result.err
    # Without a terminal the command cannot ask.
    result = aeraki("apply", "-f", mesh(2), "--prune")
    assert result.code == 2
    assert "--yes" in result.err
    assert set(live(control_plane)) == {name(1, namespace), name(2, namespace)}


def test_prune_deletes_what_nothing_makes_and_touches_nothing_of_others(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    aeraki("apply", "-f", mesh(1, 2))
    control_plane.api.create(foreign("somebodys"))
    control_plane.api.create(foreign("aeraki-outbound-upstreams-6379", manager="Aeraki"))
    result = aeraki("apply", "-f", mesh(2), "--prune", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out == said(1, namespace, "pruned") + said(2, namespace, "unchanged")
    assert {item["metadata"]["name"] for item in control_plane.api.objects(*API)} == {
        name(2, namespace),
        "somebodys",
        "aeraki-outbound-upstreams-6379",
    }


class Terminal(io.TextIOWrapper):
    """A standard input that somebody types on."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code", "stays"), [("n\n", 1, {1}), ("y\n", 0, {2})])
def test_on_a_terminal_it_asks_before_it_writes(
    answer: str,
    code: int,
    stays: set[int],
    aeraki: Aeraki,
    mesh: Callable[..., Path],
    namespace: str,
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aeraki("apply", "-f", mesh(1))
    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    result = aeraki("apply", "-f", mesh(2), "--prune", stdin=answer)
    assert result.code == code, result.err
    assert f"{name(1, namespace)}: no service asks for it any more" in result.err
    assert set(live(control_plane)) == {name(number, namespace) for number in stays}


def test_filters_of_a_plugin_that_is_not_active_go_only_with_prune(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    folder = mesh(1)
    aeraki("apply", "-f", folder)
    result = aeraki("apply", "-f", folder, "--plugins", "thrift")
    assert name(1, namespace) in result.err
    assert set(live(control_plane)) == {name(1, namespace)}
    result = aeraki("apply", "-f", folder, "--plugins", "thrift", "--prune", "--yes")
    assert result.out == said(1, namespace, "pruned")
    assert live(control_plane) == {}


def test_nothing_is_pruned_while_a_file_cannot_be_read(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    aeraki("apply", "-f", mesh(1))
    folder = mesh(2)
    (folder / "broken.yaml").write_text("kind: [")
    result = aeraki("apply", "-f", folder, "--prune", "--yes", "--plugins", "redis")
    assert result.code == 1
    assert said(2, namespace, "created") in result.out
    assert f"keep  {ROOT_NAMESPACE}/{name(1, namespace)}" in result.err
    assert set(live(control_plane)) == {name(1, namespace), name(2, namespace)}


def test_a_name_that_is_taken_and_a_refusal_fail_alone(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    control_plane.api.create(foreign(name(1, namespace)))
    result = aeraki("apply", "-f", mesh(1, 2), "--filter-namespaces", ROOT_NAMESPACE)
    assert result.code == 1
    assert (
        f"{ROOT_NAMESPACE}/{name(1, namespace)} could not be created: an EnvoyFilter of this name"
        in result.err
    )
    assert result.out == said(2, namespace, "created")
    result = aeraki(
        "apply", "-f", mesh(3), "--filter-namespaces", "no-such-namespace", "--dry-run", "server"
    )
    assert result.code == 1
    assert "namespace no-such-namespace does not exist" in result.err


def test_what_the_server_cannot_take_now_is_tried_again(
    aeraki: Aeraki,
    mesh: Callable[..., Path],
    namespace: str,
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    def webhook_answers() -> Object:
        return control_plane.api.create(to_dict(redis_filter()), dry_run=True)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        control_plane.istiod.start()
        wait_until(webhook_answers, 30, "the webhook to answer", swallow=(ApiError,))

    # This stops the webhook too, without which the server accepts no EnvoyFilter.
    control_plane.istiod.stop()
    monkeypatch.setattr(apply, "time", SimpleNamespace(sleep=sleep))
    result = aeraki("apply", "-f", mesh(1))
    assert (result.code, result.out) == (0, said(1, namespace, "created"))
    assert "1 filter to be tried again" in result.err
    assert waits


class Account(Protocol):
    """Gives an account these verbs for EnvoyFilters and no other right; returns its kubeconfig."""

    def __call__(self, *verbs: str) -> Path: ...


@pytest.fixture
def account(control_plane: ControlPlane, workloads: Workloads, namespace: str) -> Iterator[Account]:
    workloads.service_account("somebody")
    api = control_plane.api
    group = "rbac.authorization.k8s.io"
    role: Object = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": namespace},
    }
    subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": namespace}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": namespace}

    def grant(*verbs: str) -> Path:
        rule = {
            "apiGroups": ["networking.istio.io"],
            "resources": ["envoyfilters"],
            "verbs": list(verbs),
        }
        api.apply({**role, "rules": [rule]})
        api.apply(
            {**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
        )
        return control_plane.kubeconfig_for("somebody", namespace)

    yield grant
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        api.delete(role["apiVersion"], kind, namespace)


def test_the_rights_that_the_page_names_are_enough(
    account: Account,
    aeraki: Aeraki,
    mesh: Callable[..., Path],
    namespace: str,
    control_plane: ControlPlane,
) -> None:
    kubeconfig = account("list", "watch", "create", "patch", "delete")
    assert aeraki("apply", "-f", mesh(1, 2), "--kubeconfig", kubeconfig).code == 0
    control_plane.api.merge(
        *API, name(2, namespace), {"spec": {"priority": 5}}, namespace=ROOT_NAMESPACE
    )
    result = aeraki("apply", "-f", mesh(2), "--prune", "--yes", "--kubeconfig", kubeconfig)
    assert (result.code, result.err) == (0, "")
    assert result.out == said(2, namespace, "configured") + said(1, namespace, "pruned")


def test_who_may_only_list_can_diff_and_is_told_why_not_apply(
    account: Account, aeraki: Aeraki, mesh: Callable[..., Path], control_plane: ControlPlane
) -> None:
    folder, reader = mesh(1), account("list")
    assert aeraki("diff", "-f", folder, "--live", "cluster", "--kubeconfig", reader).code == 1
    assert aeraki("apply", "-f", folder, "--dry-run", "client", "--kubeconfig", reader).code == 0
    result = aeraki("apply", "-f", folder, "--kubeconfig", account("list", "watch"))
    assert result.code == 1
    assert "could not be created" in result.err
    assert "forbidden" in result.err
    assert "tried again" not in result.err
    assert live(control_plane) == {}


def test_who_may_not_read_is_told_so_at_once(
    aeraki: Aeraki, mesh: Callable[..., Path], namespace: str, control_plane: ControlPlane
) -> None:
    nobody = control_plane.kubeconfig_for("default", namespace)
    for arguments, code in ((("apply",), 1), (("diff", "--live", "cluster"), 2)):
        result = aeraki(*arguments, "-f", mesh(1), "--kubeconfig", nobody)
        assert result.code == code
        assert "forbidden" in result.err
        assert result.out == ""


def test_without_a_cluster_it_says_where_it_looked(
    aeraki: Aeraki, mesh: Callable[..., Path], tmp_path: Path
) -> None:
    result = aeraki("apply", "-f", mesh(1), "--kubeconfig", tmp_path / "none")
    assert result.code == 1
    assert "--kubeconfig" in result.err


class TestLiveWeights:
    """ServiceEntries and DestinationRules are written, and go, as filters do."""

    @pytest.fixture
    def canary(self, tmp_path: Path, namespace: str) -> Callable[[int], Path]:
        """A directory with a service and the weight of its second subset."""

        def write(second: int) -> Path:
            objects = canary_objects(namespace, second)
            (tmp_path / "mesh.yaml").write_text(yaml.safe_dump_all(objects))
            return tmp_path

        return write

    def test_a_changed_weight_and_two_prunes(
        self, aeraki: Aeraki, canary: Callable[[int], Path], namespace: str
    ) -> None:
        live = ("--live-weights", "all", "--plugins", "thrift")
        result = aeraki("apply", "-f", canary(10), *live)
        assert result.code == 0, result.err
        assert [line.split()[0] for line in result.out.splitlines()] == [
            "destinationrule",
            "serviceentry",
            "envoyfilter",
            "envoyfilter",
        ]
        result = aeraki("apply", "-f", canary(50), *live)
        assert result.code == 0, result.err
        assert [line for line in result.out.splitlines() if "configured" in line] == [
            line for line in result.out.splitlines() if line.startswith("serviceentry")
        ]
        # The setting goes first: what it left behind is found all the same, and stays for a while.
        off = ("-f", canary(50), "--prune", "--yes", "--plugins", "thrift")
        result = aeraki("apply", *off)
        assert result.code == 0, result.err
        assert "pruned" not in result.out
        assert "run --prune again in two minutes" in result.err
        result = aeraki("apply", *off)
        assert result.code == 0, result.err
        pruned = [line for line in result.out.splitlines() if line.endswith("pruned")]
        assert [line.split()[0] for line in pruned] == ["destinationrule", "serviceentry"]
        result = aeraki("apply", *off)
        assert "pruned" not in result.out


def canary_objects(namespace: str, second: int) -> list[Object]:
    versions = ("v1", "v2")
    shares = [100 - second, second]
    head = {"name": "store", "namespace": namespace}
    istio = "networking.istio.io/v1"
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": version,
                "namespace": namespace,
                "labels": {"app": "store", "version": version},
            },
            "spec": {"serviceAccountName": "default"},
            "status": {"podIP": f"10.9.0.{number}"},
        }
        for number, version in enumerate(versions, 1)
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": head,
            "spec": {
                "clusterIP": "10.8.0.1",
                "selector": {"app": "store"},
                "ports": [{"name": "tcp-thrift", "port": 9090}],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **head,
                "labels": {"kubernetes.io/service-name": "store"},
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [f"10.9.0.{number}"], "targetRef": {"kind": "Pod", "name": version}}
                for number, version in enumerate(versions, 1)
            ],
            "ports": [{"name": "tcp-thrift", "port": 9090}],
        },
        *pods,
        {
            "apiVersion": istio,
            "kind": "DestinationRule",
            "metadata": head,
            "spec": {
                "host": "store",
                "subsets": [{"name": each, "labels": {"version": each}} for each in versions],
            },
        },
        {
            "apiVersion": istio,
            "kind": "VirtualService",
            "metadata": head,
            "spec": {
                "hosts": ["store"],
                "http": [
                    {
                        "route": [
                            {"destination": {"host": "store", "subset": name}, "weight": weight}
                            for name, weight in zip(versions, shares, strict=True)
                        ]
                    }
                ],
            },
        },
    ]
