"""Many configurations in few starts of Envoy: which of them does it refuse or warn about?

All are put into one bootstrap, with names and addresses made unique and nothing bound; equal ones
only once. Where Envoy complains, halves are tried again until the culprits are alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from aeraki_core.testing.envoy.bootstrap import static_bootstrap
from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.envoy.process import Envoy, Verdict

__all__ = ["validate_many"]

_AT_ONCE = 300

_Resources = tuple[str, dict[str, Any]]
# A configuration's name and its static_resources.


def validate_many(
    envoy: Envoy,
    configs: Mapping[str, EnvoyConfig],
    *,
    at_once: int = _AT_ONCE,
    tolerate: Collection[str] = (),
    at_most: int | None = None,
) -> dict[str, Verdict]:
    """Return the verdicts that are not clean, in the order given. Empty: all are clean.

    ``at_once``: how many go into one start of Envoy.
    ``tolerate``: warnings that contain one of these texts do not count.
    ``at_most``: look for no more culprits than that; None for all.

    A configuration that cannot be written as JSON is an error of its own.
    """
    verdicts: dict[str, Verdict] = {}
    ready: list[_Resources] = []
    addresses = _addresses()
    same: dict[tuple[bytes, ...], list[str]] = {}
    for number, (name, config) in enumerate(configs.items()):
        messages = (*config.listeners, *config.clusters)
        content = tuple(item.SerializeToString(deterministic=True) for item in messages)
        names = same.setdefault(content, [])
        names.append(name)
        if len(names) > 1:
            continue
        try:
            resources = static_bootstrap(config)["static_resources"]
        except ValueError as error:
            verdicts[name] = Verdict(errors=(str(error),))
            continue
        ready.append((name, _unique(resources, f"{number}/", addresses)))
    for start in range(0, len(ready), at_once):
        if at_most is None or len(verdicts) < at_most:
            verdicts |= _search(envoy, ready[start : start + at_once], tolerate, at_most)
    for names in same.values():
        if names[0] in verdicts:
            verdicts |= dict.fromkeys(names, verdicts[names[0]])
    return {name: verdicts[name] for name in configs if name in verdicts}


def _search(
    envoy: Envoy, items: Sequence[_Resources], tolerate: Collection[str], at_most: int | None
) -> dict[str, Verdict]:
    bootstrap = static_bootstrap(EnvoyConfig((), ()))
    for part in ("listeners", "clusters"):
        bootstrap["static_resources"][part] = [each for _, item in items for each in item[part]]
    verdict = envoy.validate_bootstrap(bootstrap, tolerate=tolerate)
    if verdict.clean:
        return {}
    if len(items) == 1:
        return {items[0][0]: verdict}
    middle = len(items) // 2
    culprits = _search(envoy, items[:middle], tolerate, at_most)
    if at_most is None or len(culprits) < at_most:
        culprits |= _search(envoy, items[middle:], tolerate, at_most)
    # Each half alone may be clean where two of them clash; then all of them share the verdict.
    return culprits or {name: verdict for name, _ in items}


def _addresses() -> Iterator[str]:
    """Addresses that no two listeners share; nothing is bound to them."""
    for number in count():
        yield f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _unique(resources: Mapping[str, Any], prefix: str, addresses: Iterator[str]) -> dict[str, Any]:
    clusters = {item["name"] for item in resources["clusters"]}
    renamed = {name: prefix + name for name in clusters}
    unique = {
        "clusters": _rename(resources["clusters"], renamed),
        "listeners": _rename(resources["listeners"], renamed),
    }
    for listener in unique["listeners"]:
        listener["name"] = prefix + listener["name"]
        listener["bind_to_port"] = False
        for holder in (listener, *listener.get("additional_addresses", ())):
            socket = holder.get("address", {}).get("socket_address")
            if socket is not None:
                socket["address"] = next(addresses)
    return unique


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """Return it with every text replaced that is a cluster's name, in filters of any kind."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _rename(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    return value
