from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run

from .conftest import BROKEN, OUTBOUND, SERVICE


@pytest.fixture
def live(aeraki: Run, shop: Path, tmp_path: Path) -> Path:
    """What is live: the filters of the shop as it is."""
    aeraki("generate", "-f", shop, "--to", tmp_path / "live")
    return tmp_path / "live"


def test_no_difference_gives_0_and_prints_nothing(aeraki: Run, shop: Path, live: Path) -> None:
    result = aeraki("diff", "-f", shop, "--live", live)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_live_filters_may_come_from_standard_input(aeraki: Run, shop: Path, live: Path) -> None:
    text = "---\n".join(path.read_text() for path in sorted(live.iterdir()))
    assert aeraki("diff", "-f", shop, "--live", "-", stdin=text).code == 0
    listed = aeraki("generate", "-f", shop, "-o", "json").out
    assert aeraki("diff", "-f", shop, "--live", "-", stdin=listed).code == 0


def test_a_change_is_shown_as_a_unified_diff(aeraki: Run, shop: Path, live: Path) -> None:
    (shop / "cart.yaml").write_text(SERVICE.replace("10.96.0.1", "10.96.0.2"))
    result = aeraki("diff", "-f", shop, "--live", live)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == f"diff -u -N live/{OUTBOUND} new/{OUTBOUND}"
    assert lines[1:3] == [f"--- live/{OUTBOUND}", f"+++ new/{OUTBOUND}"]
    changes = [line for line in lines[3:] if line[:1] in "+-"]
    assert changes == ["-        name: 10.96.0.1_7000", "+        name: 10.96.0.2_7000"]
    assert result.err == ""


def test_new_and_gone_filters_are_shown_whole(aeraki: Run, shop: Path, live: Path) -> None:
    (shop / "cart.yaml").write_text(SERVICE.replace("name: cart", "name: till"))
    result = aeraki("diff", "-f", shop, "--live", live)
    assert result.code == 1
    assert "-  name: aeraki-outbound-cart.shop.svc.cluster.local-7000" in result.out
    assert "+  name: aeraki-outbound-till.shop.svc.cluster.local-7000" in result.out
    names = aeraki("diff", "-f", shop, "--live", live, "-o", "name").out.splitlines()
    assert f"delete {OUTBOUND}" in names
    assert f"create {OUTBOUND.replace('cart', 'till')}" in names


def test_filters_of_others_are_no_difference(aeraki: Run, shop: Path, live: Path) -> None:
    (live / "theirs.yaml").write_text(
        "apiVersion: networking.istio.io/v1alpha3\n"
        "kind: EnvoyFilter\n"
        "metadata: {name: theirs, namespace: shop}\n"
        "spec: {}\n"
    )
    assert aeraki("diff", "-f", shop, "--live", live).code == 0


def test_an_orphan_is_no_deletion_and_is_named(aeraki: Run, shop: Path, live: Path) -> None:
    result = aeraki("diff", "-f", shop, "--live", live, "--no-plugins", "--plugins", "")
    assert (result.code, result.out) == (0, "")
    assert f"orphan  {OUTBOUND}: plugin echo is not active" in result.err


def test_a_held_filter_is_no_difference_is_named_and_gives_2(
    aeraki: Run, shop: Path, live: Path
) -> None:
    text = SERVICE.replace(
        "  name: cart\n", "  name: cart\n  annotations: {echo.aeraki.io/fail: 'true'}\n"
    )
    (shop / "cart.yaml").write_text(text)
    result = aeraki("diff", "-f", shop, "--live", live)
    assert (result.code, result.out) == (2, "")
    assert (
        f"keep  {OUTBOUND}: the generator of cart.shop.svc.cluster.local:7000 did not succeed"
        in result.err
    )
    assert (
        "the difference is not complete: "
        "no filter could be made for cart.shop.svc.cluster.local:7000" in result.err
    )


def test_an_unreadable_input_file_gives_2_and_no_deletion(
    aeraki: Run, shop: Path, live: Path
) -> None:
    (shop / "cart.yaml").write_text(BROKEN)
    result = aeraki("diff", "-f", shop, "--live", live)
    assert (result.code, result.out) == (2, "")
    assert "AER0101" in result.err


def test_routes_in_a_file_that_cannot_be_read_hold_their_hosts_filters(
    aeraki: Run, shop: Path, tmp_path: Path
) -> None:
    route = (
        "kind: VirtualService\nspec:\n  hosts: [cart]\n  http:\n  - match: [{method: {exact: a}}]\n"
    )
    whole = "apiVersion: networking.istio.io/v1\nmetadata: {name: cart, namespace: shop}\n" + route
    (shop / "routes.yaml").write_text(whole + "    route: [{destination: {host: cart}}]\n")
    aeraki("generate", "-f", shop, "--to", tmp_path / "routed")
    (shop / "routes.yaml").write_text(whole + "    route: [{destination: {host: cart}\n")
    result = aeraki("diff", "-f", shop, "--live", tmp_path / "routed")
    assert (result.code, result.out) == (2, "")
    assert "routes.yaml" in result.err


@pytest.mark.parametrize(
    ("content", "words"), [(BROKEN, "live.yaml:2: "), ("a: \xff", "not UTF-8")]
)
def test_unreadable_live_filters_give_2(
    aeraki: Run, shop: Path, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "live.yaml").write_text(content, encoding="latin-1")
    result = aeraki("diff", "-f", shop, "--live", tmp_path / "broken")
    assert (result.code, result.out) == (2, "")
    assert words in result.err


def test_a_damaged_live_filter_is_a_difference(aeraki: Run, shop: Path, live: Path) -> None:
    file = next(path for path in live.iterdir() if "outbound" in path.name)
    file.write_text(file.read_text().replace("inline_string", "inline_strong"))
    result = aeraki("diff", "-f", shop, "--live", live)
    assert result.code == 1
    assert "not as Aeraki writes it" in result.err


def test_a_live_directory_that_is_not_there_gives_2(
    aeraki: Run, shop: Path, tmp_path: Path
) -> None:
    result = aeraki("diff", "-f", shop, "--live", tmp_path / "nowhere")
    assert result.code == 2
    assert "there is no such directory" in result.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [", "while parsing a flow node"),
        ("a: b", "Expected key current-context"),
        (None, "no such file"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(
    aeraki: Run, shop: Path, tmp_path: Path, content: str | None, reason: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    result = aeraki("diff", "-f", shop, "--live", "cluster", "--kubeconfig", file)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: no usable cluster configuration: ")
    assert str(file) in result.err
    assert reason in result.err
    assert len(result.err.splitlines()) == 1


def test_usage(aeraki: Run, shop: Path) -> None:
    assert aeraki("diff", "-f", shop).code == 2
    both = aeraki("diff", "-f", "-", "--live", "-")
    assert both.code == 2
    assert "standard input is read once" in both.err


class TestSecrets:
    def test_a_value_of_a_secret_is_masked(
        self, aeraki: Run, secretive: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        result = aeraki("diff", "-f", secretive, "--live", tmp_path / "empty")
        assert result.code == 1
        assert "hunter2" not in result.out + result.err
        assert "inline_string: '***'" in result.out

    def test_another_value_is_seen_as_a_change_without_either(
        self, aeraki: Run, secretive: Path, live: Path
    ) -> None:
        before = aeraki("generate", "-f", secretive).out
        secret = secretive / "secret.yaml"
        secret.write_text(secret.read_text().replace("hunter2-hunter2", "swordfish-swordfish"))
        result = aeraki("diff", "-f", secretive, "--live", "-", stdin=before)
        assert result.code == 1
        assert "swordfish" not in result.out
        assert "+          response:" not in result.out  # nothing else differs
        assert "*** (after)" in result.out

    def test_the_artefact_itself_holds_it(self, aeraki: Run, secretive: Path) -> None:
        assert "hunter2-hunter2" in aeraki("generate", "-f", secretive).out

    @pytest.mark.parametrize(
        "command",
        [["status"], ["validate"], ["explain", "cart"], ["explain", "cart", "-o", "json"]],
    )
    def test_nothing_else_says_it(self, aeraki: Run, secretive: Path, command: list[str]) -> None:
        result = aeraki(*command, "-f", secretive, "--log-level", "debug")
        assert "hunter2" not in result.out + result.err
