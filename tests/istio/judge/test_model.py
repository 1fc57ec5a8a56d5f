"""The comparison of the modelled sidecar with istiod's answers, on answers that are made up."""

from __future__ import annotations

from aeraki_core.testing import Proxy, SidecarConfig, model_sidecar, service

from tests.istio.judge.model import MUTUAL_TLS, differences
from tests.rig.ads import ProxyConfig

CART = service("cart", {"tcp": 7000}, namespace="shop", cluster_ip="10.96.0.2")
CLUSTER = "outbound|7000||cart.shop.svc.cluster.local"
HERE = Proxy("shop", ip="10.251.0.1", dns_capture=False, mutual_tls=MUTUAL_TLS)


def answer(config: SidecarConfig) -> ProxyConfig:
    return ProxyConfig(
        {item.name: item for item in config.listeners},
        {item.name: item for item in config.clusters},
    )


def test_the_same_configuration_is_no_difference() -> None:
    assert list(differences(answer(model_sidecar([CART], HERE)), [CART], HERE)) == []


def test_a_difference_is_named_by_its_field() -> None:
    real = answer(model_sidecar([CART], HERE))
    real.clusters[CLUSTER].circuit_breakers.thresholds[0].max_connections.value = 7
    (listener,) = (item for name, item in real.listeners.items() if name == "10.96.0.2_7000")
    listener.bind_to_port.value = True
    found = dict(differences(real, [CART], HERE))
    assert found == {
        "10.96.0.2_7000": "bind_to_port is False in the model, True in istiod",
        CLUSTER: "circuit_breakers.thresholds[0].max_connections is 4294967295 in the model, "
        "7 in istiod",
    }


def test_what_one_of_them_lacks_is_a_difference() -> None:
    real = answer(model_sidecar([CART], HERE))
    assert dict(differences(real, [], HERE)) == {
        "10.96.0.2_7000": "istiod has it and the model does not",
        CLUSTER: "istiod has it and the model does not",
    }
