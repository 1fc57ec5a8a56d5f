"""The golden cases: inputs beside their expected outputs.

``<protocol>/<case>.in.yaml`` holds objects, ``<case>.settings.yaml`` settings if it needs any.
``<case>.out.yaml`` and ``<case>.findings.txt`` are the expected output; neither exists when there
is none. ``make golden`` writes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.plugins.registry import build_registry
from aeraki_core.testing import Made, generate

GOLDEN = Path(__file__).parent
SAMPLES = GOLDEN.parent.parent / "deploy" / "samples"

# All installed plugins, looked for once: doing so takes longer than to run them over a case.
REGISTRY = build_registry()


@dataclass(frozen=True)
class Case:
    """One case. ``path`` is its input, or the folder of a sample."""

    name: str
    inputs: tuple[Path, ...]
    settings: Path | None = None

    @cached_property
    def made(self) -> Made:
        """What all installed plugins make of it."""
        texts = [path.read_text(encoding="utf-8") for path in self.inputs]
        return self.make(*texts)

    def make(self, *objects: Any) -> Made:
        """What all installed plugins make of these objects, with the settings of the case."""
        return generate(*objects, plugins=REGISTRY, settings=self.settings)

    def beside(self, suffix: str) -> Path:
        """The file of that suffix that belongs to the case."""
        (path,) = self.inputs
        return path.with_name(path.name.removesuffix(".in.yaml") + suffix)


@cache  # so that a case is generated once for all tests
def golden_cases() -> list[Case]:
    """All cases of all protocols."""
    found = []
    for path in sorted(GOLDEN.glob("*/*.in.yaml")):
        settings = path.with_name(path.name.removesuffix(".in.yaml") + ".settings.yaml")
        name = f"{path.parent.name}/{path.name.removesuffix('.in.yaml')}"
        found.append(Case(name, (path,), settings if settings.exists() else None))
    return found


@cache
def sample_cases() -> list[Case]:
    """Each folder of samples, as a user applies it."""
    folders = sorted(path for path in SAMPLES.iterdir() if path.is_dir())
    return [
        Case(f"samples/{folder.name}", tuple(sorted(folder.rglob("*.yaml")))) for folder in folders
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize ``golden_case``, ``sample`` and ``any_case``, which is one of both."""
    if "golden_case" in metafunc.fixturenames:
        left_out: set[str] = getattr(metafunc.module, "LEFT_OUT", set())
        cases = [case for case in golden_cases() if case.name not in left_out]
        metafunc.parametrize("golden_case", cases, ids=lambda case: case.name)
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", sample_cases(), ids=lambda case: case.name)
    if "any_case" in metafunc.fixturenames:
        metafunc.parametrize(
            "any_case", golden_cases() + sample_cases(), ids=lambda case: case.name
        )
