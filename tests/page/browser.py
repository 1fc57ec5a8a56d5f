"""A real browser without a window, for tests of the page and for its picture in the docs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["browser", "open_page", "take_picture"]

_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--enable-logging=stderr",
]


def browser() -> str:
    """The command of a browser; some machines have only one of the two."""
    return next((each for each in ("chromium", "google-chrome") if shutil.which(each)), "chromium")


def open_page(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after the browser has loaded it, and what the browser's console says."""
    done = _run(profile, "--dump-dom", page.as_uri())
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def take_picture(page: Path, profile: Path, picture: Path, *, width: int, height: int) -> None:
    """Write a PNG of the top of the page."""
    size = f"--window-size={width},{height}"
    _run(profile, size, "--hide-scrollbars", f"--screenshot={picture}", page.as_uri())


def _run(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [browser(), *_FLAGS, f"--user-data-dir={profile}", *arguments]
    # The limit only ends a browser that hangs; it takes some seconds.
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done
