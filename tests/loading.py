"""Thousands of configurations before a real Envoy, each distinct one once.

A test that varies its input makes the same configuration again and again: of the odd inputs of the
golden cases one configuration in thirteen is a new one, of the random meshes one in three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aeraki_core.testing import Envoy, EnvoyConfig, Verdict, validate_many

# Envoy warns that this filter is work in progress, and no setting avoids that
# (docs/protocols/dubbo.md).
WORK_IN_PROGRESS = "generic_proxy"


def refused(
    envoy: Envoy, configs: Mapping[str, EnvoyConfig], *, tolerate: Collection[str] = ()
) -> dict[str, Verdict]:
    """Return the verdicts of those that Envoy refuses or warns of, as `validate_many` does.

    Filters that this Envoy lacks are left out before loading. Give `tolerate` the expected
    warnings: each configuration with another warning costs several starts of Envoy.
    """
    loadable: dict[str, EnvoyConfig] = {}
    first_of: dict[tuple[bytes, ...], str] = {}
    twin_of: dict[str, str] = {}
    for name, config in configs.items():
        first = first_of.setdefault(_content(config), name)
        twin_of[name] = first
        if first == name:
            lacking = envoy.lacking(config)
            loadable[name] = envoy.without(config, lacking) if lacking else config
    verdicts = validate_many(envoy, loadable, tolerate=tolerate)
    return {name: verdicts[first] for name, first in twin_of.items() if first in verdicts}


def _content(config: EnvoyConfig) -> tuple[bytes, ...]:
    messages = (*config.listeners, *config.clusters)
    return tuple(message.SerializeToString(deterministic=True) for message in messages)
