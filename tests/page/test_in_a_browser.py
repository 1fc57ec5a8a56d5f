"""The page in a real browser: its policy lets its style in, and nothing else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.cli.conftest import SAMPLES
from tests.cli.running import Run
from tests.page.browser import browser, open_page, take_picture
from tests.page.meshes import HOSTILE
from tests.peers.needs import need


@pytest.fixture
def installed() -> None:
    """A browser is there."""
    need(browser())


@pytest.mark.usefixtures("installed")
def test_a_browser_shows_the_page_without_complaint(
    aeraki: Run,
    tmp_path: Path,
) -> None:
    (tmp_path / "evil.yaml").write_text(HOSTILE, encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(aeraki("report", SAMPLES, tmp_path / "evil.yaml").out, encoding="utf-8")
    document, console = open_page(page, tmp_path / "profile")
    assert "<title>Mesh</title>" in document  # no script has changed it
    assert "owned" in document
    assert console == []


@pytest.mark.usefixtures("installed")
def test_what_came_past_the_escaping_would_not_run(
    aeraki: Run,
    tmp_path: Path,
) -> None:
    text = aeraki("report", SAMPLES).out
    page = tmp_path / "page.html"
    script = "<script>document.title='owned'</script>"
    page.write_text(text.replace("<header>", f"{script}<header>"), encoding="utf-8")
    document, console = open_page(page, tmp_path / "profile")
    assert "<title>Mesh</title>" in document
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("width", [390, 1000])
def test_the_picture_of_the_docs_can_be_drawn_anew(aeraki: Run, tmp_path: Path, width: int) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(aeraki("report", SAMPLES / "dubbo").out, encoding="utf-8")
    take_picture(page, tmp_path / "profile", picture, width=width, height=1060)
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24])[1] == 1060
    # One colour alone takes a fraction of that.
    assert len(data) > 20_000
