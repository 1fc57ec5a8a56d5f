"""The files of a new plugin's distribution, as text by path.

The plugin works as it is: its filter is Envoy's direct_response, which every Envoy has and which
answers each connection with a text. Its modules are laid out as those of Aeraki's own plugins
(docs/plugins.md, "Layout"), so that it can grow. :class:`Part` values add what only some need.
The texts are the files in plugin_templates/.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from importlib.resources import files as package_files
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


def one_file_plugin(name: str) -> str:
    """The plugin for the protocol ``name`` as one module."""
    return _text("one_file.py", {"name": name, "title": _title(name)})


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
        "pyproject.toml": _text("pyproject.toml", values),
        "README.md": _text("README.md", values),
        "sample.yaml": _text("service.yaml", values)
        + (_text("object.yaml", values) if has_resource else "")
        + (_text("secret.yaml", values) if has_secret else ""),
        f"{package}/__init__.py": _text(
            "init_with_resource.py" if has_resource else "init.py", values
        ),
        f"{package}/protocol.py": _text("protocol.py", values),
        f"{package}/direct_response.py": _text("direct_response.py", values),
        f"{package}/py.typed": "",
        "tests/test_filters.py": _text("filters_test.py", values),
    }
    if has_resource:
        texts[f"{package}/codes.py"] = _text("codes.py", values)
        texts[f"{package}/resources.py"] = _text("resources.py", values)
    if Part.TRAFFIC in parts:
        texts["tests/test_traffic.py"] = _text("traffic_test.py", values)
    if Part.CI in parts:
        texts[".github/workflows/test.yaml"] = _text("workflow.yaml", values)
        texts[".gitignore"] = _text("gitignore", values)
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


def _text(template: str, values: Mapping[str, str]) -> str:
    path = package_files("aeraki_core.cli") / "plugin_templates" / f"{template}.tmpl"
    return Template(path.read_text(encoding="utf-8")).substitute(values)


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
