from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.running import Run

from .conftest import BROKEN, OUTBOUND, SERVICE

INBOUND = "shop/aeraki-inbound-app-cart-"


def test_prints_the_filters_as_yaml_and_nothing_else(aeraki: Run, shop: Path) -> None:
    result = aeraki("generate", "-f", shop)
    assert (result.code, result.err) == (0, "")
    documents = list(yaml.safe_load_all(result.out))
    assert {document["kind"] for document in documents} == {"EnvoyFilter"}
    names = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in documents]
    assert names[0] == OUTBOUND
    assert names[1].startswith(INBOUND)


def test_gives_the_same_bytes_again(aeraki: Run, shop: Path) -> None:
    assert aeraki("generate", "-f", shop).out == aeraki("generate", "-f", shop).out


def test_reads_standard_input(aeraki: Run, shop: Path) -> None:
    assert aeraki("generate", "-f", "-", stdin=SERVICE).out == aeraki("generate", "-f", shop).out


def test_names_alone(aeraki: Run, shop: Path) -> None:
    lines = aeraki("generate", "-f", shop, "-o", "name").out.splitlines()
    assert lines[0] == OUTBOUND
    assert len(lines) == 2


def test_json_is_one_list(aeraki: Run, shop: Path) -> None:
    content = json.loads(aeraki("generate", "-f", shop, "-o", "json").out)
    assert content["kind"] == "List"
    assert [item["kind"] for item in content["items"]] == ["EnvoyFilter", "EnvoyFilter"]


def test_an_error_in_one_object_gives_1_and_the_filters_of_the_others(
    aeraki: Run, shop: Path
) -> None:
    (shop / "bad.yaml").write_text(
        "apiVersion: v1\n"
        "kind: Service\n"
        "metadata: {name: bad, namespace: shop}\n"
        "spec:\n"
        "  ports: [{port: none}]\n"
    )
    result = aeraki("generate", "-f", shop, "-o", "name")
    assert result.code == 1
    assert result.out.startswith(OUTBOUND)
    assert f"{shop}/bad.yaml:5: error AER0106: " in result.err
    assert "Correct the field" in result.err


def test_a_plugin_that_raises_gives_1(aeraki: Run, shop: Path) -> None:
    text = SERVICE.replace(
        "  name: cart\n", "  name: cart\n  annotations: {echo.aeraki.io/fail: 'true'}\n"
    )
    (shop / "cart.yaml").write_text(text)
    result = aeraki("generate", "-f", shop)
    assert (result.code, result.out) == (1, "")
    assert "error AER0401: " in result.err
    assert "Traceback" not in result.err
    assert "in aeraki_generate" in aeraki("generate", "-f", shop, "--debug").err
    assert (
        "in aeraki_generate" in aeraki("generate", "-f", shop, "--log-level", "plugins:debug").err
    )


def test_a_warning_alone_gives_0(aeraki: Run, shop: Path) -> None:
    text = SERVICE.replace(
        "  name: cart\n", "  name: cart\n  annotations: {echo.aeraki.io/volume: '12'}\n"
    )
    (shop / "cart.yaml").write_text(text)
    result = aeraki("generate", "-f", shop)
    assert result.code == 0
    assert f"{shop}/cart.yaml:5: warning AER0111: " in result.err


def test_a_path_that_is_not_there_gives_2_and_is_named(aeraki: Run, tmp_path: Path) -> None:
    result = aeraki("generate", "-f", tmp_path / "nowhere")
    assert result.code == 2
    assert str(tmp_path / "nowhere") in result.err


def test_without_a_path_it_says_how_to_give_one(aeraki: Run) -> None:
    result = aeraki("generate")
    assert result.code == 2
    assert "Usage: aeraki generate" in result.err
    assert "aeraki generate deploy/" in result.err


def test_paths_may_come_from_the_environment_or_the_file(
    aeraki: Run, shop: Path, tmp_path: Path
) -> None:
    config = tmp_path / "aeraki.yaml"
    config.write_text(f"paths: [{shop}]\nrootNamespace: istio-config\n")
    result = aeraki("generate", "--config", config, "-o", "name")
    assert result.out.startswith("istio-config/aeraki-outbound-cart")


def test_when_nothing_comes_out_it_says_why(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVICE.replace("tcp-echo", "tcp"))
    result = aeraki("generate", "-f", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert "No filter" in result.err
    assert "tcp-echo" in result.err
    assert "no Service" in aeraki("generate", "-f", "-", stdin="").err
    assert "no plugin is active" in aeraki("generate", "-f", tmp_path, "--plugins", "").err


def test_objects_without_a_namespace_get_the_one_given(aeraki: Run) -> None:
    text = SERVICE.replace("  namespace: shop\n", "")
    assert (
        "cart.depot.svc"
        in aeraki("generate", "-f", "-", "-n", "depot", "-o", "name", stdin=text).out
    )


class TestToDirectory:
    def test_writes_one_file_for_each_filter(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        result = aeraki("generate", "-f", shop, "--to", tmp_path / "out")
        assert (result.code, result.out) == (0, "")
        files = sorted((tmp_path / "out").iterdir())
        assert len(files) == 2
        together = "---\n".join(file.read_text() for file in files)
        assert together == aeraki("generate", "-f", shop).out
        assert f"create  {OUTBOUND}" in result.err

    def test_again_it_writes_nothing(self, aeraki: Run, shop: Path, tmp_path: Path) -> None:
        aeraki("generate", "-f", shop, "--to", tmp_path / "out")
        result = aeraki("generate", "-f", shop, "--to", tmp_path / "out")
        assert result.err == f"2 filters in {tmp_path / 'out'}, 2 of them unchanged\n"

    def test_removes_what_nothing_makes_any_more_and_no_other_file(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        aeraki("generate", "-f", shop, "--to", out)
        (out / "kustomization.yaml").write_text("resources: []\n")
        (shop / "cart.yaml").unlink()
        result = aeraki("generate", "-f", shop, "--to", out)
        assert result.code == 0
        assert [path.name for path in out.iterdir()] == ["kustomization.yaml"]
        assert f"delete  {OUTBOUND}" in result.err

    def test_removes_nothing_when_a_file_cannot_be_read(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        aeraki("generate", "-f", shop, "--to", out)
        (shop / "cart.yaml").write_text(BROKEN)
        result = aeraki("generate", "-f", shop, "--to", out)
        assert result.code == 1
        assert len(list(out.iterdir())) == 2
        assert f"keep  {OUTBOUND}" in result.err

    def test_a_directory_that_cannot_be_made_gives_1(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        result = aeraki("generate", "-f", shop, "--to", tmp_path / "file" / "out")
        assert result.code == 1
        assert "error: " in result.err
        assert "Traceback" not in result.err
