"""A plugin's file that changes beside a running controller."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.controller import Running, running, service
from tests.plugins.distributions import DISTRIBUTIONS, install
from tests.waiting import wait_until

WORKS = next(item for item in DISTRIBUTIONS if item.plugin == "works")
CODE = WORKS.code.replace('name="works", tokens=("works",)', 'name="fresh", tokens=("fresh",)')


def filters(started: Running) -> str:
    return "".join(path.read_text() for path in started.filters.glob("*fresh*.yaml"))


def test_the_new_version_counts_and_a_broken_one_does_not(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    install(site, work, (WORKS,))
    plugin = tmp_path / "fresh.py"
    plugin.write_text(CODE)
    with running(tmp_path / "run", site, "--plugin", str(plugin)) as started:
        started.put("works.yaml", service("works", 1, "tcp-works"))
        started.put("fresh.yaml", service("fresh", 2, "tcp-fresh"))
        started.until_filters_of("works", "fresh")
        plugin.write_text("raise RuntimeError('not today')\n")
        line = started.until_logged("AER0403", "its last good version stays")
        assert "import failed: RuntimeError: not today" in line
        # It goes on with the last good version.
        started.put("later.yaml", service("later", 3, "tcp-fresh"))
        started.until_filters_of("works", "fresh", "later")
        plugin.write_text(CODE.replace("replace_tcp_proxy", "insert_before_tcp_proxy"))
        started.until_logged("plugin fresh: loaded again from")
        wait_until(
            lambda: "operation: INSERT_BEFORE" in filters(started),
            60,
            "filters of the new version",
            seen=started.log.read_text,
        )
        started.until_logged("resolved", "AER0403")
