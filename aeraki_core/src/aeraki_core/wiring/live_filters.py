"""Live filters of a cluster, of a directory, or of the output of ``kubectl get envoyfilter -A``.

The output is YAML or JSON. The result is :class:`~aeraki_core.pipeline.reconcile.Live` values by
key, only of our own filters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aeraki_core.errors import AerakiError, UnreadableError
from aeraki_core.filters.output_kind import OutputKind

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.filters.live import Live
    from aeraki_core.kube.client import Client

__all__ = ["from_cluster", "from_directory", "from_text"]


def from_cluster(
    client: Client,
    namespaces: Sequence[str] = (),
    instance: str = "",
    kinds: Collection[OutputKind] = (OutputKind.ENVOY_FILTER,),
) -> dict[FilterKey, Live]:
    """Our objects in a cluster, or only in the namespaces; not of other instances.

    ``kinds``: those that must be readable. What is left of the others is found where it can be.

    Raises:
        AerakiError: the server does not answer, refuses, or knows no EnvoyFilters.
    """
    from aeraki_core.kube.errors import ApiError
    from aeraki_core.sinks.live import live_of

    live_filters: dict[FilterKey, Live] = {}
    places: tuple[str | None, ...] = tuple(sorted(set(namespaces))) or (None,)
    for kind, namespace in product(OutputKind, places):
        try:
            for item in _listed(client, kind, namespace):
                live = live_of(item, instance)
                if live is not None:
                    live_filters[live.key] = live
        except ApiError as error:
            if kind not in kinds and error.status in (403, 404):
                continue
            if error.status == 404:
                raise AerakiError(
                    f"{client.server}: the cluster knows no {kind}s; install Istio first"
                ) from None
            raise
    return live_filters


def _listed(client: Client, kind: OutputKind, namespace: str | None) -> Iterator[Any]:
    from aeraki_core.filters.envoyfilter import MANAGED_BY, MANAGER
    from aeraki_core.sinks.kubernetes.writer import resource_of

    path = resource_of(kind).path(namespace)
    for item in client.pages(path, {"labelSelector": f"{MANAGED_BY}={MANAGER}"}):
        yield {**item, "apiVersion": kind.api_version, "kind": str(kind)}


def from_directory(directory: Path, instance: str = "") -> dict[FilterKey, Live]:
    """Return the filters in the files of a directory and its subdirectories.

    Those of other instances are left out.

    Raises:
        AerakiError: the directory does not exist, or a file cannot be read: the live state is
        unknown then.
    """
    if not directory.is_dir():
        raise AerakiError(
            f"--live {directory}: there is no such directory; `-` reads from standard input"
        )
    live_filters: dict[FilterKey, Live] = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            live_filters |= from_text(path.read_bytes(), str(path), instance)
    return live_filters


def from_text(data: bytes, name: str, instance: str = "") -> dict[FilterKey, Live]:
    """Return the filters in a text of one or several documents.

    ``name`` is the text's name in messages. Filters of other instances are left out.

    Raises:
        AerakiError: it is neither YAML nor JSON; the message names the line.
    """
    from aeraki_core.manifests.read import decode, load_all, split
    from aeraki_core.sinks.live import live_of

    live_filters: dict[FilterKey, Live] = {}
    try:
        for piece in split(decode(data)):
            for _, value in load_all(piece):
                for item in _objects(value):
                    live = live_of(item, instance)
                    if live is not None:
                        live_filters[live.key] = live
    except UnreadableError as error:
        place = f"{name}:{error.line}" if error.line else name
        raise AerakiError(f"{place}: {error}; what is live cannot be told") from None
    return live_filters


def _objects(value: Any) -> Iterator[Any]:
    """The object, or those of a List."""
    if isinstance(value, Mapping):
        items = value.get("items")
        if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
            yield from items
        else:
            yield value
