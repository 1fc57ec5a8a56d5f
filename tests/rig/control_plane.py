"""A real etcd, kube-apiserver and istiod on free ports of 127.0.0.1.

There is no kubelet, scheduler or controller-manager: Pods, their status and EndpointSlices are
written by hand (see `workloads`), nothing is garbage-collected, and namespaces are emptied here.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from tests.waiting import wait_until

from . import build, istio
from .api import Api, Object
from .errors import ApiError, RigError
from .lifetime import Startable
from .namespaces import Namespaces
from .processes import Server, find_tool, run
from .workspace import Workspace, free_ports

ROOT_NAMESPACE = istio.ROOT_NAMESPACE
_ADMIN_TOKEN = "rig-admin"
# What may go wrong between us and a server that is just coming up.
_NOT_YET = (OSError, urllib3.exceptions.HTTPError, ApiError)


class ControlPlane(Startable):
    """etcd, kube-apiserver and istiod, with Istio's CRDs and its validating webhook.

    A context manager; about ten seconds to start. Each of `etcd`, `apiserver` and `istiod` is a
    `Server`. Its ``stop()``, ``start()``, ``restart()``, ``kill()``, ``pause()`` and ``resume()``
    make the faults that tests need, ``log_text()`` returns its log.

    Args:
        mesh_config: settings beside or instead of `istio.DEFAULT_MESH_CONFIG`.
        istiod_env: variables for istiod beside or instead of `istio.DEFAULT_ENV`.
        mtls: the mesh-wide PeerAuthentication: DISABLE, PERMISSIVE or STRICT.
        report: receives slow steps, such as a first build.
    """

    def __init__(
        self,
        *,
        mesh_config: Mapping[str, Any] | None = None,
        istiod_env: Mapping[str, str] | None = None,
        mtls: str = "DISABLE",
        report: Callable[[str], None] = print,
    ) -> None:
        self._first_mesh_config = {**istio.DEFAULT_MESH_CONFIG, **(mesh_config or {})}
        self._mesh_config = self._first_mesh_config
        self._first_mtls = self._mtls = mtls
        self.artifacts = build.ensure_built(report)
        etcd = find_tool("etcd")
        self._workspace = Workspace()
        self.folder = self._workspace.path
        """Where logs, certificates and data lie; removed by `stop`."""
        ports = free_ports(3)
        self.istiod_ports = istio.Ports(*free_ports(5))
        self.server = f"https://127.0.0.1:{ports[0]}"
        """The address of the API server."""
        self.kubeconfig = self.folder / "kubeconfig"
        """A kubeconfig of a cluster administrator."""
        self._pki = self.folder / "pki"
        self._mesh_file = self.folder / "mesh.json"
        self._http = urllib3.PoolManager(timeout=2, retries=False)
        self.etcd = self._etcd(etcd, ports[1], ports[2])
        self.apiserver = self._apiserver(ports[0], ports[1])
        self.istiod = Server(
            "istiod",
            istio.command(
                self.artifacts.pilot_discovery, self.kubeconfig, self._mesh_file, self.istiod_ports
            ),
            self.folder / "istiod.log",
            env={**istio.DEFAULT_ENV, **(istiod_env or {})},
            cwd=self.folder,
            ready=lambda: self._answers(f"http://127.0.0.1:{self.istiod_ports.http}/ready"),
        )
        self._api: Api | None = None
        self._namespaces: Namespaces | None = None

    @property
    def api(self) -> Api:
        """A client with all rights.

        Raises:
            RigError: the control plane was not started.
        """
        if self._api is None:
            raise RigError("the control plane is not started: call start(), or use it in a `with`")
        return self._api

    @property
    def namespaces(self) -> Namespaces:
        """Makes and empties namespaces."""
        if self._namespaces is None:
            self._namespaces = Namespaces(self.api)
        return self._namespaces

    # Start and stop

    def start(self) -> None:
        """Starts everything and waits until the webhook validates.

        Raises:
            RigError: something did not come up; the message holds the end of its log. All that
                had been started is stopped.
        """
        with ExitStack() as cleanup:
            cleanup.callback(self.stop)
            self._write_keys()
            self.etcd.start()
            self.apiserver.start()
            self._api = Api(self.server, self.ca_file, _ADMIN_TOKEN)
            self.kubeconfig.write_text(self._kubeconfig_text(_ADMIN_TOKEN), encoding="utf-8")
            self.kubeconfig.chmod(0o600)
            self.apply_crds(self.artifacts.istio_crds.read_text(encoding="utf-8"))
            self.namespaces.make_root(ROOT_NAMESPACE)
            self._write_mesh_config()
            self.istiod.start()
            self._install_webhook()
            self.api.apply(istio.peer_authentication(self._mtls))
            cleanup.pop_all()

    def stop(self) -> None:
        """Stops everything and removes all files; also good for one that started halfway."""
        for server in (self.istiod, self.apiserver, self.etcd):
            # Nothing is worth an orderly end: the data goes with the folder.
            server.kill()
        self._workspace.close()

    # For tests

    @property
    def ca_file(self) -> str:
        """The file with the certificate that vouches for the API server."""
        return str(self._pki / "apiserver.crt")

    @property
    def mesh_config(self) -> Mapping[str, Any]:
        """The mesh config that istiod has now."""
        return self._mesh_config

    def set_mesh_config(self, **changes: Any) -> None:
        """Changes settings of the mesh; istiod re-reads them at once."""
        self._mesh_config = {**self._mesh_config, **changes}
        self._write_mesh_config()

    def set_mtls(self, mode: str) -> None:
        """Changes the mesh-wide PeerAuthentication: DISABLE, PERMISSIVE or STRICT."""
        self.api.apply(istio.peer_authentication(mode))
        self._mtls = mode

    def heal(self) -> None:
        """Brings back what a fault test stopped or paused, and the settings of the start.

        Raises:
            RigError: a component does not come up again.
        """
        for server in (self.etcd, self.apiserver, self.istiod):
            if server.running:
                server.resume()
            else:
                server.start()
        if self._mesh_config != self._first_mesh_config:
            self._mesh_config = self._first_mesh_config
            self._write_mesh_config()
        if self._mtls != self._first_mtls:
            self.set_mtls(self._first_mtls)

    def apply_crds(self, manifests: str) -> None:
        """Creates the CRDs in several YAML documents and waits until they are served.

        Raises:
            ApiError: the API server refused one.
        """
        documents = [text for text in manifests.split("\n---") if "CustomResourceDef" in text]
        with ThreadPoolExecutor(max_workers=4) as pool:
            names = list(pool.map(self._create_crd, documents))
        for name in names:
            wait_until(partial(self._established, name), 20, f"the CRD {name} to be served")

    def kubeconfig_for(self, account: str, namespace: str) -> Path:
        """Writes a kubeconfig with a ServiceAccount's token, for tests of rights.

        Raises:
            ApiError: there is no such ServiceAccount.
        """
        path = self.folder / f"kubeconfig-{namespace}-{account}"
        token = self.api.token(account, namespace)
        path.write_text(self._kubeconfig_text(token), encoding="utf-8")
        path.chmod(0o600)
        return path

    def root_certificate(self) -> str:
        """The PEM certificate of istiod's CA (ConfigMap ``istio-ca-root-cert``)."""
        found = self.api.get("v1", "ConfigMap", "istio-ca-root-cert", namespace=ROOT_NAMESPACE)
        return str(found["data"]["root-cert.pem"])

    def istiod_metrics(self) -> str:
        """What istiod's monitoring port says, in Prometheus's text format."""
        url = f"http://127.0.0.1:{self.istiod_ports.monitoring}/metrics"
        return self._http.request("GET", url).data.decode()

    # Inside

    def _etcd(self, program: str, client_port: int, peer_port: int) -> Server:
        client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        return Server(
            "etcd",
            [
                program,
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--logger=zap",
            ],
            self.folder / "etcd.log",
            # etcd refuses some architectures without this variable; a test may set it.
            env={"ETCD_UNSUPPORTED_ARCH": os.uname().machine.replace("aarch64", "arm64")},
            ready=lambda: self._answers(f"{client}/health"),
        )

    def _apiserver(self, port: int, etcd_port: int) -> Server:
        pki = self._pki
        return Server(
            "kube-apiserver",
            [
                str(self.artifacts.kube_apiserver),
                f"--etcd-servers=http://127.0.0.1:{etcd_port}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=10.0.0.1",  # must not be a loopback one; nothing dials it
                f"--cert-dir={pki}",
                f"--token-auth-file={pki / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                f"--service-account-key-file={pki / 'sa.pub'}",
                f"--service-account-signing-key-file={pki / 'sa.key'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
                # It waits for default ServiceAccounts, which a controller of others makes.
                "--disable-admission-plugins=ServiceAccount",
                "--endpoint-reconciler-type=none",
            ],
            self.folder / "kube-apiserver.log",
            ready=self._apiserver_ready,
            # It would wait a minute for its watches to end, and no client ends one.
            stop_timeout=1,
        )

    def _apiserver_ready(self) -> bool:
        if not Path(self.ca_file).exists():
            return False  # it writes its certificate when it starts for the first time
        probe = urllib3.PoolManager(ca_certs=self.ca_file, timeout=2, retries=False)
        headers = {"Authorization": f"Bearer {_ADMIN_TOKEN}"}
        return probe.request("GET", f"{self.server}/readyz", headers=headers).status == 200

    def _answers(self, url: str) -> bool:
        return self._http.request("GET", url).status == 200

    def _write_keys(self) -> None:
        self._pki.mkdir()
        key, public = str(self._pki / "sa.key"), str(self._pki / "sa.pub")
        openssl = find_tool("openssl")
        run([openssl, "genrsa", "-out", key, "2048"])
        run([openssl, "rsa", "-in", key, "-pubout", "-out", public])
        tokens = self._pki / "tokens.csv"
        tokens.write_text(f"{_ADMIN_TOKEN},admin,admin,system:masters\n", encoding="utf-8")

    def _kubeconfig_text(self, token: str) -> str:
        ca = base64.b64encode(Path(self.ca_file).read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": ca}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "rig", "cluster": cluster}],
                "users": [{"name": "user", "user": {"token": token}}],
                "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "user"}}],
                "current-context": "rig",
            },
            indent=2,
        )

    def _write_mesh_config(self) -> None:
        # JSON is YAML. A rename, so that istiod never reads half a file.
        fresh = self._mesh_file.with_suffix(".new")
        fresh.write_text(json.dumps(self._mesh_config), encoding="utf-8")
        fresh.replace(self._mesh_file)

    def _create_crd(self, document: str) -> str:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        crd = self.api.request("POST", path, document.encode(), content_type="application/yaml")
        return str(crd["metadata"]["name"])

    def _established(self, name: str) -> bool:
        crd = self.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
        conditions = crd.get("status", {}).get("conditions") or []
        return any(
            each["type"] == "Established" and each["status"] == "True" for each in conditions
        )

    def _install_webhook(self) -> None:
        certificate = wait_until(
            self.root_certificate, 20, "istiod to publish its root certificate", swallow=_NOT_YET
        )
        self.api.apply(istio.webhook(self.istiod_ports.https, certificate))
        wait_until(self._webhook_refuses, 20, "istiod's webhook to validate", swallow=_NOT_YET)

    def _webhook_refuses(self) -> bool:
        """Whether an EnvoyFilter that only the webhook can find wrong is refused by it."""
        bad: Object = {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "rig-probe", "namespace": ROOT_NAMESPACE},
            "spec": {"configPatches": [{"applyTo": "NETWORK_FILTER"}]},
        }
        try:
            self.api.create(bad, dry_run=True)
        except ApiError as error:
            return "denied the request" in str(error)
        return False
