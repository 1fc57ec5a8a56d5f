"""``aeraki findings``: the meaning and the remedy of each code.

docs/findings.md is ``aeraki findings -o markdown``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aeraki_core.cli.command import define, form_option
from aeraki_core.cli.completing import code_names, words
from aeraki_core.console import output
from aeraki_core.settings import SettingGroup, Settings
from aeraki_core.wiring.plugins import open_registry

if TYPE_CHECKING:
    from aeraki_core.findings.finding import Code
    from aeraki_core.plugins.registry import Registry

__all__ = ["command"]

_CHAPTERS = {
    "01": "What a source read",
    "02": "Ports, addresses and workloads",
    "03": "Routes",
    "04": "Plugins",
    "05": "Writing",
}


@define("findings", SettingGroup.PLUGINS, epilog="Example: aeraki findings AER0302")
@click.argument("code", required=False, shell_complete=words(code_names))
@form_option("text", "json", "yaml", "markdown", text="The form.")
def command(settings: Settings, *, code: str | None, form: str) -> int:
    """Say what the codes of findings mean and what to do about them: all, or CODE alone."""
    registry = open_registry(settings)
    chapters = chapters_of(registry)
    codes = [
        item for _, items in chapters for item in items if code is None or item.id == code.upper()
    ]
    if not codes:
        output.error(
            f"no code {code!r} is known; "
            "`aeraki findings` lists those of the core and of the active plugins"
        )
        return 1
    match form:
        case "json" | "yaml":
            content = [
                {
                    "id": item.id,
                    "severity": item.severity.label,
                    "title": item.title,
                    "action": item.action,
                }
                for item in codes
            ]
            output.structured(content, form)
        case "markdown":
            output.data(_markdown(chapters))
        case _ if code is not None:
            item = codes[0]
            output.data(
                f"{output.style(item.id, bold=True)}  {item.severity.label}  {item.title}\n"
                "\n"
                f"{item.action}\n"
            )
        case _:
            colors = {"error": "red", "warning": "yellow", "info": "cyan"}
            rows = [(item.id, item.severity.label, item.title) for item in codes]
            output.data(output.table(("CODE", "SEVERITY", "TITLE"), rows, colors=colors))
    return 0


def chapters_of(registry: Registry) -> list[tuple[str, list[Code]]]:
    """Return every code under its chapter: the core's by number, then each active plugin's."""
    from aeraki_core.findings.codes import CORE_CODES

    codes_by_chapter: dict[str, list[Code]] = {}
    for code in sorted(CORE_CODES, key=lambda item: item.id):
        codes_by_chapter.setdefault(_CHAPTERS.get(code.id[3:5], "Others"), []).append(code)
    chapters = list(codes_by_chapter.items())
    for plugin in registry.active:
        codes = {code.id: code for protocol in plugin.protocols for code in protocol.codes}
        if codes:
            chapters.append((f"Plugin {plugin.name}", [codes[key] for key in sorted(codes)]))
    return chapters


def _markdown(chapters: list[tuple[str, list[Code]]]) -> str:
    lines = [
        "# Findings",
        "",
        "What `aeraki validate`, `generate`, `status` and the controller report about a mesh's",
        "configuration. A code never changes its meaning. *error*: something requested does not",
        "work. *warning*: it works, but perhaps not as meant. *info*: good to know.",
        "`aeraki findings CODE` prints one of them, and [finding-examples.md](finding-examples.md)",
        "has a wrong and a right example of each.",
        "",
        "`aeraki findings -o markdown > docs/findings.md` writes this page; a test compares them.",
    ]
    for title, codes in chapters:
        lines += [
            "",
            f"## {title}",
            "",
            "| code | severity | means | what to do |",
            "|---|---|---|---|",
        ]
        lines += [
            f'| <a id="{code.id.lower()}"></a>{code.id} | {code.severity.label} '
            f"| {_cell(code.title)} | {_cell(code.action)} |"
            for code in codes
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
