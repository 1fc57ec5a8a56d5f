"""The page of a running controller: who answers, and what it wrote and why."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from tests.page.reading import Page, read_page
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

        def whole() -> Page | None:
            """The page with the routes and their write, which is after them."""
            page = read_page(controller.get("/")[1])
            known = ("method is transfer", "VirtualService shop/ledger changed")
            return page if all(text in page.text for text in known) else None

        # The answer is kept for some seconds, so the first one may be older than the routes.
        page = wait_until(whole, 60, "the routes on the page", seen=lambda: controller.get("/")[1])
        assert page is not None
        assert "no leader election" in page.text
        assert "sources files" in page.text
        assert "created" in page.text
        with urllib.request.urlopen(f"{controller.address}/", timeout=60) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
