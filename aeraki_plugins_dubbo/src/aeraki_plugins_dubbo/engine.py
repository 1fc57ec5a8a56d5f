"""The two Envoy filters that speak Dubbo, and how each is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from google.protobuf.message import Message

from aeraki_core import Route
from aeraki_plugins_dubbo import dubbo_proxy, generic_proxy
from aeraki_plugins_dubbo.called import Called

__all__ = ["CONFIGS", "Engine"]


class Engine(StrEnum):
    """An Envoy filter, by its name."""

    DUBBO_PROXY = "envoy.filters.network.dubbo_proxy"
    GENERIC_PROXY = "envoy.filters.network.generic_proxy"


CONFIGS: Mapping[Engine, Callable[[str, Called, tuple[Route, ...]], Message]] = {
    Engine.DUBBO_PROXY: dubbo_proxy.config,
    Engine.GENERIC_PROXY: generic_proxy.config,
}
"""The config of a filter, of its stat prefix, the calls that it takes, and its routes."""
