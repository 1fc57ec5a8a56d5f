from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.cli.running import Run

from .conftest import SERVICE

SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: %s}
spec: {egress: [{hosts: ["%s"]}]}
"""


def test_the_arrangement_and_the_patches_of_a_sidecar(aeraki: Run, shop: Path) -> None:
    for namespace, hosts in (("istio-system", "./*"), ("web", "shop/*")):
        (shop / f"{namespace}.yaml").write_text(SIDECAR % (namespace, hosts))
    first, _ = aeraki("status", "-f", shop, "--arrangement", "imports").err.splitlines()
    assert first == (
        "arrangement imports; 1 of 1 port only for who imports them; every sidecar gets 0 patches; "
        "1 patch more in shop, which has the most"
    )


def test_a_row_for_each_port_with_a_protocol(aeraki: Run, shop: Path) -> None:
    result = aeraki("status", "-f", shop)
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        ["HOST", "PORT", "PROTOCOL", "STATE", "FILTERS", "FINDINGS"],
        ["cart.shop.svc.cluster.local", "7000", "echo", "current", "2", "-"],
    ]
    assert result.err == (
        "arrangement service; every sidecar gets 1 patch\n"
        "1 port with 2 filters; 1 port without a protocol (--all-ports); no findings\n"
    )


def test_all_ports(aeraki: Run, shop: Path) -> None:
    lines = aeraki("status", "-f", shop, "--all-ports").out.splitlines()
    assert lines[2].split() == ["cart.shop.svc.cluster.local", "80", "-", "-", "0", "-"]


def test_one_namespace_or_all(aeraki: Run, shop: Path) -> None:
    (shop / "other.yaml").write_text(
        SERVICE.replace("namespace: shop", "namespace: depot").replace("10.96.0.1", "10.96.0.2")
    )
    assert "cart.shop" in aeraki("status", "-f", shop).out
    only = aeraki("status", "-f", shop, "-n", "depot").out
    assert "cart.depot" in only
    assert "cart.shop" not in only
    assert "cart.shop" in aeraki("status", "-f", shop, "-n", "depot", "-A").out


def test_an_error_gives_1_and_is_shown(aeraki: Run, shop: Path) -> None:
    text = SERVICE.replace(
        "  name: cart\n", "  name: cart\n  annotations: {echo.aeraki.io/fail: 'true'}\n"
    )
    (shop / "cart.yaml").write_text(text)
    result = aeraki("status", "-f", shop)
    assert result.code == 1
    assert result.out.splitlines()[1].split() == [
        "cart.shop.svc.cluster.local",
        "7000",
        "echo",
        "none",
        "0",
        "AER0401",
    ]
    assert "error AER0401" in result.err


def test_json(aeraki: Run, shop: Path) -> None:
    content = json.loads(aeraki("status", "-f", shop, "-o", "json").out)
    assert content["findings"] == []
    assert content["ports"][0]["why"] == "port name 'tcp-echo'"


def test_lines_in_a_pipe_are_never_broken(aeraki: Run, tmp_path: Path) -> None:
    name = "a" * 63
    (tmp_path / "long.yaml").write_text(
        SERVICE.replace("name: cart", f"name: {name}").replace("shop", "n" * 63)
    )
    lines = aeraki("status", "-f", tmp_path).out.splitlines()
    assert len(lines) == 2
    assert f"{name}.{'n' * 63}.svc.cluster.local" in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_a_controller_may_be_named_without_a_scheme(aeraki: Run) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        result = aeraki("status", "--controller", address)
    assert result.code == 1
    assert (
        result.err == f"error: --controller: http://{address} gives no answer: Connection refused\n"
    )


def test_usage(aeraki: Run) -> None:
    result = aeraki("status")
    assert result.code == 2
    assert "aeraki status deploy/" in result.err
