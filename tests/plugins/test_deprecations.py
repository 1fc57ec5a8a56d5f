"""What is deprecated works, and warns with the plugin's line."""

from __future__ import annotations

from pathlib import Path

import pytest
from aeraki_core.deprecations import DEPRECATIONS, Deprecation, Use
from aeraki_core.plugins.discovery import load_file
from aeraki_core.plugins.registry import PluginInfo, build_registry
from aeraki_core.testing import generate, service

import aeraki_core
from aeraki_core import AerakiDeprecationWarning, Severity, deprecations

FOR_TESTS = (
    Deprecation(
        use=Use.PARAMETER, name="aeraki_generate.proto", since="0.1", gone="0.2", instead="protocol"
    ),
    Deprecation(use=Use.NAME, name="Layer7", since="0.1", gone="0.2", instead="Protocol"),
)
PLUGIN = """\
from aeraki_core import Code, Extension, Severity, hookimpl
from aeraki_core import {name}
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

ECHO = "envoy.filters.network.echo"
CODE = Code({code})


@hookimpl
def aeraki_protocols():
    return [{name}(name="old", tokens=("old",), extension=Extension(ECHO, stock=True),
                     summary="Old", codes=(CODE,))]


@hookimpl
def aeraki_generate({parameter}, context):
    assert {parameter}.name == "old"
    yield context.outbound.replace_tcp_proxy(ECHO, Echo())
"""
POSITIONS = "'OLD0101', Severity.INFO, 'old', 'None.'"
KEYWORDS = "id='OLD0101', severity=Severity.INFO, title='old', action='None.'"


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecations, "DEPRECATIONS", (*DEPRECATIONS, *FOR_TESTS))


def plugin(
    folder: Path, *, name: str = "Protocol", parameter: str = "protocol", code: str = KEYWORDS
) -> PluginInfo:
    """The plugin as it is loaded; it makes its filter."""
    file = folder / "old.py"
    file.write_text(PLUGIN.format(name=name, parameter=parameter, code=code))
    registry = build_registry([load_file(file)])
    assert registry.plugins[0].reason == ""
    made = generate(service("old", {"tcp-old": 7}), plugins=registry)
    assert (len(made.filters), made.codes) == (1, ())
    return registry.plugins[0]


@pytest.mark.parametrize(
    ("uses", "line", "text"),
    [
        (
            {"name": "Layer7"},
            2,
            "Layer7 is deprecated since 0.1 and goes in 0.2: import Protocol",
        ),
        (
            {"parameter": "proto"},
            15,
            "the parameter proto of aeraki_generate is deprecated since 0.1 and goes in 0.2: "
            "take protocol",
        ),
        (
            {"code": POSITIONS},
            6,
            "Code(...) with arguments by position is deprecated since 0.1 and goes in 0.2: "
            "write Code(id=..., severity=..., title=..., action=...)",
        ),
    ],
    ids=["name", "parameter", "position"],
)
def test_it_works_and_names_the_line(
    tmp_path: Path, uses: dict[str, str], line: int, text: str
) -> None:
    with pytest.warns(AerakiDeprecationWarning) as caught:
        info = plugin(tmp_path, **uses)
    file = str(tmp_path / "old.py")
    assert {(str(each.message), each.filename, each.lineno) for each in caught} == {
        (text, file, line)
    }
    assert info.deprecated == (f"{file}:{line}: {text}",)


@pytest.mark.filterwarnings("error")
def test_what_is_not_deprecated_does_not_warn(tmp_path: Path) -> None:
    assert plugin(tmp_path).deprecated == ()


def test_what_the_table_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deprecations, "DEPRECATIONS", ())
    with pytest.raises(AssertionError, match="aeraki_generate is given no proto"):
        plugin(tmp_path, parameter="proto")
    with pytest.raises(AttributeError, match="Layer7"):
        aeraki_core.Layer7  # type: ignore[attr-defined]  # noqa: B018
    assert aeraki_core.Code("OLD0101", Severity.INFO, "old", "None.").title == "old"
