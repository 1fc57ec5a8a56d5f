"""Who may read a controller's metrics and state, by real tokens of a real API server."""

from __future__ import annotations

import itertools
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Workloads
from tests.waiting import wait_until

from .replica import ROOT, Replica

pytestmark = pytest.mark.mesh

RBAC = "rbac.authorization.k8s.io/v1"
ANSWERS = {"/metrics": 200, "/status": 200, "/explain?target=no-such-service": 404}


@pytest.fixture
def reader(control_plane: ControlPlane, namespace: str, workloads: Workloads) -> Iterator[str]:
    """A token of an account that may get the paths."""
    workloads.service_account("reader")
    workloads.service_account("stranger")
    name = f"reader-{namespace}"
    role: Object = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}}
    rules = [{"nonResourceURLs": [path.partition("?")[0] for path in ANSWERS], "verbs": ["get"]}]
    binding = {
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    control_plane.api.create({**role, "rules": rules})
    control_plane.api.create(binding)
    yield control_plane.api.token("reader", namespace)
    control_plane.api.delete(RBAC, "ClusterRoleBinding", name)
    control_plane.api.delete(RBAC, "ClusterRole", name)


def ask(replica: Replica, path: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{replica.url}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def answers(replica: Replica, path: str, token: str, code: int) -> bool:
    return ask(replica, path, token) == code


def test_a_caller_needs_a_token_and_the_right_to_get_the_path(
    control_plane: ControlPlane, namespace: str, reader: str, tmp_path: Path
) -> None:
    stranger = control_plane.api.token("stranger", namespace)
    with Replica("one", control_plane.kubeconfig, namespace, "--http-authentication") as one:
        one.wait_for("filters in the cluster")
        for path, code in ANSWERS.items():
            assert ask(one, path) == 401
            assert ask(one, path, "no.such.token") == 401
            assert ask(one, path, stranger) == 403
            # The authorizer reads roles from a watch, and a refusal is kept for a moment.
            wait_until(partial(answers, one, path, reader, code), 60, "it to be let in")
        assert ask(one, "/healthz") == ask(one, "/readyz") == 200
        file = tmp_path / "token"
        file.write_text(reader)
        command = [sys.executable, "-m", "aeraki_core", "status", "--controller", one.url]
        for arguments, code in ([], 1), (["--controller-token", str(file)], 0):
            done = subprocess.run(
                [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            assert ("answers 401" in done.stderr) == (code == 1)
        assert not [line for line in one.raw if reader in line]


def test_while_the_api_server_is_away_callers_get_503_and_probes_an_answer(
    control_plane: ControlPlane, namespace: str, reader: str
) -> None:
    with Replica("one", control_plane.kubeconfig, namespace, "--http-authentication") as one:
        one.wait_for("filters in the cluster")
        wait_until(partial(answers, one, "/status", reader, 200), 60, "it to be let in")
        control_plane.apiserver.pause()
        try:
            # A busy machine takes a moment to pause it. Each token is a new one: verdicts are kept.
            tokens = (f"no.such.token-{number}" for number in itertools.count())
            wait_until(lambda: ask(one, "/status", next(tokens)) == 503, 60, "it to be paused")
            assert ask(one, "/metrics", reader) == 503
            assert ask(one, "/healthz") == 200
        finally:
            control_plane.apiserver.resume()
        wait_until(partial(answers, one, "/metrics", reader, 200), 60, "an answer again")


def test_tokens_of_one_audience(control_plane: ControlPlane, namespace: str, reader: str) -> None:
    arguments = ("--http-authentication", "--http-audience", "aeraki")
    with Replica("one", control_plane.kubeconfig, namespace, *arguments) as one:
        one.wait_for("filters in the cluster")
        assert ask(one, "/status", reader) == 401
        right = control_plane.api.token("reader", namespace, audience="aeraki")
        wait_until(partial(answers, one, "/status", right, 200), 60, "it to be let in")
