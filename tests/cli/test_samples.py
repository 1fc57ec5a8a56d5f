"""What a newcomer does first works on every sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Run

from .conftest import SAMPLES

PROTOCOLS = ("dubbo", "kafka", "redis", "thrift", "zookeeper")
# Stock proxies lack what one of the samples needs: `validate` says so, and this is what changes it.
EXTENSIONS = ("--proxy-extensions", "envoy.filters.network.kafka_broker")


def test_every_plugin_is_active(aeraki: Run) -> None:
    result = aeraki("plugins")
    assert result.code == 0, result.out + result.err
    assert [line.split()[:2] for line in result.out.splitlines()[1:]] == [
        [name, "active"] for name in PROTOCOLS
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestEachSample:
    def test_generate_makes_filters_without_a_word(self, aeraki: Run, protocol: str) -> None:
        result = aeraki("generate", "-f", SAMPLES / protocol, *EXTENSIONS)
        assert (result.code, result.err) == (0, "")
        labels = {
            item["metadata"]["labels"]["aeraki.io/plugin"]
            for item in yaml.safe_load_all(result.out)
        }
        assert labels == {protocol}

    @pytest.mark.envoy
    def test_validate_is_content_also_with_a_real_envoy(self, aeraki: Run, protocol: str) -> None:
        result = aeraki("validate", "--strict", "--envoy", "-f", SAMPLES / protocol, *EXTENSIONS)
        assert result.code == 0, result.out + result.err
        assert "no findings" in result.err

    def test_status_and_explain_know_every_port(self, aeraki: Run, protocol: str) -> None:
        ports = json.loads(
            aeraki("status", "-f", SAMPLES / protocol, "-o", "json", *EXTENSIONS).out
        )["ports"]
        assert {port["protocol"] for port in ports} == {protocol}
        for port in ports:
            result = aeraki(
                "explain", f"{port['host']}:{port['port']}", "-f", SAMPLES / protocol, *EXTENSIONS
            )
            assert result.code == 0
            assert f"protocol   {protocol}: " in result.out
            assert all(name in result.out for name in port["filters"])

    def test_the_plugins_page_lists_its_options(self, aeraki: Run, protocol: str) -> None:
        result = aeraki("plugins", protocol)
        assert result.code == 0
        assert f"tcp-{protocol}" in result.out


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_kubectl_makes_the_namespace_before_what_is_in_it(protocol: str) -> None:
    """It takes a folder's files by name, and a file's objects in order."""
    known: set[str] = set()
    for file in sorted((SAMPLES / protocol).iterdir()):
        for item in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if item["kind"] == "Namespace":
                known.add(item["metadata"]["name"])
            else:
                assert item["metadata"]["namespace"] in known, file.name


def test_the_controller_over_all_samples(aeraki: Run, tmp_path: Path) -> None:
    out = tmp_path / "filters"
    arguments = (
        "run",
        "--once",
        "--source",
        "files",
        "-f",
        SAMPLES,
        "--sink",
        "files",
        "--to",
        out,
    )
    first = aeraki(*arguments)
    assert first.code == 0, first.err
    written = "---\n".join(path.read_text() for path in sorted(out.iterdir()))
    generated = aeraki("generate", "-f", SAMPLES)
    assert sorted(written.split("---\n")) == sorted(generated.out.split("---\n"))
    assert ": nothing to write" in aeraki(*arguments).err
    assert aeraki("diff", "-f", SAMPLES, "--live", out).code == 0


def test_crds_of_the_resources_are_upstreams(aeraki: Run) -> None:
    names = aeraki("crds", "-o", "name").out.split()
    assert names == ["redisdestinations.redis.aeraki.io", "redisservices.redis.aeraki.io"]
    for manifest in yaml.safe_load_all(aeraki("crds").out):
        (version,) = manifest["spec"]["versions"]
        assert version["name"] == "v1alpha1"
    assert [
        item["spec"]["names"]["shortNames"] for item in yaml.safe_load_all(aeraki("crds").out)
    ] == [
        ["rd"],
        ["rsvc"],
    ]


def test_rbac_reads_secrets_for_redis_only(aeraki: Run) -> None:
    def namespaces(*arguments: str) -> list[str]:
        return [
            role["metadata"]["namespace"]
            for role in yaml.safe_load_all(aeraki("rbac", *arguments).out)
            if any("secrets" in rule["resources"] for rule in role["rules"])
        ]

    named = ("--secret-namespaces", "shop, bank")
    assert namespaces(*named) == ["bank", "shop"]
    assert namespaces() == []
    assert namespaces(*named, "--plugins", "dubbo") == []


REDIS = """\
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: cache}, ports: [{name: tcp-redis, port: 6379}]}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache, namespace: shop}
spec:
  host: [cache]
  settings: {auth: {secret: {name: cache}}}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: cache, namespace: shop}
spec:
  host: cache
  trafficPolicy: {connectionPool: {redis: {auth: {plain: {password: written-openly}}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: cache, namespace: shop}
stringData: {password: hunter2-hunter2}
"""


def test_a_password_is_in_the_filter_and_nowhere_else(aeraki: Run, tmp_path: Path) -> None:
    source, live = tmp_path / "in.yaml", tmp_path / "live"
    source.write_text(REDIS)
    live.mkdir()
    generated = aeraki("generate", "-f", source)
    assert "hunter2-hunter2" in generated.out
    assert "written-openly" in generated.out
    shown = aeraki("diff", "-f", source, "--live", live)
    assert shown.code == 1
    texts = [generated.err, shown.out, shown.err]
    for command in (
        ["status"],
        ["validate"],
        ["explain", "cache"],
        ["status", "-o", "json"],
        ["run", "--once", "--to", str(live), "--log-level", "debug", "--log-format", "json"],
    ):
        result = aeraki(*command, "-f", source)
        texts += [result.out, result.err]
    source.write_text(
        REDIS.replace("hunter2-hunter2", "hunter3-hunter3").replace("written-openly", "told-openly")
    )
    changed = aeraki("diff", "-f", source, "--live", live)
    assert changed.code == 1
    assert "*** (before)" in changed.out
    assert "*** (after)" in changed.out
    texts += [changed.out, changed.err]
    for word in ("hunter", "openly"):
        assert not [text for text in texts if word in text]
