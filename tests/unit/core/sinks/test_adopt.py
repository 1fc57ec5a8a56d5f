"""Which filters of upstream's ours supersede."""

from __future__ import annotations

import pytest
from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.sinks.kubernetes.upstream import superseded

OURS = [ServicePort("cache.shop.svc.cluster.local", 6379)]


@pytest.mark.parametrize(
    ("name", "adopted"),
    [
        ("aeraki-outbound-cache.shop.svc.cluster.local-10.96.0.1-6379", True),
        ("aeraki-inbound-cache.shop.svc.cluster.local-6379", True),
        ("aeraki-outbound-cache.shop.svc.cluster.local", True),  # an older release
        ("aeraki-outbound-cache.shop.svc.cluster.local-10.96.0.1-6380", False),
        ("aeraki-outbound-other.shop.svc.cluster.local-10.96.0.1-6379", False),
        ("aeraki-outbound-my-cache.shop.svc.cluster.local-10.96.0.1-6379", False),
        ("aeraki-metaprotocol-cache.shop.svc.cluster.local", False),
        ("cache.shop.svc.cluster.local-6379", False),
    ],
)
def test_only_what_is_for_a_service_port_of_ours(name: str, adopted: bool) -> None:
    key = FilterKey("istio-system", name)
    assert superseded([key], OURS) == ([key] if adopted else [])
