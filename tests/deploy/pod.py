"""A pod of the rendered Deployment that really runs, without Docker.

It starts as a kubelet and a container runtime would start it, from the objects of the chart or of
the manifests, an image and the rig. The process is PID 1 of its own namespace. Its network reaches
the API server as the Service ``kubernetes``. It has a root file system of its own, and the user,
rights, variables, volumes and ServiceAccount of the Deployment, and nothing else. Tests probe it as
a kubelet does, at the addresses of its probes.
"""

from __future__ import annotations

import json
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.render_deploy import ROOT
from tests.rig import interception
from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.processes import Process, find_tool, run
from tests.waiting import wait_until

from . import dockerfile, volumes
from .chart import container, one

WAIT = 60.0  # seconds; a loaded machine is slow
# The first address of the rig's range is the Service `kubernetes`, which the API server's
# certificate names. istiod gets another.
_KUBERNETES, _ISTIOD = "10.96.0.1", "10.96.0.2"
_ISTIOD_PORT = 15012
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image that is unpacked.

    Attributes:
        root: its root file system, which is not written to.
        trees: folders of this machine that are in it too, at their own paths.
    """

    root: Path
    config: dockerfile.ImageConfig
    trees: tuple[Path, ...] = ()


def checkout() -> Image:
    """Return an image as deploy/Dockerfile would make it.

    It uses this machine's system, interpreter and checkout instead of a base image.
    """
    config = dockerfile.config()
    path = f"{Path(sys.executable).parent}:{_SYSTEM}"
    environment = {
        name: value.replace("$PATH", _SYSTEM) for name, value in config.environment.items()
    }
    config = replace(config, environment={**environment, "PATH": path})
    # The environment is usually a folder of the checkout.
    trees = [
        ROOT,
        *(Path(each) for each in (sys.prefix, sys.base_prefix) if ROOT not in Path(each).parents),
    ]
    return Image(Path("/"), config, tuple(trees))


class RunningPod:
    """One pod of the Deployment; made by `Node.start`."""

    def __init__(
        self,
        objects: Sequence[Object],
        plane: ControlPlane,
        network: interception.PodNetwork,
        image: Image,
        name: str,
        folder: Path,
    ) -> None:
        self.name = name
        self._objects, self._plane, self._image, self._folder = objects, plane, image, folder
        self.namespace = str(one(objects, "Deployment")["metadata"]["namespace"])
        self._spec: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
        self._container = container(objects)
        self.grace = float(self._spec["terminationGracePeriodSeconds"])
        """Seconds between SIGTERM and SIGKILL."""
        self._pod = network.pod(name, self.namespace, service_account=self._account)
        self._make_services_known(network)
        self._fill_volumes()
        self._process = self._start()

    # What a kubelet does

    def wait_ready(self) -> None:
        """Wait until the startup probe and then the readiness probe succeed."""
        for probe in ("startupProbe", "readinessProbe"):
            self._process.wait_ready(lambda probe=probe: self.probe(probe)[0] == 200, WAIT)  # type: ignore[misc]

    def probe(self, name: str) -> tuple[int, str]:
        """Status code and text that a probe of the container is answered."""
        asked = self._container[name]["httpGet"]
        return self.get(asked["path"], asked["port"])

    def get(self, path: str, port: str | int = "http") -> tuple[int, str]:
        """Return status code and text of an answer at the pod's address.

        ``port`` is a port of the container by number or name.
        """
        ports = {item["name"]: item["containerPort"] for item in self._container["ports"]}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(
                f"http://{self._pod.ip}:{ports.get(port, port)}{path}", timeout=30
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, /, **labels: str) -> float:
        """Return the sum of a metric's values, at the address of the Prometheus annotations."""
        annotations = one(self._objects, "Deployment")["spec"]["template"]["metadata"][
            "annotations"
        ]
        text = self.get(annotations["prometheus.io/path"], int(annotations["prometheus.io/port"]))[
            1
        ]
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return sum(
            float(value)
            for found, _, value in lines
            if found.partition("{")[0] == name
            and all(f'{key}="{text}"' in found for key, text in labels.items())
        )

    def configure(self, text: str) -> None:
        """The ConfigMap was changed to this, and the kubelet noticed."""
        (name,) = one(self._objects, "ConfigMap")["data"]
        volumes.write(self._folder / "volumes" / "settings", {name: text})

    def delete(self) -> int:
        """Send SIGTERM, and SIGKILL after the grace period; return the exit code.

        The code is negative for a signal.
        """
        self._process.stop(self.grace)
        return self.exit_code

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.running

    @property
    def exit_code(self) -> int:
        """Its exit code, negative for a signal; 0 while it runs."""
        return int(self._process.exit_code or 0)

    def kill(self) -> None:
        """As when its node dies."""
        self._process.kill()

    def close(self) -> None:
        """Remove all of it."""
        self._process.kill()
        self._pod.stop()

    # What a person does

    def output(self) -> str:
        """All that it wrote."""
        return self._process.log_text()

    def logs(self) -> list[dict[str, Any]]:
        """Every line of its log, which is JSON."""
        *lines, _ = self.output().split("\n")
        return [json.loads(line) for line in lines]

    def said(self, words: str) -> list[str]:
        """The messages of its log with these words."""
        return [line["message"] for line in self.logs() if words in line["message"]]

    def wait_for(self, words: str) -> None:
        """Wait until its log has these words."""
        self._process.wait_ready(lambda: self.said(words), WAIT)

    def execute(self, *command: str) -> str:
        """Run a command in its container, as ``kubectl exec`` does, and return what it printed."""
        (first,) = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        enter = [
            find_tool("nsenter"),
            f"--target={first}",
            "--mount",
            "--net",
            "--pid",
            "--root",
            "--wd",
        ]
        return run([*enter, "--", *self._as_container(command)], timeout=WAIT)

    # Inside

    @property
    def _account(self) -> str:
        return str(self._spec["serviceAccountName"])

    @cached_property
    def _security(self) -> Object:
        found: Object = {
            **self._spec.get("securityContext", {}),
            **self._container.get("securityContext", {}),
        }
        return found

    def _make_services_known(self, network: interception.PodNetwork) -> None:
        """What kube-proxy and DNS do for the API server and for istiod."""
        ways = [
            (_KUBERNETES, 443, urlsplit(self._plane.server).port),
            (_ISTIOD, _ISTIOD_PORT, self._plane.istiod_ports.secure_grpc),
        ]
        rules = [
            f"-A OUTPUT -d {address} -p tcp --dport {port} -j "
            f"DNAT --to-destination {network.gateway}:{real}"
            for address, port, real in ways
        ]
        self._pod.run(
            [find_tool("iptables-restore")], stdin="\n".join(["*nat", *rules, "COMMIT", ""])
        )
        for host in (f"istiod.{ROOT_NAMESPACE}", f"istiod.{ROOT_NAMESPACE}.svc"):
            self._pod.add_host(host, _ISTIOD)

    def _fill_volumes(self) -> None:
        for volume in self._spec["volumes"]:
            if volumes.size(volume) is None:
                files = volumes.files(
                    volume, self._objects, self._plane.api, self._account, self.namespace
                )
                volumes.write(self._folder / "volumes" / volume["name"], files)
        files = volumes.service_account(self._plane, self._account, self.namespace)
        volumes.write(self._folder / "volumes" / "kube-api-access", files)

    def _start(self) -> Process:
        script = self._folder / "start.sh"
        command = self._container.get("command") or self._image.config.entrypoint
        given = self._container.get("args") or self._image.config.command
        last = [
            "exec",
            "chroot",
            '"$root"',
            *map(shlex.quote, self._as_container([*command, *given])),
        ]
        script.write_text("\n".join([*self._mounts(), " ".join(last), ""]), encoding="utf-8")
        unshare = [
            find_tool("unshare"),
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
        ]
        argv = self._pod.wrap([*unshare, "--", find_tool("sh"), str(script)])
        process = Process(self.name, argv, self._folder / "container.log")
        process.start()
        return process

    def _mounts(self) -> Iterator[str]:
        """The lines of a script that makes the root file system, ``$root``."""
        layer = self._folder / "layer"
        layer.mkdir()
        yield "set -eu"
        yield f"PATH=$PATH:{_SYSTEM} layer={layer} root={layer}/root"
        yield "mount -t tmpfs tmpfs $layer && mkdir $layer/upper $layer/work $root"
        yield (
            "mount -t overlay overlay "
            f"-o lowerdir={shlex.quote(str(self._image.root))},"
            "upperdir=$layer/upper,workdir=$layer/work $root"
        )
        # A link in the image is meant for the image, so it is followed inside.
        yield 'at() { chroot $root mkdir -p "$1" && to=$root$(chroot $root realpath "$1"); }'
        yield "at /proc && mount -t proc proc $to && at /dev && mount --rbind /dev $to"
        for file in ("/etc/hosts", "/etc/resolv.conf"):
            yield (
                f"at /etc && touch $to/{Path(file).name} && "
                f"mount --bind {file} $to/{Path(file).name}"
            )
        for name, path, read_only in self._all_mounts():
            yield f"at {shlex.quote(path)}"
            (limit,) = [
                volumes.size(item) for item in self._spec["volumes"] if item["name"] == name
            ] or [None]
            if limit is not None:
                yield f"mount -t tmpfs -o size={limit},mode=0777 tmpfs $to"
            else:
                yield f"mount --bind {shlex.quote(str(self._folder / 'volumes' / name))} $to"
            if read_only:
                yield "mount -o remount,bind,ro $to"
        # After the volumes: this checkout may be in /tmp.
        for tree in map(str, self._image.trees):
            # The folders above may be closed to others than their owner.
            above = shlex.join(str(each) for each in Path(tree).parents)
            yield f"at {shlex.quote(tree)} && chroot $root chmod a+rx {above}"
            yield f"mount --rbind {shlex.quote(tree)} $to && mount -o remount,bind,ro $to"
        if self._security.get("readOnlyRootFilesystem"):
            yield "mount -o remount,bind,ro $root"

    def _all_mounts(self) -> Iterator[tuple[str, str, bool]]:
        """Volume, path, and whether it is only for reading; of all mounts of the container."""
        for mount in self._container["volumeMounts"]:
            yield mount["name"], mount["mountPath"], bool(mount.get("readOnly"))
        yield "kube-api-access", volumes.ACCOUNT_MOUNT, True

    def _as_container(self, command: Sequence[str]) -> list[str]:
        """Return the command with the container's user, rights and variables.

        It runs where the container's root is the root.
        """
        user, _, group = self._image.config.user.partition(":")
        user = str(self._security.get("runAsUser", user))
        assert not (self._security.get("runAsNonRoot") and int(user) == 0), (
            "a kubelet would not start it: it is root"
        )
        setpriv = [
            "/usr/bin/setpriv",
            f"--reuid={user}",
            f"--regid={group}",
            "--clear-groups",
            "--pdeathsig=KILL",
        ]
        if self._security.get("allowPrivilegeEscalation") is False:
            setpriv.append("--no-new-privs")
        if "ALL" in self._security.get("capabilities", {}).get("drop", ()):
            setpriv += ["--bounding-set=-all", "--inh-caps=-all"]
        variables = [f"{name}={value}" for name, value in self._environment().items()]
        return [*setpriv, "/usr/bin/env", "-i", *variables, *command]

    def _environment(self) -> Mapping[str, str]:
        fields = {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "status.podIP": self._pod.ip,
        }
        found = {
            "HOSTNAME": self.name,
            "KUBERNETES_SERVICE_HOST": _KUBERNETES,
            "KUBERNETES_SERVICE_PORT": "443",
        }
        found |= self._image.config.environment
        for item in self._container["env"]:
            source = item.get("valueFrom")
            found[item["name"]] = (
                fields[source["fieldRef"]["fieldPath"]] if source else item["value"]
            )
        return found


class Node:
    """Starts pods of rendered Deployments; `close` removes all of them."""

    def __init__(self, plane: ControlPlane, network: interception.PodNetwork, folder: Path) -> None:
        self._plane, self._network, self._folder = plane, network, folder
        self._pods: list[RunningPod] = []

    def start(self, objects: Sequence[Object], image: Image | None = None) -> RunningPod:
        """Starts one more pod of the Deployment among the objects, which are in the API server."""
        name = f"{one(objects, 'Deployment')['metadata']['name']}-{len(self._pods)}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        pod = RunningPod(objects, self._plane, self._network, image or checkout(), name, folder)
        self._pods.append(pod)
        return pod

    def close(self) -> None:
        """Remove all pods."""
        for pod in self._pods:
            pod.close()

    def show(self) -> None:
        """Print the logs of all pods, for the report of a test that failed."""
        for pod in self._pods:
            print(f"--- {pod.name} ---", *pod.output().splitlines()[-60:], sep="\n")


def find_ready(pods: Sequence[RunningPod]) -> tuple[RunningPod, RunningPod]:
    """Return the leader and the standby of two pods, once both are ready and one leads."""
    for pod in pods:
        pod.wait_ready()

    def leading() -> list[RunningPod]:
        return [pod for pod in pods if pod.probe("readinessProbe")[1] == "ok, leader\n"]

    (leader,) = wait_until(leading, WAIT, "a leader")
    (standby,) = [pod for pod in pods if pod is not leader]
    return leader, standby
