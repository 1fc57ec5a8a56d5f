"""docs/plugins.md does what it says: its files are written, its commands run, its names exist."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.plugins.hookspec import HookSpec
from aeraki_core.plugins.types import OPTION_TYPES, OptionType

import aeraki_core
from aeraki_core import (
    ExtendContext,
    ExtendedSide,
    GenerateContext,
    Inbound,
    Outbound,
    ValidateContext,
)
from tests.docs.page import RunCommand, Stray, WriteFile, steps

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
TEXT = PAGE.read_text(encoding="utf-8")

# The page's `pip install '.[test]'` without a network: its dependencies are already installed,
# beside these tests.
_OFFLINE = [
    "--quiet",
    "--no-index",
    "--no-deps",
    "--no-build-isolation",
    "--upgrade",
    "--target",
    "site",
]
_COMMANDS: Mapping[str, list[str]] = {
    "pip": [sys.executable, "-m", "pip"],
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
    "aeraki": [sys.executable, "-c", "from aeraki_core.cli import main; main()"],
}
_SECONDS = re.compile(r" in \d+\.\d+s( \(\d+:\d\d:\d\d\))?")


def run(step: RunCommand, folder: Path) -> str:
    """What the command prints in that folder."""
    name, *arguments = shlex.split(step.command)
    if step.command.startswith("pip install"):
        arguments = ["install", *_OFFLINE, "."]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "AERAKI"))
    }
    environment |= {"PYTHONPATH": str(folder / "site"), "NO_COLOR": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [*_COMMANDS[name], *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    # Findings make `aeraki validate` fail, as they should; nothing else on the page may.
    assert done.returncode == 0 or step.command.startswith("aeraki validate"), done.stdout
    return done.stdout


def test_every_block_does_what_the_page_says(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With ``--regenerate`` the page is given what its commands print now."""
    text, moved = TEXT, 0
    ran = set()
    for step in steps(TEXT):
        where = f"{PAGE.name}:{step.line}"
        if isinstance(step, WriteFile):
            path = tmp_path / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        elif isinstance(step, RunCommand):
            printed = run(step, tmp_path)
            ran.add(step.command.split()[0])
            same = _SECONDS.sub("", printed) == _SECONDS.sub("", step.output)
            if not same and request.config.getoption("--regenerate"):
                start, end = (offset + moved for offset in step.span)
                text = text[:start] + printed + text[end:]
                moved += len(printed) - len(step.output)
            else:
                assert same, f"{where}: $ {step.command}\n{printed}"
        else:
            assert not isinstance(step, Stray), (
                f"{where}: a block of {step.language} that nothing runs"
            )
    assert ran == {"pip", "aeraki", "pytest"}
    if text != TEXT:
        PAGE.write_text(text, encoding="utf-8")


def test_the_examples_modules_are_importable(tmp_path: Path) -> None:
    """Also those that no command uses: the last form of each file."""
    modules = {
        step.path: step.text
        for step in steps(TEXT)
        if isinstance(step, WriteFile) and step.path.parts[0] == "src"
    }
    names = []
    for path, text in modules.items():
        target = tmp_path.joinpath(*path.parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        names.append(".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__"))
    assert len(names) >= 2
    script = "\n".join(f"import {name}" for name in names)
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": str(tmp_path)})


def test_help_in_python_shows_every_public_name() -> None:
    """In a new process, which has imported none of them."""
    script = (
        "import pydoc, aeraki_core; print(pydoc.render_doc(aeraki_core, renderer=pydoc.plaintext))"
    )
    text = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    content = text[text.index("\nCLASSES\n") :]
    assert [
        name
        for name in aeraki_core.__all__
        if not re.search(rf"^    (class )?{name}\b", content, re.MULTILINE)
    ] == []


def hooks() -> list[str]:
    """Each hook with its parameters, as the page writes it."""
    found = []
    for name, function in vars(HookSpec).items():
        if name.startswith("aeraki_"):
            count = function.__code__.co_argcount
            found.append(f"{name}({', '.join(function.__code__.co_varnames[1:count])})")
    return found


def public(owner: type) -> list[str]:
    """The public attributes that a class and its bases define."""
    names = {name for base in owner.__mro__[:-1] for name in vars(base)} | {
        *getattr(owner, "__annotations__", ())
    }
    return sorted(name for name in names if not name.startswith("_"))


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_is_on_the_page(hook: str) -> None:
    assert f"`{hook}`" in TEXT


@pytest.mark.parametrize("name", aeraki_core.__all__)
def test_every_public_name_is_in_the_table_of_names(name: str) -> None:
    table = TEXT[TEXT.index("\n## Names\n") :]
    assert f"`{name}`" in table


def test_the_table_of_names_has_no_other() -> None:
    table = TEXT[TEXT.index("\n## Names\n") :]
    rows = "\n".join(line for line in table.splitlines() if line.startswith("| "))
    assert set(re.findall(r"`(\w+)`", rows)) == set(aeraki_core.__all__)


@pytest.mark.parametrize(
    ("heading", "owner"),
    [
        ("## The context", GenerateContext),
        ("## Validating resources", ValidateContext),
        ("## Add-ons", ExtendContext),
        ("## Add-ons", ExtendedSide),
        ("## Patches", Outbound),
        ("## Patches", Inbound),
    ],
)
def test_every_attribute_is_in_its_section(heading: str, owner: type) -> None:
    section = TEXT[TEXT.index(f"\n{heading}\n") + 1 :].partition("\n## ")[0]
    given = {"service", "port", "protocol"} if owner is GenerateContext else set()
    missing = [name for name in {*public(owner), *given} if not re.search(rf"`{name}\b", section)]
    assert missing == []


BEGIN, END = (
    "<!-- fields: made from the code by tests/docs/test_plugins_page.py --regenerate -->\n",
    "<!-- end of fields -->",
)
VALUES: tuple[Any, ...] = (
    aeraki_core.Protocol,
    aeraki_core.AddOn,
    aeraki_core.Extension,
    aeraki_core.Option,
    aeraki_core.Kind,
    aeraki_core.Code,
    aeraki_core.Finding,
    aeraki_core.Service,
    aeraki_core.Port,
    aeraki_core.Resource,
    aeraki_core.ObjectRef,
    aeraki_core.Secret,
    aeraki_core.VirtualService,
    aeraki_core.DestinationRule,
    aeraki_core.Mesh,
    aeraki_core.Route,
    aeraki_core.RouteMatch,
    aeraki_core.WeightedCluster,
    aeraki_core.Mirror,
    aeraki_core.StringMatch,
)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a value and their types, as the code writes them."""
    if dataclasses.is_dataclass(value):
        return {field.name: field.type for field in dataclasses.fields(value)}
    if hasattr(value, "model_fields"):
        return {
            name: annotation
            for name, annotation in inspect.get_annotations(value).items()
            if name in value.model_fields
        }
    return {
        name: getattr(kind, "__forward_arg__", kind)
        for name, kind in inspect.get_annotations(value).items()
    }


def fields_table() -> str:
    rows = [
        f"| `{value.__name__}` | "
        + ", ".join(f"`{name}: {kind}`" for name, kind in fields_of(value).items()).replace(
            "|", "\\|"
        )
        + " |\n"
        for value in VALUES
    ]
    return "| value | fields |\n|---|---|\n" + "".join(rows)


def test_the_fields_of_values_are_those_of_the_code(request: pytest.FixtureRequest) -> None:
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, _, tail = rest.partition(END)
    if request.config.getoption("--regenerate"):
        PAGE.write_text(f"{head}{BEGIN}{fields_table()}{END}{tail}", encoding="utf-8")
    else:
        assert shown == fields_table()


@pytest.mark.parametrize("kind", OPTION_TYPES, ids=str)
def test_every_type_of_option_is_explained(kind: OptionType[Any]) -> None:
    assert f"| `{kind.name}` |" in TEXT
