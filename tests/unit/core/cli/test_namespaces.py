"""A part of the namespaces, and one of several controllers, on the command line and in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Run

from .conftest import OUTBOUND, SERVICE

OTHER = "istio-system/aeraki-outbound-cart.bank.svc.cluster.local-7000"


@pytest.fixture
def both(shop: Path) -> Path:
    """The shop, and a bank with a service of the same name."""
    bank = SERVICE.replace("namespace: shop", "namespace: bank").replace("10.96.0.1", "10.96.0.2")
    (shop / "bank.yaml").write_text(bank)
    return shop


def outbound(text: str) -> list[str]:
    return [line for line in text.splitlines() if "outbound" in line]


def test_only_the_namespaces_named(
    aeraki: Run, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outbound(aeraki("generate", "-f", both, "-o", "name").out) == [OTHER, OUTBOUND]
    result = aeraki("generate", "-f", both, "-o", "name", "--watch-namespaces", "shop")
    assert outbound(result.out) == [OUTBOUND]
    monkeypatch.setenv("AERAKI_WATCH_NAMESPACES", "bank")
    assert outbound(aeraki("generate", "-f", both, "-o", "name").out) == [OTHER]
    assert "cart.shop" not in aeraki("status", "-f", both).out


def test_the_controller_makes_the_same_of_files(aeraki: Run, both: Path, tmp_path: Path) -> None:
    chosen = ("--watch-namespaces", "shop")
    assert aeraki("run", "--once", "-f", both, "--to", tmp_path / "out", *chosen).code == 0
    written = "---\n".join(path.read_text() for path in sorted((tmp_path / "out").iterdir()))
    assert written == aeraki("generate", "-f", both, *chosen).out


@pytest.mark.parametrize("command", [("run", "--once"), ("generate",)])
def test_filters_of_other_namespaces_stay(
    aeraki: Run, both: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    out = ("-f", both, "--to", tmp_path / "out")
    aeraki(*command, *out)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(before) == 4
    assert aeraki(*command, *out, "--watch-namespaces", "shop").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_a_difference_is_told_for_these_alone(aeraki: Run, both: Path, tmp_path: Path) -> None:
    aeraki("generate", "-f", both, "--to", tmp_path / "out")
    for path in both.glob("*.yaml"):
        path.unlink()
    (both / "none.yaml").write_text("")
    result = aeraki(
        "diff", "-f", both, "--live", tmp_path / "out", "-o", "name", "--watch-namespaces", "shop"
    )
    assert outbound(result.out) == [f"delete {OUTBOUND}"]
    assert "and 1 more: namespace bank is not watched here" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--once", "--to", "out"), "files do not hold the labels of namespaces"),
        (
            ("run", "--once", "--source", "istiod", "--to", "out"),
            "istiod does not send the labels of namespaces",
        ),
        (("diff", "--live", "."), "use --live cluster"),
    ],
)
def test_labels_need_a_cluster(
    aeraki: Run, both: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = aeraki(*arguments, "-f", both, "--watch-namespace-selector", "env=prod")
    assert result.code == 2
    assert words in result.err


class TestInstance:
    def test_its_filters_say_so(self, aeraki: Run, shop: Path) -> None:
        found = list(yaml.safe_load_all(aeraki("generate", "-f", shop, "--instance", "blue").out))
        assert {item["metadata"]["labels"]["aeraki.io/instance"] for item in found} == {"blue"}

    def test_filters_of_another_are_left_alone(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        out = ("-f", shop, "--to", tmp_path / "out")
        aeraki("generate", *out, "--instance", "blue")
        before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        result = aeraki("generate", *out, "--instance", "green")
        assert result.code == 1
        assert "it is a filter of Aeraki's instance blue" in result.err
        (shop / "cart.yaml").write_text("")
        for arguments in ((), ("--instance", "green")):
            aeraki("generate", *out, *arguments)
            assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
        assert aeraki("generate", *out, "--instance", "blue").code == 0
        assert not list((tmp_path / "out").iterdir())

    def test_one_that_gets_a_name_marks_its_filters(
        self, aeraki: Run, shop: Path, tmp_path: Path
    ) -> None:
        out = ("-f", shop, "--to", tmp_path / "out")
        aeraki("generate", *out)
        assert "2 filters" in aeraki("generate", *out, "--instance", "blue").err
        assert "aeraki.io/instance: blue" in next((tmp_path / "out").iterdir()).read_text()
        assert "2 of them unchanged" in aeraki("generate", *out, "--instance", "blue").err


class TestRights:
    def test_as_the_settings_say(self, aeraki: Run, tmp_path: Path) -> None:
        file = tmp_path / "aeraki.yaml"
        file.write_text(
            "watchNamespaces: [shop]\nrootNamespace: mesh\nfilterNamespaces: [clients, '.']\n"
        )
        found = list(yaml.safe_load_all(aeraki("rbac", "--config", file, "-n", "home").out))
        places = [(item["kind"], item["metadata"].get("namespace")) for item in found]
        assert places == [
            ("ClusterRole", None),
            ("Role", "clients"),
            ("Role", "mesh"),
            ("Role", "shop"),
            ("Role", "home"),
        ]

    def test_the_lease_is_the_one_that_the_controller_takes(self, aeraki: Run) -> None:
        for arguments, name in (
            ((), "aeraki-controller"),
            (("--instance", "blue"), "aeraki-controller-blue"),
            (("--election-id", "mine"), "mine"),
        ):
            items = json.loads(aeraki("rbac", "-o", "json", *arguments).out)["items"]
            assert items[-1]["rules"][-1]["resourceNames"] == [name]
