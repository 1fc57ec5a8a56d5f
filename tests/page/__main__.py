"""Draw docs/images/page.png anew: the page of two samples, in a real browser.

Usage, from the root of the repository: python -m tests.page
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.page.browser import take_picture

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "page.png"
SAMPLES = ("deploy/samples/dubbo", "deploy/samples/kafka")


def main() -> None:
    """Write the picture."""
    command = [sys.executable, "-m", "aeraki_core", "report", *SAMPLES]
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_bytes(subprocess.run(command, cwd=ROOT, check=True, stdout=-1).stdout)
        take_picture(page, Path(folder) / "profile", PICTURE, width=1000, height=1060)


if __name__ == "__main__":
    main()
