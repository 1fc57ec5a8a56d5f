"""Names with escape sequences, line breaks and bidirectional marks are harmless in all output."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from aeraki_core.findings.text import escape

from tests.cli.running import Run

HOSTILE = r"""
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: e, namespace: evil}
spec:
  host:
    - "\e]0;pwned\a\e[2J\e[31mx\n::error file=README.md,line=1::owned\n\
       07:00:00.000 INFO controller: all is well \u202Egnp.exe\u0085\u2028"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: e, namespace: evil}
spec:
  hosts: ["nowhere.evil.com"]
  http:
  - match: [{headers: {"x\e[2J\n::warning::hdr": {regex: "("}}}]
    route: [{destination: {host: "a\e[2J"}}]
---
apiVersion: v1
kind: Service
metadata: {name: "s\e[2J\nforged", namespace: evil}
spec: {clusterIP: 10.0.0.1, ports: [{name: "tcp-redis\u202e\n", port: 6379}]}
"""
"""Names that a terminal, a log and a runner of GitHub Actions would obey."""

COMMANDS = [
    *(f"validate -o {form}" for form in ("text", "json", "sarif", "github", "junit")),
    *(f"generate -o {form}" for form in ("yaml", "name")),
    *(f"status --all-ports -o {form}" for form in ("text", "json")),
    "run --once --log-format text --log-level debug",
    "run --once --log-format json --log-level debug",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_that_is_printed_obeys_a_name(aeraki: Run, tmp_path: Path, command: str) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text(HOSTILE, encoding="utf-8")
    out = ("--to", tmp_path / "out") if command.startswith("run") else ()
    result = aeraki(*command.split(), "-f", file, *out)
    printed = result.out + result.err
    assert printed
    bad = {char for char in printed if unicodedata.category(char)[0] == "C"} - {"\n"}
    assert not bad
    for line in printed.splitlines():
        # Only our own findings begin so; what a name holds never begins a line.
        assert "owned" not in line.partition("::")[0]
        assert not line.startswith(("::error file=README.md", "07:00:00.000", "forged"))


def test_every_log_line_is_one_json_object(aeraki: Run, tmp_path: Path) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text(HOSTILE, encoding="utf-8")
    result = aeraki(
        "run", "--once", "-f", file, "--to", tmp_path / "out", "--log-format", "json",
        "--log-level", "debug",
    )  # fmt: skip
    assert all(json.loads(line)["message"].isprintable() for line in result.err.splitlines())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("größe 漢字 ✓ a\u00a0b", "größe 漢字 ✓ a\u00a0b"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[2J\x07\x85", r"\x1b[2J\x07\x85"),
        ("\u202egnp\u2066\u2028\u200f", r"\u202egnp\u2066\u2028\u200f"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
    ],
)
def test_escape(text: str, wanted: str) -> None:
    assert escape(text) == wanted
