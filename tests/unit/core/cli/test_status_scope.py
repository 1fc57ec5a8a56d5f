"""What `aeraki status` counts: one namespace alone, and ports whose names are nearly right."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import Run

from .conftest import SERVICE


def test_a_namespace_shows_counts_and_exits_by_itself_alone(aeraki: Run, shop: Path) -> None:
    failing = "  name: cart\n  annotations: {echo.aeraki.io/fail: 'true'}\n"
    (shop / "cart.yaml").write_text(SERVICE.replace("  name: cart\n", failing))
    (shop / "other.yaml").write_text(
        SERVICE.replace("namespace: shop", "namespace: depot").replace("10.96.0.1", "10.96.0.2")
    )
    good = aeraki("status", "-f", shop, "-n", "depot")
    assert good.code == 0
    assert good.err.endswith(
        "\n1 port with 2 filters; 1 port without a protocol (--all-ports); no findings\n"
    )
    assert aeraki("status", "-f", shop, "-n", "shop").code == 1
    nobody = aeraki("status", "-f", shop, "-n", "nowhere")
    assert (nobody.code, nobody.out) == (0, "")
    assert "no service in namespace nowhere" in nobody.err


def test_a_port_with_a_misspelt_name_is_a_row(aeraki: Run, shop: Path) -> None:
    (shop / "cart.yaml").write_text(SERVICE.replace("tcp-echo", "tcp-ehco"))
    result = aeraki("status", "-f", shop)
    [row] = result.out.splitlines()[1:]
    assert row.split()[:5] == ["cart.shop.svc.cluster.local", "7000", "-", "none", "0"]
    assert "AER0211" in result.err
