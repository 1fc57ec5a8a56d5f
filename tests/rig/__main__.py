"""``python -m tests.rig``: a mesh for a person, until Ctrl-C.

``build`` only builds what has to be compiled; ``check`` says whether the rig can run here.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from . import availability, build
from .bootstrap import Node
from .control_plane import ControlPlane
from .errors import RigError
from .sidecar import PlainSidecar, Sidecar
from .workloads import Workloads


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of the commands and returns the exit code: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig", description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=("run", "build", "check"))
    parser.add_argument("--envoys", type=int, default=2, help="how many sidecars (default: 2)")
    parser.add_argument("--kubeconfig", type=Path, help="where else to write the kubeconfig")
    parser.add_argument(
        "--mtls",
        default="DISABLE",
        choices=("DISABLE", "PERMISSIVE", "STRICT"),
        help="the mesh-wide PeerAuthentication (default: DISABLE)",
    )
    options = parser.parse_args(arguments)
    try:
        if reason := availability.obstacle():
            raise RigError(reason)
        if options.command == "check":
            print(availability.unbuilt() or "the rig can run here")
        elif options.command == "build":
            build.ensure_built()
        else:
            run(options.envoys, options.kubeconfig, options.mtls)
    except RigError as error:
        print(f"rig: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(envoys: int, kubeconfig: Path | None, mtls: str) -> None:
    """Starts a control plane with plain sidecars and waits for Ctrl-C.

    Raises:
        RigError: something did not start, or ended by itself.
    """
    asked_to_end = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        asked_to_end.set()
        if number == signal.SIGINT:
            raise KeyboardInterrupt  # also in the middle of a start or a build

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(mtls=mtls))
        ports = plane.istiod_ports
        print(f"API server    {plane.server}")
        print(
            f"istiod        127.0.0.1: xDS {ports.grpc}, xDS with TLS {ports.secure_grpc}, "
            f"webhook {ports.https}, http {ports.http}, metrics {ports.monitoring}"
        )
        print(f"logs          {plane.folder}")
        sidecars = [stack.enter_context(_sidecar(plane, number)) for number in range(envoys)]
        for sidecar in sidecars:
            print(f"Envoy         {sidecar.node.name}.{sidecar.node.namespace} {sidecar.admin}")
        if kubeconfig is not None:
            kubeconfig.touch(mode=0o600)
            kubeconfig.write_text(plane.kubeconfig.read_text(encoding="utf-8"), encoding="utf-8")
        print(f"\nexport KUBECONFIG={kubeconfig or plane.kubeconfig}\n")
        print("Ctrl-C stops it all.", flush=True)
        processes = [
            plane.etcd,
            plane.apiserver,
            plane.istiod,
            *(each.process for each in sidecars),
        ]
        while not asked_to_end.wait(1):
            for process in processes:
                if not process.running:
                    raise RigError(f"{process.name} ended by itself; {process.log_tail()}")


def _sidecar(plane: ControlPlane, number: int) -> Sidecar:
    pod = Workloads(plane.api, "default").pod(f"client-{number}", labels={"app": "client"})
    xds = ("127.0.0.1", plane.istiod_ports.grpc)
    return PlainSidecar(Node.of(pod), xds, plane.folder / pod.name)


if __name__ == "__main__":
    sys.exit(main())
