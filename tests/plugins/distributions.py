"""Small plugins that misbehave, as real distributions: built by their backend, with metadata and an entry point.

In: the tables below. Out: a folder that holds them installed, to be put on ``sys.path``. A pure wheel is installed by unpacking it
(the binary distribution format, "Installing a wheel"), so neither pip nor a network is needed.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DISTRIBUTIONS", "Distribution", "install"]

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
        return [Protocol("{token}", ("{token}",), Extension(ECHO, stock=True), "Sends back what it gets")]

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
        .replace('gets")]', 'gets"))'),
    ),
    Distribution("tokens-text", _plugin("word").replace('("word",)', '"word"')),
    Distribution("no-protocol", _plugin("x").replace("return [Protocol(", "return [(")),
    Distribution(
        "raises-in-hook",
        _plugin("x").replace("return [Protocol(", "raise ValueError('later')\n    [Protocol("),
    ),
    Distribution("bad-token", _plugin("Bad Token")),
)


def install(target: Path, work: Path) -> None:
    """Build every distribution in ``work`` and install it into ``target``.

    Raises:
        CalledProcessError: one cannot be built; its output is printed.
    """
    folders = [_write(distribution, work) for distribution in DISTRIBUTIONS]
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
