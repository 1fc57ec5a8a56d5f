"""`aeraki report`: what is on the page, and that no name can be more than text there."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.cli.conftest import SAMPLES
from tests.cli.running import Run
from tests.page.meshes import HOSTILE
from tests.page.reading import read_page


def test_services_routes_and_plugins_are_on_the_page(aeraki: Run) -> None:
    result = aeraki("report", SAMPLES)
    assert result.code == 0
    page = read_page(result.out)
    assert "greeter.dubbo.svc.cluster.local:20880 dubbo current" in page.text
    assert "method is sayHello" in page.text
    assert "subset v1 80 % subset v2 20 %" in page.text
    assert "aeraki-plugins-redis" in page.text
    assert "AER0205" in page.text
    assert "80" in page.values("width")


def test_the_page_loads_and_runs_nothing(aeraki: Run) -> None:
    page = read_page(aeraki("report", SAMPLES).out)
    assert not {"script", "img", "link", "iframe", "object", "form"} & page.tags()
    assert not page.values("src")
    [policy] = [text for text in page.values("content") if "default-src" in text]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_hostile_names_are_text(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text(HOSTILE, encoding="utf-8")
    result = aeraki("report", tmp_path)
    assert result.code == 0
    page = read_page(result.out)
    clean = read_page(aeraki("report", SAMPLES).out)
    assert page.tags() <= clean.tags() | {"p", "strong"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "<script>document.title='owned'</script>" in page.text
    bad = {char for char in result.out if unicodedata.category(char)[0] == "C"} - {"\n"}
    assert not bad


@pytest.mark.parametrize(
    ("url", "links"), [("https://docs.example.com", True), ("javascript:alert(1)//", False)]
)
def test_codes_link_to_the_documentation(
    aeraki: Run,
    tmp_path: Path,
    url: str,
    links: bool,
) -> None:
    (tmp_path / "evil.yaml").write_text(HOSTILE, encoding="utf-8")
    result = aeraki("report", tmp_path, "--docs-url", url)
    assert result.code == (0 if result.out else 2)
    if result.out:
        hrefs = read_page(result.out).values("href")
        page = "https://docs.example.com/finding-examples.html#aer"
        assert any(href.startswith(page) for href in hrefs) is links
        assert not any(href.startswith("javascript") for href in hrefs)


def test_usage(aeraki: Run) -> None:
    result = aeraki("report")
    assert result.code == 2
    assert "aeraki report deploy/ > mesh.html" in result.err
