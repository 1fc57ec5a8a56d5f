"""Which service ports a text means: a host as people write it, or a name that Envoy shows.

At three in the morning the only clue is often what ``istioctl proxy-config`` prints: an address, a
listener, a cluster, an EnvoyFilter. Each of them leads back to service ports.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from aeraki_core.errors import AerakiError, SettingsError
from aeraki_core.filters.cluster_name import ClusterName
from aeraki_core.findings.text import and_more

if TYPE_CHECKING:
    from aeraki_core.mesh.store import Store
    from aeraki_core.model.service import Port, Service
    from aeraki_core.pipeline.pipeline import Pipeline

__all__ = ["NotThereError", "PortMatch", "ports_meant"]

# 10.1.2.3:80 and [::1]:80, and listeners, which Istio names 10.1.2.3_80 and ::1_80.
_ADDRESS = re.compile(
    r"(?P<ipv4>[0-9.]+)(?:[:_](?P<port>[0-9]{1,5}))?"
    r"|\[?(?P<ipv6>[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(?:(?:\]:|_)(?P<port6>[0-9]{1,5})|\])?"
)
_MOST = 10  # names in an error


class NotThereError(AerakiError):
    """There is no such service or port, or the name can mean several."""


class PortMatch(NamedTuple):
    """A port of a service."""

    service: Service
    port: Port


def ports_meant(pipeline: Pipeline, text: str) -> tuple[PortMatch, ...]:
    """Return the service ports that a text matches, sorted by host and port; never empty.

    ``HOST`` or ``HOST:PORT``, where the first labels of a host do if they are unique; an address, a
    listener (``10.1.2.3_20880``), a cluster (``outbound|20880|v1|HOST``), or the name of an
    EnvoyFilter.

    Raises:
        NotThereError: nothing has that name, or several have; the message says which.
        SettingsError: the text is of no such form.
    """
    text = text.strip()
    if "|" in text:
        return _of_cluster(pipeline.store, text)
    matches = _of_filter(pipeline, text) or _of_address(pipeline.store, text)
    return matches or _of_host(pipeline.store, text)


def _hosts_meant(text: str, known: Iterable[str]) -> list[str]:
    """Return the hosts that a text matches: the host itself, or all that begin with its labels."""
    known = list(known)
    return [text] if text in known else [host for host in known if host.startswith(f"{text}.")]


def _targets(store: Store) -> Iterator[PortMatch]:
    """Yield every port of every service, sorted."""
    for service in sorted(store.services(), key=lambda service: (service.host, service.ref)):
        yield from (PortMatch(service, port) for port in service.ports)


def _of_cluster(store: Store, text: str) -> tuple[PortMatch, ...]:
    try:
        cluster = ClusterName.parse(text)
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a cluster of Istio; write DIRECTION|PORT|SUBSET|HOST"
        ) from None
    if cluster.host:
        return _of_host(store, f"{cluster.host}:{cluster.port}")
    # The cluster of a workload's own port names no host, only the number that it listens on.
    matches = tuple(target for target in _targets(store) if target.port.target == cluster.port)
    if not matches:
        raise NotThereError(f"no service has the target port {cluster.port}")
    return matches


def _of_filter(pipeline: Pipeline, text: str) -> tuple[PortMatch, ...]:
    """Return the ports of an EnvoyFilter; empty if none of ours has that name."""
    name = text.removeprefix("EnvoyFilter ")
    wanted = {
        service_port
        for key, envoy_filter in pipeline.filters.items()
        if name in (str(key), key.name)
        for service_port in envoy_filter.service_ports
    }
    return tuple(
        target
        for target in (_targets(pipeline.store) if wanted else ())
        if (target.service.host, target.port.number) in wanted
    )


def _of_address(store: Store, text: str) -> tuple[PortMatch, ...]:
    """Return the ports behind an address or a listener; empty if the text is no address.

    Raises:
        NotThereError: no service has that address.
    """
    match = _ADDRESS.fullmatch(text)
    address = match and (match["ipv4"] or match["ipv6"])
    if not match or not address or not _is_ip(address):
        return ()
    text_of_port = match["port"] or match["port6"]
    number = int(text_of_port) if text_of_port else None
    matches = tuple(
        target
        for target in _targets(store)
        if number in (None, target.port.number) and _has_address(store, target, address)
    )
    if not matches:
        at = f" on port {number}" if number else ""
        raise NotThereError(f"no service has the address {address}{at}")
    return matches


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _has_address(store: Store, target: PortMatch, address: str) -> bool:
    service, number = target.service, target.port.number
    if address in (*service.addresses, *service.auto_addresses, *service.remote_addresses):
        return True
    endpoints = store.endpoints(service.namespace, service.ref.name)
    if service.ref.kind == "Service" and address in endpoints.addresses:
        return True
    from aeraki_core.model.listeners import outbound_listeners

    listeners = outbound_listeners(
        service,
        target.port,
        store.port_endpoints(service, target.port),
        headless_filter_chains=store.mesh.headless_filter_chains,
    )
    return any(listener.name == f"{address}_{number}" for listener in listeners)


def _of_host(store: Store, text: str) -> tuple[PortMatch, ...]:
    host, port = _split(text)
    # Only that service is looked at: a mesh may have ten thousand.
    known = sorted({service.host for service in store.services()})
    hosts = _hosts_meant(host, known)
    if not hosts:
        _refuse_external_name(store, host)
    if len(hosts) != 1:
        raise NotThereError(_not_found(host, hosts, known))
    every = [target for target in _targets(store) if target.service.host == hosts[0]]
    matches = tuple(target for target in every if port in (None, target.port.number))
    if not matches:
        numbers = ", ".join(str(target.port.number) for target in every)
        raise NotThereError(f"{hosts[0]} has no port {port}; it has {numbers}")
    return matches


def _refuse_external_name(store: Store, host: str) -> None:
    """Raise for a Service of type ExternalName, which has no listener.

    Raises:
        NotThereError: it is one; the message says where its calls go.
    """
    for external in store.external_names:
        name = external.service.host
        if host == name or name.startswith(f"{host}."):
            raise NotThereError(
                f"{name} is an ExternalName Service: calls go to {external.target} by DNS, and the "
                "port of that host counts"
            )


def _split(target: str) -> tuple[str, int | None]:
    host, colon, port = target.rpartition(":")
    if not colon:
        return target.lower(), None
    if not port.isdecimal():
        raise SettingsError(f"{port!r} is not a port number; write HOST or HOST:PORT")
    return host.lower(), int(port)


def _not_found(host: str, hosts: list[str], known: list[str]) -> str:
    if hosts:
        return f"{host!r} can mean {and_more(hosts, _MOST)}; write more of it"
    if not known:
        return f"no service {host!r}: there is no service at all"
    short = {name.partition(".")[0]: name for name in known}
    near = difflib.get_close_matches(host, known, n=3, cutoff=0.5) or [
        short[name] for name in difflib.get_close_matches(host.partition(".")[0], short, n=3)
    ]
    if near:
        return f"no service {host!r}; did you mean {' or '.join(near)}?"
    return f"no service {host!r}; there are {len(known)}; `aeraki status --all-ports` lists them"
