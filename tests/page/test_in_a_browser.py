"""The page in a real browser: its policy lets its style in, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import SAMPLES
from tests.cli.running import Run
from tests.page.meshes import HOSTILE
from tests.peers.needs import need

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--enable-logging=stderr",
]


def _open(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after the browser has loaded it, and what the browser's console says."""
    command = [_browser(), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    # The limit only ends a browser that hangs; it takes some seconds.
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def _browser() -> str:
    """The command of a browser; some machines have only one of the two."""
    return next((each for each in ("chromium", "google-chrome") if shutil.which(each)), "chromium")


@pytest.fixture
def browser() -> None:
    """A browser that is installed."""
    need(_browser())


@pytest.mark.usefixtures("browser")
def test_a_browser_shows_the_page_without_complaint(
    aeraki: Run,
    tmp_path: Path,
) -> None:
    (tmp_path / "evil.yaml").write_text(HOSTILE, encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(aeraki("report", SAMPLES, tmp_path / "evil.yaml").out, encoding="utf-8")
    document, console = _open(page, tmp_path / "profile")
    assert "<title>Mesh</title>" in document  # no script has changed it
    assert "owned" in document
    assert console == []


@pytest.mark.usefixtures("browser")
def test_what_came_past_the_escaping_would_not_run(
    aeraki: Run,
    tmp_path: Path,
) -> None:
    text = aeraki("report", SAMPLES).out
    page = tmp_path / "page.html"
    script = "<script>document.title='owned'</script>"
    page.write_text(text.replace("<header>", f"{script}<header>"), encoding="utf-8")
    document, console = _open(page, tmp_path / "profile")
    assert "<title>Mesh</title>" in document
    assert any("Content Security Policy" in line for line in console)
