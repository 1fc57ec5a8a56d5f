"""The files of a new plugin's distribution, as text by path.

The plugin works as it is: its filter is Envoy's direct_response, which every Envoy has and which
answers each connection with a text. Its modules are laid out as those of Aeraki's own plugins
(docs/plugins.md, "Layout"), so that it can grow. :class:`Part` values add what only some need.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from string import Template

__all__ = ["Part", "files", "one_file_plugin"]


class Part(StrEnum):
    """What a new plugin can have beside a protocol.

    RESOURCE: a custom resource with its model, a finding and its validation. SECRET: a Secret that
    the resource names. TRAFFIC: a test with traffic through a real Envoy. CI: a workflow of GitHub.
    """

    RESOURCE = "resource"
    SECRET = "secret"
    TRAFFIC = "traffic"
    CI = "ci"


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
test = ["aeraki-core[testing]", "mypy", "ruff"]

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

[tool.ruff]
line-length = 100

[tool.ruff.lint]
select = ["ANN", "B", "E", "F", "I", "N", "PT", "SIM", "UP", "W"]
""")

_README = Template("""\
# aeraki-plugins-$name

$title in an Istio mesh: a plugin of Aeraki.

```
pip install -e '.[test]'
aeraki plugins $name
aeraki generate -f sample.yaml
pytest
mypy
ruff check
```

A Service's port named `tcp-$name`, as in `sample.yaml`, gets for its clients the filter that
`src/$package/direct_response.py` configures. Put your protocol's in its place. Aeraki's
docs/plugins.md is the page to read next.
""")

_SERVICE = Template("""\
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

_OBJECT = Template("""\
---
apiVersion: $name.example.com/v1alpha1
kind: ${camel}Answer
metadata:
  name: sample
  namespace: demo
spec:
  host: sample
  answer: hello
""")

_SECRET_OBJECT = """\
  secret: sample
---
apiVersion: v1
kind: Secret
metadata:
  name: sample
  namespace: demo
stringData:
  token: a-token-for-tests
"""

_PROTOCOL = Template('''\
"""$title as its users see it: the names of its ports, and what it gives them."""

from __future__ import annotations

from aeraki_core import Extension, Protocol
$import_codes
__all__ = ["FILTER", "PROTOCOL"]

FILTER = "envoy.filters.network.direct_response"  # put your protocol's filter here
PROTOCOL = Protocol(
    name="$name",
    tokens=("$name",),
    extension=Extension(FILTER, stock=True),
    summary="$title, so far one answer to every connection",$codes
)
''')

_FILTER = '''\
"""The configuration of Envoy's direct_response, which answers each connection with a text."""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config

__all__ = ["direct_response"]


def direct_response(answer: str) -> Config:
    """Return the configuration that gives that answer."""
    return Config(response=DataSource(inline_string=answer))
'''

_INIT = Template('''\
"""$title for Aeraki: a filter takes the place of tcp_proxy on ports ``tcp-$name``."""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core import GenerateContext, Patch, Protocol, hookimpl

from $package.direct_response import direct_response
from $package.protocol import FILTER, PROTOCOL


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the protocols of this plugin."""
    return [PROTOCOL]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Make the filter for the clients of one service port."""
    yield context.outbound.replace_tcp_proxy(FILTER, direct_response("hello"))
''')

_INIT_WITH_RESOURCE = Template('''\
"""$title for Aeraki: a filter takes the place of tcp_proxy on ports ``tcp-$name``.

A ${camel}Answer says what it answers for a host.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aeraki_core import (
    GenerateContext,
    Kind,
    Patch,
    Protocol,
    Resource,
    ValidateContext,
    hookimpl,
)

from $package.codes import UNKNOWN_HOST
from $package.direct_response import direct_response
from $package.protocol import FILTER, PROTOCOL
from $package.resources import ANSWER, AnswerSpec, answer_for


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the protocols of this plugin."""
    return [PROTOCOL]


@hookimpl
def aeraki_resources() -> Iterable[Kind[Any]]:
    """Return the custom resources of this plugin."""
    return [ANSWER]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Make the filter for the clients of one service port."""
    yield context.outbound.replace_tcp_proxy(FILTER, direct_response(answer_for(context)))


@hookimpl
def aeraki_validate(resource: Resource[AnswerSpec], context: ValidateContext) -> None:
    """Report an object for a host that the mesh does not have."""
    host = resource.spec.host
    if not context.has_host(host):
        context.report(UNKNOWN_HOST, f"the mesh has no service {host}", field="spec.host")
''')

_CODES = Template('''\
"""The findings that this plugin reports on its own."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["UNKNOWN_HOST"]

UNKNOWN_HOST = Code(
    id="${prefix}0101",
    severity=Severity.WARNING,
    title="no such host",
    action="Correct spec.host, or add its Service.",
)
''')

_RESOURCES = Template('''\
"""The custom resource of this plugin: what the filter answers for a host."""

from __future__ import annotations

from aeraki_core import GenerateContext, Kind, SpecModel
from pydantic import Field

__all__ = ["ANSWER", "AnswerSpec", "answer_for"]


class AnswerSpec(SpecModel):
    """Says what a host answers. The CRD's schema is made from this model."""

    host: str = Field(min_length=1, max_length=253, description="Host, short or full")
    answer: str = Field(default="hello", max_length=1000, description="What it answers")
$secret_field

ANSWER = Kind(
    group="$name.example.com",
    version="v1alpha1",
    kind="${camel}Answer",
    plural="${plural}answers",
    spec=AnswerSpec,
    summary="What a host answers",
    hosts=lambda spec: [spec.host],$secret_names
)


def answer_for(context: GenerateContext) -> str:
    """Return what the service answers: the oldest object for it counts.$raises"""
    for resource in context.resources(ANSWER):
        answer = resource.spec.answer$use_secret
        return answer
    return "hello"
''')

_SECRET_FIELD = """\
    secret: str = Field(
        default="", max_length=253, description="A Secret, whose field token the answer ends with"
    )
"""
_SECRET_NAMES = """
    secrets=lambda spec: [spec.secret] if spec.secret else [],"""
_RAISES = """

    Raises:
        KeepLastGood: the Secret, or its field, is missing. The last good filter stays.
    """
_USE_SECRET = """
        if resource.spec.secret:
            secret = context.secret(resource.namespace, resource.spec.secret)
            if secret is None or "token" not in secret.data:
                message = f"no token in the Secret {resource.spec.secret}"
                raise context.missing_secret(message, resource.ref, "spec.secret")
            answer += " " + secret.data["token"]"""

_TEST = Template('''\
"""The filters of the plugin, and its conformance to Aeraki's contract."""

from __future__ import annotations

from pathlib import Path

from aeraki_core.testing import PluginConformance, generate

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")
$more_samples

def test_clients_get_the_filter() -> None:
    made = generate(SAMPLE, plugins=["$name"])
    (patch,) = made.patches()
    response = patch["patch"]["value"]["typed_config"]["response"]
    assert response == {"inline_string": "$answer"}
    assert made.findings == ()
$more_tests

class TestConformance(PluginConformance):
    """What every plugin must hold to; a real Envoy loads what comes out."""

    plugin = "$name"
    examples = {"a service": SAMPLE}$reporting
''')

_LOST = """\
LOST = SAMPLE.replace("host: sample", "host: nowhere")
"""
_WITHOUT = """\
WITHOUT = SAMPLE.replace("token: a-token-for-tests", "other: a-token-for-tests")
"""
_TEST_HOST = Template("""

def test_a_host_that_does_not_exist_is_a_finding() -> None:
    made = generate(LOST, plugins=["$name"])
    assert made.codes == ("${prefix}0101",)
""")
_TEST_SECRET = Template("""

def test_a_secret_without_the_field_is_a_finding_and_no_filter() -> None:
    made = generate(WITHOUT, plugins=["$name"])
    assert made.codes == ("AER0405",)
    assert made.filters == ()
""")

_TEST_TRAFFIC = Template('''\
"""Real bytes through a real Envoy."""

from __future__ import annotations

import socket
from pathlib import Path

from aeraki_core.testing import Sandbox, objects_in

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")
ADDRESS = "127.65.0.7"  # of the Service, so that a client reaches Envoy's listener


def test_a_client_gets_the_answer(envoy_sandbox: Sandbox) -> None:
    objects = objects_in(SAMPLE)
    objects[0]["spec"]["clusterIP"] = ADDRESS
    sidecar = envoy_sandbox.serve(objects, plugins=["$name"])
    with socket.create_connection((ADDRESS, 7000), timeout=30) as connection:
        assert connection.makefile().read() == "$answer"
    assert sidecar.envoy.warnings == ()
''')

_WORKFLOW = """\
name: test
on:
  push:
    branches: [main]
  pull_request:
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 20
    strategy:
      matrix:
        python: ["3.11", "3.12", "3.13", "3.14"]
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: ${{ matrix.python }}
      - run: pip install '.[test]'
      - run: ruff check
      - run: ruff format --check
      - run: mypy
      - run: pytest
"""

_GITIGNORE = """\
__pycache__/
*.egg-info/
.venv/
dist/
.mypy_cache/
.pytest_cache/
.ruff_cache/
"""

_ONE_FILE = Template('''\
"""$title for Aeraki: a filter takes the place of tcp_proxy on ports ``tcp-$name``."""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core import Extension, GenerateContext, Patch, Protocol, hookimpl
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config

FILTER = "envoy.filters.network.direct_response"  # put your protocol's filter here
PROTOCOL = Protocol(
    name="$name",
    tokens=("$name",),
    extension=Extension(FILTER, stock=True),
    summary="$title, so far one answer to every connection",
)


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the protocols of this plugin."""
    return [PROTOCOL]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Make the filter for the clients of one service port."""
    config = Config(response=DataSource(inline_string="hello"))
    yield context.outbound.replace_tcp_proxy(FILTER, config)
''')


def one_file_plugin(name: str) -> str:
    """The plugin for the protocol ``name`` as one module."""
    return _ONE_FILE.substitute(name=name, title=_title(name))


def files(name: str, parts: Collection[Part] = ()) -> dict[str, str]:
    """The files of a plugin for the protocol ``name`` (lower-case words joined by dashes)."""
    has_secret = Part.SECRET in parts
    has_resource = has_secret or Part.RESOURCE in parts
    values = _names(name)
    values |= {
        "import_codes": f"\nfrom {values['package']}.codes import UNKNOWN_HOST\n"
        if has_resource
        else "",
        "codes": "\n    codes=(UNKNOWN_HOST,)," if has_resource else "",
        "secret_field": _SECRET_FIELD if has_secret else "",
        "secret_names": _SECRET_NAMES if has_secret else "",
        "use_secret": _USE_SECRET if has_secret else "",
        "raises": _RAISES if has_secret else "",
        "answer": "hello a-token-for-tests" if has_secret else "hello",
    }
    values["more_samples"] = (_LOST if has_resource else "") + (_WITHOUT if has_secret else "")
    values["more_tests"] = (_TEST_HOST.substitute(values) if has_resource else "") + (
        _TEST_SECRET.substitute(values) if has_secret else ""
    )
    reporting = {"a lost object": "LOST"} if has_resource else {}
    reporting |= {"a secret without the field": "WITHOUT"} if has_secret else {}
    pairs = ", ".join(f'"{title}": {sample}' for title, sample in reporting.items())
    values["reporting"] = f"\n    reporting = {{{pairs}}}" if reporting else ""

    package = f"src/{values['package']}"
    texts = {
        "pyproject.toml": _PYPROJECT.substitute(values),
        "README.md": _README.substitute(values),
        "sample.yaml": _SERVICE.substitute(values)
        + (_OBJECT.substitute(values) if has_resource else "")
        + (_SECRET_OBJECT if has_secret else ""),
        f"{package}/__init__.py": (_INIT_WITH_RESOURCE if has_resource else _INIT).substitute(
            values
        ),
        f"{package}/protocol.py": _PROTOCOL.substitute(values),
        f"{package}/direct_response.py": _FILTER,
        f"{package}/py.typed": "",
        "tests/test_filters.py": _TEST.substitute(values),
    }
    if has_resource:
        texts[f"{package}/codes.py"] = _CODES.substitute(values)
        texts[f"{package}/resources.py"] = _RESOURCES.substitute(values)
    if Part.TRAFFIC in parts:
        texts["tests/test_traffic.py"] = _TEST_TRAFFIC.substitute(values)
    if Part.CI in parts:
        texts[".github/workflows/test.yaml"] = _WORKFLOW
        texts[".gitignore"] = _GITIGNORE
    return texts


def _names(name: str) -> dict[str, str]:
    """What the name is in each place, and the versions of the core that the plugin needs."""
    from aeraki_core.plugins.discovery import core_version

    major, minor = [*core_version().split("."), "0"][:2]
    words = name.split("-")
    letters = "".join(letter for letter in name.upper() if letter.isalpha())
    return {
        "name": name,
        "package": f"aeraki_plugins_{'_'.join(words)}",
        "title": _title(name),
        "camel": "".join(word.capitalize() for word in words),
        "plural": "".join(words),
        # Two letters at least, and none of the core's.
        "prefix": f"{letters:X<3}"[:3].replace("AER", "AEX"),
        "core": f"{major}.{minor}",
        # Before 1.0 a minor version may change the hooks.
        "next_core": f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1),
    }


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
