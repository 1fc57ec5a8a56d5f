"""The page of a running controller: who answers, and what it wrote and why."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from tests.page.reading import read_page
from tests.plugins.controller import running
from tests.waiting import wait_until

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "ledger", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "tcp-thrift", "port": 9090}]},
}
ROUTES = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "ledger", "namespace": "shop"},
    "spec": {
        "hosts": ["ledger"],
        "http": [
            {
                "match": [{"method": {"exact": "transfer"}}],
                "route": [{"destination": {"host": "ledger"}}],
            }
        ],
    },
}


def test_the_page_of_a_controller(tmp_path: Path) -> None:
    with running(tmp_path, tmp_path) as controller:
        controller.put("ledger.yaml", SERVICE)
        controller.until_filters_of("ledger")
        controller.put("routes.yaml", ROUTES)
        # The answer is kept for some seconds, so the first one may be older than the routes.
        text = wait_until(
            lambda: page if "method is transfer" in (page := controller.get("/")[1]) else "",
            120,
            "the routes on the page",
            seen=lambda: controller.get("/")[1],
        )
        page = read_page(text)
        assert "no leader election" in page.text
        assert "sources files" in page.text
        assert "created" in page.text
        assert "VirtualService shop/ledger changed" in page.text
        with urllib.request.urlopen(f"{controller.address}/", timeout=60) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
