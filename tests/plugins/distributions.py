"""Small plugins that misbehave, as real distributions with metadata and an entry point.

Their backend builds them from the tables below, and they are installed in a folder for
``sys.path``. A pure wheel is installed by unpacking it (the binary distribution format, "Installing
a wheel"), so neither pip nor a network is needed.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DECLARATIONS",
    "DISTRIBUTIONS",
    "HANGS",
    "OBJECTS",
    "OTHER_EXTENSION",
    "SAME_KIND",
    "SHARED_CODE",
    "Distribution",
    "install",
    "install_folders",
]

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
        return [Protocol(name="{token}", tokens=("{token}",), \
extension=Extension(ECHO, stock=True), summary="Echoes")]

    @hookimpl
    def aeraki_generate(protocol, context):
        {body}
"""
_PATCHES = "[context.outbound.replace_tcp_proxy(ECHO, Echo())]"
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
            "context.report(Code(id='UND0101', severity=Severity.ERROR, "
            "title='a', action='b'), 'not declared'); " + _WORKS,
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
    Distribution("nested", _plugin("nested", "yield (patch for patch in " + _PATCHES + ")")),
    Distribution(
        "derived-patch",
        _plugin("derived-patch", "yield object.__new__(Derived)")
        + "\nfrom aeraki_core import Patch\n\nclass Derived(Patch):\n    @property\n"
        "    def side(self): raise RuntimeError('no side')\n",
    ),
    Distribution(
        "odd-patch",
        "from dataclasses import replace\n"
        + _plugin("odd-patch", f"return [replace({_PATCHES}[0], side='outbound')]"),
    ),
    Distribution(
        "other-content",
        "from dataclasses import replace\n"
        + _plugin(
            "other-content",
            f"return [replace({_PATCHES}[0], apply_to=context.outbound.add_cluster("
            "__import__('envoy.config.cluster.v3.cluster_pb2', fromlist=['x'])"
            ".Cluster(name='aeraki')).apply_to)]",
        ),
    ),
    Distribution(
        "huge",
        _plugin("huge", "return [context.outbound.replace_tcp_proxy('x' * 5_000_000, Echo())]"),
    ),
    Distribution(
        "huge-finding",
        "from aeraki_core import Code, Severity\n"
        "LONG = Code(id='LNG0101', severity=Severity.INFO, title='long', action='None.')\n"
        + _plugin(
            "huge-finding",
            "context.report(LONG, 'x' * 5_000_000); raise ValueError('y' * 5_000_000)",
        ).replace('summary="Echoes"', 'summary="Echoes", codes=(LONG,)'),
    ),
    Distribution(
        "unprintable",
        _plugin("unprintable", "raise Unprintable")
        + "\nclass Unprintable(BaseException):\n    def __str__(self): raise RuntimeError('no')\n",
    ),
    Distribution(
        "keeps-unprintable",
        _plugin("keeps-unprintable", "raise Unprintable")
        + "\nfrom aeraki_core import KeepLastGood\n\nclass Unprintable(KeepLastGood):\n"
        "    def __str__(self): raise RuntimeError('no')\n",
    ),
    Distribution("unordered", _plugin("unordered", "return {*" + _PATCHES + "}")),
    Distribution(
        "no-name", _plugin("no-name", "return [context.outbound.replace_tcp_proxy('', Echo())]")
    ),
    Distribution("closes", _plugin("closes", "raise GeneratorExit")),
    Distribution("stops", _plugin("stops", "raise StopIteration")),
    Distribution(
        "recurses",
        _plugin("recurses", "return again()") + "\ndef again(): return again()\n",
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
    Distribution(
        "derived-protocol",
        _plugin("x").replace("return [Protocol(", "return [type('Mine', (Protocol,), {})("),
    ),
    Distribution(
        "unprintable-import",
        "class Unprintable(BaseException):\n    def __str__(self): raise RuntimeError('no')\n"
        "raise Unprintable\n",
    ),
    Distribution("tokens-text", _plugin("word").replace('("word",)', '"word"')),
    Distribution("no-protocol", _plugin("x").replace("return [Protocol(", "return [dict(")),
    Distribution(
        "raises-in-hook",
        _plugin("x").replace("return [Protocol(", "raise ValueError('later')\n    [Protocol("),
    ),
    Distribution("bad-token", _plugin("Bad Token")),
)


_CODE = "Code(id={id!r}, severity=Severity.WARNING, title='a title', action='an action')"


def _declares(name: str, *, protocol: str = "", kind: str = "", more: str = "") -> Distribution:
    """A plugin whose declaration has one mistake; ``protocol`` and ``kind`` are more arguments."""
    code = "from aeraki_core import Code, Kind, Option, OptionType, Severity\n"
    code += "from pydantic import BaseModel\n" + _plugin(name)
    code = code.replace('summary="Echoes"', f'summary="Echoes", {protocol}')
    if kind:
        given = {
            "group": f"'{name}.example.com'",
            "version": "'v1'",
            "kind": "'Policy'",
            "plural": "'policies'",
            "spec": "Spec",
            "summary": "'For tests'",
        }
        field, _, value = kind.partition("=")
        given[field] = value
        arguments = ", ".join(f"{key}={text}" for key, text in given.items())
        code += "\nclass Spec(BaseModel):\n    host: str = ''\n"
        code += f"\n@hookimpl\ndef aeraki_resources():\n    return [Kind({arguments})]\n"
    return Distribution(name, code + more)


def _code(identity: str) -> str:
    return f"codes=({_CODE.format(id=identity)},)"


def _option(arguments: str) -> str:
    return f"options=(Option(help='For tests', {arguments}),)"


_ECHO_EXTENSION = "extension=Extension(ECHO, stock=True)"

DECLARATIONS = (
    (_declares("code-form", protocol=_code("oops")), "'oops' is no id of a finding"),
    (_declares("code-core", protocol=_code("AER0101")), "AER0101 is the core's"),
    (
        _declares(
            "code-prefixes",
            protocol=f"codes=({_CODE.format(id='AAA0101')}, {_CODE.format(id='BBB0101')})",
        ),
        "the findings begin with AAA and BBB: a plugin has one prefix",
    ),
    (
        _declares(
            "code-twice",
            protocol=f"codes=({_CODE.format(id='CCC0101')}, "
            f"{_CODE.format(id='CCC0101').replace('a title', 'another')})",
        ),
        "the finding CCC0101 is declared twice",
    ),
    (
        _declares(
            "code-severity", protocol=_code("DDD0101").replace("Severity.WARNING", "'error'")
        ),
        "the severity of DDD0101 is 'error': write Severity.WARNING, say",
    ),
    (_declares("code-text", protocol="codes=('EEE0101',)"), "holds 'EEE0101', which is no Code"),
    (
        _declares("option-name", protocol=_option("name='my option!', type=OptionType.TEXT")),
        "'my option!' is no name of an option",
    ),
    (
        _declares(
            "option-twice",
            protocol="options=(Option(name='a', type=OptionType.INT, help='h'),) * 2",
        ),
        "the option of option-twice a is declared twice",
    ),
    (
        _declares(
            "option-default", protocol=_option("name='a', type=OptionType.LIST, default='find'")
        ),
        "the default 'find' of the option a is not of type LIST: write a tuple of texts",
    ),
    (
        _declares(
            "option-choice",
            protocol=_option("name='a', type=OptionType.TEXT, default='c', choices=('a', 'b')"),
        ),
        "the default 'c' of the option a is none of its choices",
    ),
    (
        _declares(
            "option-limits",
            protocol=_option("name='a', type=OptionType.INT, default=1, minimum=2, maximum=3"),
        ),
        "the default 1 of the option a is outside its limits",
    ),
    (
        _declares("kind-plural", kind="plural='Plural!'"),
        "'Plural!' is no plural of a resource: write one such as echopolicies",
    ),
    (_declares("kind-name", kind="kind='my kind'"), "'my kind' is no kind of a resource"),
    (_declares("kind-group", kind="group='Not A Group'"), "'Not A Group' is no API group"),
    (_declares("kind-version", kind="version='1'"), "'1' is no version of a resource"),
    (
        _declares("kind-istio", kind="group='networking.istio.io'"),
        "Policy.networking.istio.io is not yours: groups of istio.io are reserved",
    ),
    (_declares("kind-k8s", kind="group='apps.k8s.io'"), "groups of k8s.io are reserved"),
    (_declares("kind-spec", kind="spec=dict"), "the spec of Policy is <class 'dict'>"),
    (
        _declares("kind-short", kind="short_names='ab'"),
        "the short names of Policy are 'ab': write a tuple of texts, such as ('a',)",
    ),
    (
        _declares("kind-columns", kind="printer_columns=(('a', 1),)"),
        "the printer columns of Policy are (('a', 1),): write a tuple of pairs of texts",
    ),
    (
        _declares("kind-hosts", kind="hosts=None"),
        "hosts of Policy is None: write a function of the spec",
    ),
    (_declares("kind-summary", kind="summary=3"), "the summary of Policy is 3: write one line"),
    (
        _declares(
            "kind-schema",
            kind="spec=type('Odd', (BaseModel,), "
            "{'model_json_schema': classmethod(lambda cls, **arguments: 'nonsense')})",
        ),
        "no CRD can be made of the spec of Policy: TypeError: its schema is a str",
    ),
    (
        _declares(
            "option-choices", protocol=_option("name='a', type=OptionType.TEXT, choices='ab'")
        ),
        "the choices of the option a are 'ab': write a tuple of texts, such as ('a',)",
    ),
    (
        _declares(
            "option-aliases", protocol=_option("name='a', type=OptionType.TEXT, aliases='ab'")
        ),
        "the aliases of the option a are 'ab': write a tuple of texts, such as ('a',)",
    ),
    (
        _declares("option-minimum", protocol=_option("name='a', type=OptionType.INT, minimum='1'")),
        "a limit of the option a is '1': write a number",
    ),
    (
        _declares(
            "option-nan",
            protocol=_option("name='a', type=OptionType.DURATION, default=float('nan')"),
        ),
        "the default nan of the option a is not of type DURATION",
    ),
    (
        Distribution(
            "no-tokens", _plugin("no-tokens").replace('tokens=("no-tokens",)', "tokens=()")
        ),
        "no port can speak no-tokens: give it tokens, or write aeraki_detect_protocol",
    ),
    (
        Distribution(
            "odd-token",
            "class Word(str):\n    def __eq__(self, other): raise RuntimeError('no')\n"
            "    __hash__ = str.__hash__\n"
            + _plugin("odd-token").replace('("odd-token",)', '(Word("odd-token"),)'),
        ),
        "the tokens of odd-token are ('odd-token',): write a tuple of texts",
    ),
    (
        Distribution(
            "stock-claim",
            _plugin("stock-claim").replace(
                _ECHO_EXTENSION,
                'extension=Extension("envoy.filters.network.generic_proxy", stock=True)',
            ),
        ),
        "envoy.filters.network.generic_proxy is not in istio-proxy 1.22 to 1.31: "
        "declare it with stock=False",
    ),
    (
        Distribution(
            "extension-text",
            _plugin("extension-text").replace(_ECHO_EXTENSION, "extension=ECHO"),
        ),
        "'envoy.filters.network.echo' is no extension: write Extension(name, stock=...)",
    ),
    (
        Distribution(
            "never-generates",
            "from aeraki_core import hookimpl\n\n@hookimpl\ndef aeraki_generate(context): ...\n",
        ),
        "aeraki_generate is never called: declare a protocol with aeraki_protocols",
    ),
    (
        _declares("never-validates", more="\n@hookimpl\ndef aeraki_validate(context): ...\n"),
        "aeraki_validate is never called: declare a kind with aeraki_resources",
    ),
    (
        Distribution("async", _plugin("async").replace("def aeraki_gen", "async def aeraki_gen")),
        "aeraki_generate is async: write `def aeraki_generate`, hooks are plain functions",
    ),
    (
        Distribution(
            "endless-list",
            _plugin("endless-list").replace(
                "    return [Protocol(", "    while True: yield [Protocol("
            ),
        ),
        "aeraki_protocols gave more than 1000 values",
    ),
)
"""Plugins whose declarations have a mistake, and the sentence that names it."""

SHARED_CODE = (
    _declares("shares-one", protocol=_code("SHA0101")),
    _declares("shares-two", protocol=_code("SHA0101")),
)
"""Two plugins that declare the same finding."""

SAME_KIND = (_declares("same-one", kind="version='v1'"), _declares("same-two", kind="version='v1'"))
"""Two plugins with the same kind in groups of their own: they do not disturb each other."""

OTHER_EXTENSION = Distribution(
    "other-extension",
    "from envoy.extensions.filters.network.mongo_proxy.v3.mongo_proxy_pb2 import MongoProxy\n"
    + _plugin("other-extension", "yield context.outbound.replace_tcp_proxy(ECHO, MongoProxy())"),
)
"""It declares one extension and uses another under its name."""

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
    install_folders(target, work, [_write(each, work) for each in distributions])


def install_folders(target: Path, work: Path, folders: Iterable[Path]) -> None:
    """Build the distributions in these folders and install them into ``target``.

    Raises:
        CalledProcessError: one cannot be built; its output is printed.
    """
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
