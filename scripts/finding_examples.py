"""Write docs/finding-examples.md: for each code of a finding a wrong and a right example.

The examples are the files of docs/finding-examples/, which a test validates: the wrong one has the
finding, the right one does not. Usage, from the root of the repository:

    python -m scripts.finding_examples [--check]

``--check`` writes nothing, and exits with 1 if the page is out of date.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from aeraki_core.cli.commands.findings import chapters_of
from aeraki_core.plugins.registry import build_registry

from aeraki_core import Code
from scripts.render_deploy import bundled_plugins

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "finding-examples"
PAGE = ROOT / "docs" / "finding-examples.md"

_OPTIONS = re.compile(r"\A# options: (.*)\n")
_PARTS = re.compile(r"(?:\A|\n)# --- (wrong|right)\n")

WITHOUT_EXAMPLE = {
    "AER0103": "The file cannot be opened: no permission, or it is not there.",
    "AER0104": "The file is larger than --max-file-size.",
    "AER0108": "A link in a folder leads to the folder.",
    "AER0113": "Only a cluster has this: a kind without its CRD.",
    "AER0114": "Only a cluster has this: the API server does not answer, or denies a list.",
    "AER0115": "Only istiod as a source has this.",
    "AER0117": "Only a cluster has this: files are read whatever the type of a Secret.",
    "AER0119": "Only istiod as the only source has this.",
    "AER0209": "Only `generate` and `diff` have this; `validate` stands an address in (AER0230).",
    "AER0213": "The plugin of `tcp-<protocol>` is disabled or broken.",
    "AER0215": "Only a running controller has this: it knows what the port spoke before.",
    "AER0217": "Only a plugin with a defect has this.",
    "AER0220": "It takes more than 200 namespaces with a VirtualService or DestinationRule each.",
    "AER0221": "It takes clients of several namespaces with DestinationRules of their own.",
    "AER0317": "Only with live weights; the message says which route, and why.",
    "AER0318": "Only with live weights and pods: no pod of the subset is ready.",
    "AER0319": "Only with live weights and a DestinationRule with a loadBalancer.",
    "AER0323": "It takes more than 20 VirtualServices for a wildcard.",
    "AER0324": "It takes more than 500 entries that the port cannot use.",
    "AER0401": "Only a plugin with a defect has this.",
    "AER0402": "Only a plugin with a defect has this.",
    "AER0403": "A plugin is disabled, or cannot be imported.",
    "AER0404": "Only a plugin with a defect has this.",
    "AER0406": "Only a plugin with a defect has this.",
    "AER0407": "The plugin decides to keep its filter; its message says why.",
    "AER0408": "Only a plugin with a defect has this.",
    "AER0410": "Only add-ons of several plugins have this.",
    "AER0411": "Only a plugin with an add-on has this.",
}
"""Why a code has no example. Codes of writing (AER05xx) have none: no file shows what is live."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a user writes with and without the finding; ``options`` are those of validate."""

    options: tuple[str, ...]
    wrong: str
    right: str


def example(code: str) -> Example | None:
    """The example of a code; None if it has none.

    Raises:
        ValueError: the file has not the two parts.
    """
    path = FOLDER / f"{code}.yaml"
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    options = _OPTIONS.match(text)
    parts = _PARTS.split(text[options.end() :] if options else text)
    if parts[0].strip() or parts[1::2] != ["wrong", "right"]:
        raise ValueError(f"{path}: write `# --- wrong`, then `# --- right`")
    return Example(
        options=tuple(shlex.split(options[1])) if options else (),
        wrong=parts[2].strip("\n") + "\n",
        right=parts[4].strip("\n") + "\n",
    )


def base_beside(text: str) -> str:
    """The objects of base.yaml that the example does not bring itself."""
    try:
        own = {_identity(each) for each in yaml.safe_load_all(text)}
    except yaml.YAMLError:
        own = set()
    documents = (FOLDER / "base.yaml").read_text(encoding="utf-8").split("---\n")
    return "---\n".join(each for each in documents if _identity(yaml.safe_load(each)) not in own)


def _identity(content: object) -> tuple[object, object]:
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        return (None, None)
    return (content.get("kind"), content["metadata"].get("name"))


def chapters() -> list[tuple[str, list[Code]]]:
    """Every code under its chapter, as docs/findings.md has them."""
    return chapters_of(build_registry(only=bundled_plugins()))


def reason(code: str) -> str | None:
    """Why a code has no example; None if nobody says why."""
    if code.startswith("AER05"):
        return "Only a sink has this: it is about what is live."
    return WITHOUT_EXAMPLE.get(code)


def page() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Findings by example"
    yield ""
    yield "For each code of [findings.md](findings.md): what has the finding, and what has not."
    yield "A test validates every example. The files are in `docs/finding-examples/`."
    yield ""
    yield "`python -m scripts.finding_examples` writes this page."
    yield ""
    yield "Each example is beside these objects, unless it has one of that name itself:"
    yield ""
    yield from _block((FOLDER / "base.yaml").read_text(encoding="utf-8"))
    for title, codes in chapters():
        yield ""
        yield f"## {title}"
        for code in codes:
            yield from _section(code)


def _section(code: Code) -> Iterator[str]:
    yield ""
    yield f"### {code.id}"
    yield ""
    yield f"*{code.severity.label}*: {code.title}. {code.action}"
    yield ""
    found = example(code.id)
    if found is None:
        yield f"No example: {reason(code.id)}"
        return
    with_options = f", with `{' '.join(found.options)}`" if found.options else ""
    yield f"Wrong{with_options}:"
    yield ""
    yield from _block(found.wrong)
    yield ""
    yield "Right:"
    yield ""
    yield from _block(found.right)


def _block(text: str) -> Iterable[str]:
    return ("```yaml", text.rstrip("\n"), "```")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with ``--check`` say whether it is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.finding_examples", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args(arguments)
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if given.check:
        print(f"{PAGE.relative_to(ROOT)} is out of date")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
