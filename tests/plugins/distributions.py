"""Small plugins that misbehave, as real distributions: built by their backend, with metadata and an entry point.

In: the tables below. Out: a folder that holds them installed, to be put on ``sys.path``. A pure wheel is installed by unpacking it
(the binary distribution format, "Installing a wheel"), so neither pip nor a network is needed.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DISTRIBUTIONS", "HANGS", "OBJECTS", "Distribution", "install"]

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
dependencies = [{dependencies}]

[project.entry-points."aeraki.plugins"]
{plugin} = "{module}"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

_GOOD = """
    from aeraki_core import Extension, Protocol, hookimpl
    from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

    ECHO = "envoy.filters.network.echo"

    @hookimpl
    def aeraki_protocols():
        return [Protocol(name="{token}", tokens=("{token}",), extension=Extension(ECHO, stock=True), summary="Echoes")]

    @hookimpl
    def aeraki_generate(protocol, context):
        {body}
"""
_WORKS = "return [context.outbound.replace_tcp_proxy(ECHO, Echo())]"


def _plugin(token: str, body: str = _WORKS) -> str:
    return textwrap.dedent(_GOOD).format(token=token, body=body)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A plugin named ``plugin`` in a distribution of its own."""

    plugin: str
    code: str
    version: str = "1.2.3"
    requires: str = "aeraki-core"
    missing_module: bool = False

    @property
    def name(self) -> str:
        """The distribution's name."""
        return f"aeraki-plugins-{self.plugin}"


_OF_A_LATER_CORE = "\n@hookimpl(optionalhook=True)\ndef aeraki_of_tomorrow(context, mesh): ...\n"

DISTRIBUTIONS = (
    Distribution("works", _plugin("works") + _OF_A_LATER_CORE),
    Distribution("raises-on-import", "raise RuntimeError('no library here')\n"),
    Distribution("exits-on-import", "import sys\nsys.exit('not on this machine')\n"),
    Distribution("not-there", "", missing_module=True),
    Distribution("raises", _plugin("raises", "yield 1 / 0")),
    Distribution("exits", _plugin("exits", "raise SystemExit(3)")),
    Distribution("garbage", _plugin("garbage", "return ['a patch', None]")),
    Distribution("not-iterable", _plugin("not-iterable", "return 7")),
    Distribution(
        "endless",
        _plugin(
            "endless", f"while True: yield {_WORKS.removeprefix('return [').removesuffix(']')}"
        ),
    ),
    Distribution("interrupts", _plugin("interrupts", "raise KeyboardInterrupt")),
    Distribution(
        "foreign-code",
        _plugin("foreign-code", "context.report('CRA0101', 'no code'); " + _WORKS),
    ),
    Distribution(
        "undeclared-code",
        "from aeraki_core import Code, Severity\n"
        + _plugin(
            "undeclared-code",
            "context.report(Code('UND0101', Severity.ERROR, 'a', 'b'), 'not declared'); " + _WORKS,
        ),
    ),
    Distribution(
        "other-message", _plugin("other-message", "yield context.outbound.merge_cluster(Echo())")
    ),
    Distribution(
        "other-match", _plugin("other-match", "context.routes(match=('metod',)); " + _WORKS)
    ),
    Distribution("other-secret", _plugin("other-secret", "context.secret('shop', 's'); " + _WORKS)),
    Distribution(
        "silent-keep",
        "from aeraki_core import KeepLastGood\n"
        + _plugin("silent-keep", "raise KeepLastGood('the moon is full')"),
    ),
    Distribution(
        "no-message", _plugin("no-message", "yield context.outbound.replace_tcp_proxy(ECHO, {})")
    ),
    Distribution(
        "forgets-yield",
        _plugin("forgets-yield", "context.outbound.replace_tcp_proxy(ECHO, Echo())"),
    ),
    Distribution("clash-one", _plugin("clash")),
    Distribution("clash-two", _plugin("clash"), version="2.0"),
    Distribution("too-new", _plugin("too-new"), requires="aeraki-core>=99"),
    Distribution(
        "unknown-hook",
        _plugin("unknown-hook") + "\n@hookimpl\ndef aeraki_generates(protocol): ...\n",
    ),
    Distribution(
        "unknown-parameter",
        _plugin("unknown-parameter").replace("(protocol, context)", "(protocol, mesh)"),
    ),
    Distribution("no-hook", "x = 1\n"),
    Distribution(
        "no-generator", _plugin("no-generator").partition("@hookimpl\ndef aeraki_generate")[0]
    ),
    Distribution(
        "no-list",
        _plugin("x")
        .replace("return [Protocol(", "return (Protocol(")
        .replace('Echoes")]', 'Echoes"))'),
    ),
    Distribution("tokens-text", _plugin("word").replace('("word",)', '"word"')),
    Distribution("no-protocol", _plugin("x").replace("return [Protocol(", "return [dict(")),
    Distribution(
        "raises-in-hook",
        _plugin("x").replace("return [Protocol(", "raise ValueError('later')\n    [Protocol("),
    ),
    Distribution("bad-token", _plugin("Bad Token")),
)


_READS_OBJECTS = """
    import itertools
    from pydantic import BaseModel, field_validator
    from aeraki_core import Kind

    class Target(BaseModel):
        host: str = ""

    class Spec(BaseModel):
        host: str = ""
        target: Target | None = None
        broken: bool = False
        {validator}

    def names(spec):
        if spec.broken:
            {names}
        return [spec.host]

    def secrets(spec):
        if spec.broken:
            {secrets}
        return []

    POLICY = Kind(
        group="{token}.example.com", version="v1", kind="Policy{number}", plural="policies",
        spec=Spec, summary="For tests", hosts=names, secrets=secrets,
    )

    @hookimpl
    def aeraki_resources():
        return [POLICY]
"""
_VALIDATOR = """
        @field_validator("broken")
        @classmethod
        def look(cls, value):
            return {}["no such key"] if value else value
"""
_ASKS = """
        if context.resources(POLICY):
            yield context.outbound.replace_tcp_proxy(ECHO, Echo())"""


def _reads_objects(
    token: str, number: int, *, names: str = "pass", secrets: str = "pass", validator: str = "pass"
) -> Distribution:
    """A plugin whose code fails on an object that says ``broken: true``."""
    head, _, tail = _plugin(token, _ASKS.strip()).partition("ECHO =")
    code = textwrap.dedent(_READS_OBJECTS).format(
        token=token,
        number=number,
        names=names,
        secrets=secrets,
        validator=textwrap.dedent(validator).strip().replace("\n", "\n    "),
    )
    return Distribution(token, f"{head}{code}\nECHO ={tail}")


OBJECTS = (
    _reads_objects("hosts-raise", 1, names="return [spec.target.host]"),
    _reads_objects("hosts-late", 2, names="return (spec.target.host for _ in range(2))"),
    _reads_objects("hosts-endless", 3, names="return (str(n) for n in itertools.count())"),
    _reads_objects("hosts-text", 4, names="return spec.host"),
    _reads_objects("hosts-none", 5, names="return None"),
    _reads_objects("hosts-numbers", 6, names="return [7]"),
    _reads_objects("hosts-exit", 7, names="raise SystemExit(3)"),
    _reads_objects("hosts-interrupt", 8, names="raise KeyboardInterrupt"),
    _reads_objects("secrets-raise", 9, secrets="return [spec.target.host]"),
    _reads_objects("validator-raises", 10, validator=_VALIDATOR),
)
"""Plugins whose code cannot handle one object of a user."""


HANGS = Distribution(
    "hangs",
    _plugin("hangs", "while context.service.ref.name.startswith('hang'): pass\n    " + _WORKS),
)
"""A generator that does not return for a service whose name begins with ``hang``."""


def install(
    target: Path, work: Path, distributions: Iterable[Distribution] = DISTRIBUTIONS
) -> None:
    """Build the distributions in ``work`` and install them into ``target``.

    Raises:
        CalledProcessError: one cannot be built; its output is printed.
    """
    folders = [_write(distribution, work) for distribution in distributions]
    build = "import os, sys; from hatchling.build import build_wheel\n"
    build += "for folder in sys.argv[2:]:\n    os.chdir(folder)\n    build_wheel(sys.argv[1])"
    wheels = work / "wheels"
    wheels.mkdir()
    subprocess.run([sys.executable, "-c", build, str(wheels), *map(str, folders)], check=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(target)


def _write(distribution: Distribution, work: Path) -> Path:
    package = distribution.name.replace("-", "_")
    folder = work / distribution.name
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(distribution.code)
    (folder / "pyproject.toml").write_text(
        _PYPROJECT.format(
            name=distribution.name,
            version=distribution.version,
            dependencies=f'"{distribution.requires}"',
            plugin=distribution.plugin,
            module=f"{package}.nowhere" if distribution.missing_module else package,
            package=package,
        )
    )
    return folder
