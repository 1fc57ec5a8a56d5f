"""deploy/Dockerfile as data: instructions, defaults of arguments, the image's configuration."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.render_deploy import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IGNORED = DOCKERFILE.with_name("Dockerfile.dockerignore")


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of the process in it.

    Attributes:
        user: number of user and group, with a colon between them.
        environment: its variables; one may name another as ``$NAME``.
    """

    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, lines joined."""
    lines = [
        line
        for line in DOCKERFILE.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", "")
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in found]


def steps(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage, counted from 0."""
    stages: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            stages.append([])
        elif stages:
            stages[-1].append((name, rest))
    return stages[stage]


def argument(name: str) -> str:
    """The default of a build argument, wherever it is declared."""
    (found,) = [
        rest.partition("=")[2].strip('"')
        for step, rest in instructions()
        if step == "ARG" and rest.startswith(f"{name}=")
    ]
    return found


def base() -> str:
    """The image that the last stage begins with, its arguments filled in."""
    image = [rest for name, rest in instructions() if name == "FROM"][-1]
    return re.sub(r"\$\{(\w+)\}", lambda found: argument(found[1]), image)


def config() -> ImageConfig:
    """What the last stage says."""
    final = steps(-1)
    last = dict(final)
    variables = [
        word.partition("=") for name, rest in final if name == "ENV" for word in shlex.split(rest)
    ]
    return ImageConfig(
        last["USER"],
        tuple(json.loads(last["ENTRYPOINT"])),
        tuple(json.loads(last["CMD"])),
        {name: value for name, _, value in variables},
    )
