"""Kubernetes YAML as users have it, for the tests of the files source."""

from __future__ import annotations

from pathlib import Path

from aeraki_core.sources.files.snapshot import Snapshot, read

KINDS = {
    ("", "Service"),
    ("", "Secret"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.istio.io", "ServiceEntry"),
    ("networking.istio.io", "VirtualService"),
    ("networking.istio.io", "DestinationRule"),
    ("echo.example.com", "EchoPolicy"),
}


def reads(api_version: str, kind: str) -> bool:
    """What the store with an echo plugin would say."""
    return (api_version.rpartition("/")[0], kind) in KINDS


def look(*paths: str | Path, **kwargs: object) -> Snapshot:
    return read(paths, reads, plugin_groups={"echo.example.com"}, **kwargs)  # type: ignore[arg-type]


def names(snapshot: Snapshot) -> list[str]:
    return [str(item.ref) for item in snapshot.objects]


def said(snapshot: Snapshot, folder: Path) -> list[tuple[str, str, int | None]]:
    """Code, file and line of each finding."""
    return [
        (item.code.id, str(Path(item.source or "").relative_to(folder)), item.line)
        for item in snapshot.findings
    ]


def service(name: str, namespace: str | None = "shop", port: int = 7000) -> str:
    where = f"  namespace: {namespace}\n" if namespace else ""
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
{where}spec:
  clusterIP: 10.0.0.1
  selector: {{app: {name}}}
  ports:
  - name: tcp-echo
    port: {port}
"""
