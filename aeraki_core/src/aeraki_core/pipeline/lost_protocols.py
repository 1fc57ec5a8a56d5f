"""Findings about ports whose protocol nobody speaks, or which spoke one until now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from aeraki_core.findings.codes import LOST_PROTOCOL, PORT_NOT_SPOKEN
from aeraki_core.findings.finding import Finding
from aeraki_core.model.service import Service
from aeraki_core.pipeline.detect import ProblemKind
from aeraki_core.pipeline.port_output import PortId
from aeraki_core.pipeline.ports import PortTable

__all__ = ["lost_protocols", "unspoken_ports"]

_SHOWN = 3  # names of ports in one finding


def unspoken_ports(word: str, ports: Collection[PortId]) -> tuple[Finding, ...]:
    """Return one finding for all ports that are named by a word that no plugin speaks."""
    names = sorted(f"{port.service.host}:{port.number}" for port in ports)
    if not names:
        return ()
    verb = "port is" if len(names) == 1 else "ports are"
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    message = f"{len(names)} {verb} named tcp-{word}, and no active plugin speaks {word} ({shown})"
    return (Finding(PORT_NOT_SPOKEN, message),)


def lost_protocols(
    service: Service | None, silent: Iterable[PortId], ports: PortTable
) -> Iterator[Finding]:
    """Yield a finding for each port that is still there and had filters until now."""
    for port_id in sorted(silent):
        run = ports.run_of(port_id)
        port = service.port(port_id.number) if service is not None else None
        if service is None or port is None or run is None:
            continue
        detection = ports.detection(service, port.number)
        problem = detection.problem if detection is not None else None
        if problem is not None and problem.kind is ProblemKind.EXCLUDED:
            continue  # somebody asked for it
        why = f": {detection.reason}" if detection is not None else ""
        message = f"port {port.number} spoke {run.protocol.name} and speaks no protocol now{why}"
        yield Finding(LOST_PROTOCOL, message, service.ref, "spec.ports")
