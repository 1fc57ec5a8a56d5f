"""The files of a new plugin's distribution.

In: the protocol's name. Out: text by path. The plugin works as it is: its filter is Envoy's echo, which every Envoy has.
"""

from __future__ import annotations

from string import Template

__all__ = ["files", "one_file_plugin"]

_PYPROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "aeraki-plugins-$name"
version = "0.1.0"
description = "$title in an Istio mesh: an Aeraki plugin"
readme = "README.md"
requires-python = ">=3.11"
dependencies = [
  "aeraki-core>=$core,<$next_core",
  "xds-protos>=1.85", # Envoy's configuration as typed messages
]

[project.optional-dependencies]
test = ["aeraki-core[testing]", "mypy"]

[project.entry-points."aeraki.plugins"]
$name = "$package"

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]

[tool.mypy]
strict = true
files = ["src", "tests"]

[[tool.mypy.overrides]]
module = ["envoy.*"] # xds-protos has no types
ignore_missing_imports = true
""")

_SAMPLE = Template("""\
apiVersion: v1
kind: Service
metadata:
  name: sample
  namespace: demo
spec:
  clusterIP: 10.96.0.7
  selector:
    app: sample
  ports:
    - name: tcp-$name
      port: 7000
      targetPort: 17000
""")

_INIT = Template('''\
"""$title for Aeraki.

In: a service port that speaks $title (named tcp-$name). Out: an Envoy filter in the place of tcp_proxy.
"""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core import Extension, GenerateContext, Patch, Protocol, hookimpl
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

FILTER = "envoy.filters.network.echo"  # put your protocol's filter here
PROTOCOL = Protocol(
    name="$name",
    tokens=("$name",),
    extension=Extension(FILTER, stock=True),
    summary="$title, so far answered by Envoy's echo",
)


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """The protocols of this plugin."""
    return [PROTOCOL]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """The filter for the clients of one service port."""
    yield context.outbound.replace_tcp_proxy(FILTER, Echo())
''')

_TEST = Template('''\
"""The plugin keeps every promise that Aeraki makes for it; a real Envoy loads its filters."""

from __future__ import annotations

from pathlib import Path

from aeraki_core.testing import PluginConformance, generate

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")


def test_clients_get_the_filter() -> None:
    made = generate(SAMPLE, plugins=["$name"])
    assert [patch["patch"]["value"]["name"] for patch in made.patches()] == ["envoy.filters.network.echo"]
    assert made.findings == ()


class TestConformance(PluginConformance):
    plugin = "$name"
    examples = {"a service": SAMPLE}
''')

_README = Template("""\
# aeraki-plugins-$name

$title in an Istio mesh: a plugin of Aeraki.

```
pip install -e '.[test]'
aeraki plugins $name
aeraki generate -f sample.yaml
pytest
mypy
```

A Service's port named `tcp-$name`, as in `sample.yaml`, gets for its clients the filter that `src/$package/__init__.py` makes.
Aeraki's docs/plugins.md is the page to read next.
""")


def one_file_plugin(name: str) -> str:
    """The plugin for the protocol ``name`` as one module."""
    title = name.replace("-", " ").capitalize()
    return _INIT.substitute(name=name, title=title)


def files(name: str) -> dict[str, str]:
    """The files of a plugin for the protocol ``name`` (lower-case words joined by dashes)."""
    from aeraki_core.plugins.discovery import core_version

    major, minor = [*core_version().split("."), "0"][:2]
    values = {
        "name": name,
        "package": f"aeraki_plugins_{name.replace('-', '_')}",
        "title": name.replace("-", " ").capitalize(),
        "core": f"{major}.{minor}",
        # Before 1.0 a minor version may change the hooks.
        "next_core": f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1),
    }
    package = values["package"]
    return {
        "pyproject.toml": _PYPROJECT.substitute(values),
        "README.md": _README.substitute(values),
        "sample.yaml": _SAMPLE.substitute(values),
        f"src/{package}/__init__.py": _INIT.substitute(values),
        f"src/{package}/py.typed": "",
        f"tests/test_{package}.py": _TEST.substitute(values),
    }
