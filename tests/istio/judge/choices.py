"""What random meshes choose from: the namespaces, hosts and ports of slot 0."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.rig.api import Object

__all__ = [
    "ADDRESSES",
    "AGES",
    "CART",
    "CLIENT_LABELS",
    "ENTRY_HOSTS",
    "HOSTS",
    "NAMESPACES",
    "NETWORK",
    "PORTS",
    "PROTOCOLS",
    "ROOT_NAMESPACE",
    "SERVICES",
    "SUBSETS",
    "Choices",
    "client_address",
    "istio",
]

NAMESPACES = ("j0-shop", "j0-bank", "j0-crm", "j0-front")
"""Each has one client; nothing is ever written into the last, which is everybody else."""

CLIENT_LABELS = {"app": "cart"}
"""Those of each client's pod: it serves the Services of its namespace that select them."""


def client_address(namespace: str) -> str:
    """The address of a namespace's client, in any slot."""
    slot, _, name = namespace.removeprefix("j").partition("-")
    return f"10.251.{slot}.{NAMESPACES.index(f'j0-{name}') + 1}"


ROOT_NAMESPACE = "istio-system"
AGES = (
    "2024-01-01T00:00:00Z",
    "2024-02-01T00:00:00Z",
    "2024-03-01T00:00:00Z",
    "2024-04-01T00:00:00Z",
)
PORTS = (30001, 30002, 30003)
PROTOCOLS = ("redis", "dubbo", "thrift", "zookeeper")
SUBSETS = ("v1", "v2")
SERVICES = (("cart", "j0-shop"), ("cart", "j0-bank"), ("stock", "j0-shop"))
ADDRESSES = {key: f"10.96.200.{number}" for number, key in enumerate(SERVICES, start=1)}
CART = "cart.j0-shop.svc.cluster.local"
ENTRY_HOSTS = ("db.j0.example.com", "api.j0.example.com")
HOSTS = (*(f"{name}.{space}.svc.cluster.local" for name, space in SERVICES), *ENTRY_HOSTS)
NETWORK = "type.googleapis.com/envoy.extensions.filters.network"


def istio(kind: str, name: str, spec: Object, *, namespace: str) -> Object:
    """An object of Istio's."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


class Choices:
    """Random choices of one generator."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def _namespace(self, *, root: bool = False) -> str:
        if root and self._chance(0.15):
            return ROOT_NAMESPACE
        return str(self._pick("j0-shop", "j0-shop", "j0-bank", "j0-crm"))

    def _host(self) -> str:
        return str(self._pick(CART, CART, *HOSTS))

    def _exported(self) -> list[str] | None:
        drawn: list[str] | None = self._pick(
            None, None, None, ["*"], ["."], ["j0-crm"], [".", "j0-crm"], ["j0-bank"]
        )
        return drawn

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _number(self, *numbers: int) -> int:
        return self._random.choice(numbers)

    def _pick(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _some(self, choices: Any, least: int, most: int) -> list[Any]:
        return self._random.sample(choices, self._random.randint(least, most))
