"""Live filters for a diff: those of a directory, or of the YAML or JSON that ``kubectl get envoyfilter -A -o yaml`` gives.

In: a directory, or text. Out: :class:`~aeraki_core.reconcile.Live` values by key; only our own count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aeraki_core.errors import AerakiError, UnreadableError

if TYPE_CHECKING:
    from aeraki_core.envoyfilter import FilterKey
    from aeraki_core.reconcile import Live

__all__ = ["from_directory", "from_text"]


def from_directory(directory: Path) -> dict[FilterKey, Live]:
    """The filters in the files of a directory and of those below it.

    Raises:
        AerakiError: there is no such directory, or a file cannot be read: what is live is not known then.
    """
    if not directory.is_dir():
        raise AerakiError(f"--live {directory}: there is no such directory; `-` reads from standard input")
    found: dict[FilterKey, Live] = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            found |= from_text(path.read_bytes(), str(path))
    return found


def from_text(data: bytes, name: str) -> dict[FilterKey, Live]:
    """The filters in a text of one or several documents. ``name`` is what messages call it.

    Raises:
        AerakiError: it is neither YAML nor JSON; it names the line.
    """
    from aeraki_core.documents import decode, load_all, split
    from aeraki_core.envoyfilter import is_ours

    found: dict[FilterKey, Live] = {}
    try:
        for piece in split(decode(data)):
            for _, value in load_all(piece):
                for item in _objects(value):
                    if item.get("kind") == "EnvoyFilter" and is_ours(item):
                        live = _live(item)
                        found[live.key] = live
    except UnreadableError as error:
        place = f"{name}:{error.line}" if error.line else name
        raise AerakiError(f"{place}: {error}; what is live cannot be told") from None
    return found


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The object, or those of a List."""
    if isinstance(value, Mapping):
        items = value.get("items")
        if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
            yield from (item for item in items if isinstance(item, Mapping))
        else:
            yield value


def _live(content: Mapping[str, Any]) -> Live:
    from aeraki_core.envoyfilter import PLUGIN_LABEL, SERVICES_ANNOTATION, FilterKey, from_dict, parse_owners
    from aeraki_core.reconcile import Live

    metadata = content["metadata"]
    key = FilterKey(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
    plugin = str((metadata.get("labels") or {}).get(PLUGIN_LABEL, ""))
    try:
        item = from_dict(content)
        return Live(key, item.plugin, item.owners, item)
    except ValueError:
        pass
    try:
        owners = parse_owners(str((metadata.get("annotations") or {}).get(SERVICES_ANNOTATION, "")))
    except ValueError:
        owners = ()
    return Live(key, plugin, owners, None)
