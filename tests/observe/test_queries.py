"""Every query of the dashboards and alerts, in a real Prometheus.

It scrapes a real controller and a real Envoy. The controller reads deploy/samples from files. The
Envoy has the configuration of a client with those samples, the statistics that the snippets of the
protocols' pages ask for, and Istio's way of naming them (no default tags).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest
import yaml
from aeraki_core.testing import Envoy, Proxy, generate, objects_in, to_envoy
from aeraki_core.testing.envoy.bootstrap import static_bootstrap
from aeraki_core.testing.envoy.running import RunningEnvoy

from scripts.dashboards import DASHBOARDS
from scripts.render_deploy import CHART, ROOT
from tests.peers.needs import need
from tests.peers.processes import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy, pytest.mark.timeout(180)]

PROTOCOLS = ("dubbo", "thrift", "redis", "zookeeper", "kafka")
ABSENT_FROM_ENVOY = ("kafka",)
"""The Envoy of the tests lacks the extension."""

ALERTS = [
    rule
    for group in yaml.safe_load((CHART / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = [
    pytest.param(
        dashboard.name, query.expression, id=f"{dashboard.name}: {panel.title} {query.legend}"
    )
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for query in panel.queries
]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def inclusion(protocol: str) -> list[str]:
    """The patterns of the page's snippet for the mesh configuration."""
    blocks = re.findall(r"```yaml\n(.*?)```", page(f"protocols/{protocol}.md"), re.DOTALL)
    (snippet,) = [block for block in blocks if "proxyStatsMatcher" in block]
    patterns: list[str] = yaml.safe_load(snippet)["defaultConfig"]["proxyStatsMatcher"][
        "inclusionRegexps"
    ]
    return patterns


@contextmanager
def served(text: str) -> Iterator[str]:
    """An address whose every path answers with this exposition text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def controller(folder: Path) -> Iterator[str]:
    """``aeraki run`` over the samples; its address, once the first pass is over."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "aeraki_core", "run", "--source", "files", "--sink", "files"]
    command += ["-f", str(ROOT / "deploy" / "samples"), "--to", str(folder)]
    with (folder.parent / "controller.log").open("w") as log:
        child = subprocess.Popen([*command, "--http-address", address], stdout=log, stderr=log)
    try:
        wait_until(
            lambda: fetch(f"http://{address}/readyz"),
            60,
            "the controller's first pass",
            swallow=(OSError,),
        )
        yield address
    finally:
        child.terminate()
        child.wait(20)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture(scope="module")
def proxy_stats() -> str:
    """What a client's Envoy exposes for Prometheus, limited to what the pages' snippets ask for."""
    samples = (ROOT / "deploy" / "samples").rglob("*.yaml")
    text = "\n---\n".join(path.read_text(encoding="utf-8") for path in sorted(samples))
    config = to_envoy(generate(objects_in(text)).sidecar(Proxy("client")).config)
    patterns = [
        {"safe_regex": {"regex": pattern}}
        for protocol in PROTOCOLS
        for pattern in inclusion(protocol)
    ]
    envoy = Envoy.find()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aeraki-")))
        bootstrap = static_bootstrap(config, folder / "admin.sock")
        bootstrap["stats_config"] = {
            "use_all_default_tags": False,
            "stats_matcher": {"inclusion_list": {"patterns": patterns}},
        }
        running = RunningEnvoy(
            envoy._start(folder, bootstrap, "info"), folder / "admin.sock", bootstrap
        )
        stack.callback(running.stop)
        running.wait_until_live()
        return running.admin("/stats/prometheus")


@pytest.fixture(scope="module")
def controller_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("run") / "filters"
    folder.mkdir()
    with controller(folder) as address:
        yield address


@pytest.fixture(scope="module")
def prometheus(
    proxy_stats: str, controller_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A Prometheus that has scraped both at least twice and loaded the alerts; its address."""
    need("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with served(proxy_stats) as proxy:
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [address]}]}
            for name, address in (("aeraki", controller_address), ("istio-proxy", proxy))
        ]
        config = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": [str(CHART / "alerts.yaml")],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
        with (folder / "log").open("w") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            # The panels' subqueries have a point every 15 s, on the clock: two of them need 30 s of
            # scrapes.
            scraped = "count(sum_over_time(up[1m]) > 40) == 2"
            wait_until(
                lambda: ask(address, scraped),
                90,
                "enough scrapes",
                swallow=(OSError, AssertionError),
            )
            yield address
        finally:
            child.terminate()
            child.wait(20)


def ask(address: str, query: str) -> list[Any]:
    """The series that a query gives."""
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        answer = json.loads(fetch(url))
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from None
    series: list[Any] = answer["data"]["result"]
    return series


# What a controller on files without failures has nothing to say about.
SILENT = ("rest_client_requests_total", "leader_election_master_status")


@pytest.mark.parametrize(("dashboard", "expression"), QUERIES)
def test_a_panel_has_something_to_show(prometheus: str, dashboard: str, expression: str) -> None:
    series = ask(prometheus, expression)
    if dashboard in ABSENT_FROM_ENVOY or any(name in expression for name in SILENT):
        return
    assert series, expression


@pytest.mark.parametrize("protocol", ["dubbo", "thrift", "redis", "zookeeper"])
def test_a_line_is_called_after_its_service(prometheus: str, protocol: str) -> None:
    (dashboard,) = [each for each in DASHBOARDS if each.name == protocol]
    series = ask(prometheus, dashboard.panels[0].queries[0].expression)
    services = {each["metric"]["service"] for each in series}
    assert any("svc_cluster_local" in service for service in services), services


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_can_be_evaluated_and_is_quiet_when_all_is_well(
    prometheus: str, alert: dict[str, Any]
) -> None:
    firing = ask(prometheus, alert["expr"])
    # Kafka's sample has a finding, but no error. Its port has no filter, because the proxies lack
    # the extension.
    assert firing == [] or alert["alert"] == "AerakiPortWithoutFilter", firing


def test_the_rules_are_loaded(prometheus: str) -> None:
    rules = json.loads(fetch(f"http://{prometheus}/api/v1/rules"))["data"]["groups"][0]["rules"]
    assert {rule["name"]: rule["health"] for rule in rules} == {
        alert["alert"]: "ok" for alert in ALERTS
    }


def names_in(text: str) -> set[str]:
    """Every name of a metric in a page or a query."""
    prefixes = "aeraki|controller_runtime|workqueue|rest_client|leader_election"
    return set(re.findall(rf"\b(?:{prefixes})_[a-z_]+\b", text))


def test_every_metric_that_is_named_exists(controller_address: str) -> None:
    exposed = fetch(f"http://{controller_address}/metrics")
    families = set(re.findall(r"^# TYPE (\S+)", exposed, re.MULTILINE))
    families |= set(re.findall(r"^(\w+?)(?:\{| )", exposed, re.MULTILINE))
    queries = " ".join(
        query.expression
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
    )
    table = " ".join(re.findall(r"^\|.*\|$", page("cluster.md"), re.MULTILINE))
    metrics = re.findall(
        r"`((?:aeraki|controller_runtime|workqueue|rest_client|leader)_\w+)", table
    )
    named = {
        *names_in(queries),
        *names_in(" ".join(alert["expr"] for alert in ALERTS)),
        *metrics,
        *re.findall(r"`(aeraki_\w+|workqueue_\w+|controller_runtime_\w+)", page("runbook.md")),
    }
    assert len(named) > 15
    assert {name for name in named if name not in families} == set()


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in ABSENT_FROM_ENVOY])
def test_the_statistics_that_a_page_names_pass_its_snippet(protocol: str, proxy_stats: str) -> None:
    text = page(f"protocols/{protocol}.md")
    section = text[text.index("\n## Statistics\n") :].split("\n## ")[1]
    statistics = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    assert len(statistics) >= 3
    for statistic in statistics:
        name = statistic.replace(".", "_")
        assert re.search(rf"^envoy_\S+_{name}(_bucket)?\{{", proxy_stats, re.MULTILINE), statistic


def test_every_alert_has_a_section_in_the_runbook() -> None:
    sections = re.findall(r"^## (Aeraki\w+)$", page("runbook.md"), re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]
