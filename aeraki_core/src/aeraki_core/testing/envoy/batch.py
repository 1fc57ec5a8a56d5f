"""Many configurations in few starts of Envoy: which of them does it refuse or warn about?

In: configurations by name. Out: a verdict for each that is not clean. All are put into one bootstrap, with names and
addresses made unique and nothing bound; where Envoy complains, halves are tried again until the culprits are alone. One
start holds some hundreds.
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

_Resources = tuple[str, dict[str, Any]]  # the name that the caller gave, and static_resources


def validate_many(
    envoy: Envoy,
    configs: Mapping[str, EnvoyConfig],
    *,
    at_once: int = _AT_ONCE,
    tolerate: Collection[str] = (),
) -> dict[str, Verdict]:
    """The verdicts of those configurations that are not clean, in the order given. Empty: all are.

    ``at_once``: how many go into one start of Envoy. ``tolerate``: warnings that contain one of these texts do not count.
    A configuration that cannot be written as JSON is an error of its own.
    """
    found: dict[str, Verdict] = {}
    ready: list[_Resources] = []
    addresses = _addresses()
    for number, (name, config) in enumerate(configs.items()):
        try:
            resources = static_bootstrap(config)["static_resources"]
        except ValueError as error:
            found[name] = Verdict(errors=(str(error),))
            continue
        ready.append((name, _unique(resources, f"{number}/", addresses)))
    for start in range(0, len(ready), at_once):
        found.update(_search(envoy, ready[start : start + at_once], tolerate))
    return {name: found[name] for name in configs if name in found}


def _search(
    envoy: Envoy, items: Sequence[_Resources], tolerate: Collection[str]
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
    found = _search(envoy, items[:middle], tolerate) | _search(envoy, items[middle:], tolerate)
    # Each half alone may be clean where two of them clash; then all of them share what was said.
    return found or {name: verdict for name, _ in items}


def _addresses() -> Iterator[str]:
    """Addresses that no two listeners share; nothing is bound to them."""
    for number in count():
        yield f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _unique(resources: Mapping[str, Any], prefix: str, addresses: Iterator[str]) -> dict[str, Any]:
    clusters = {item["name"] for item in resources["clusters"]}
    renamed = {name: prefix + name for name in clusters}
    found = {
        "clusters": _rename(resources["clusters"], renamed),
        "listeners": _rename(resources["listeners"], renamed),
    }
    for listener in found["listeners"]:
        listener["name"] = prefix + listener["name"]
        listener["bind_to_port"] = False
        for holder in (listener, *listener.get("additional_addresses", ())):
            socket = holder.get("address", {}).get("socket_address")
            if socket is not None:
                socket["address"] = next(addresses)
    return found


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """The same with every text that is a cluster's name replaced: wherever a filter of any kind names a cluster."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _rename(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    return value
