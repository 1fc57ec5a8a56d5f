"""A Secret's content that a plugin received leaves it in no finding, log line or traceback."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.secret import Secret
from aeraki_core.plugins.context import KeepLastGood
from aeraki_core.plugins.redact import redact

from aeraki_core import (
    GenerateContext,
    Patch,
    Protocol,
    Resource,
    ValidateContext,
    hookimpl,
)
from tests.unit.core.echo import BAD_VOLUME, POLICY, EchoPlugin, EchoSpec, Mesher

PASSWORD = "open\nsesame-4711"
SECRET = {"data": {"password": base64.b64encode(PASSWORD.encode()).decode()}}


def raised(password: str) -> NoReturn:
    raise RuntimeError(f"not with {password}")


def raised_from(password: str) -> NoReturn:
    try:
        raise KeyError(password)
    except KeyError as error:
        error.add_note(f"looked for {password!r}")
        raise RuntimeError("see its cause") from error


def raised_while_handling(password: str) -> NoReturn:
    try:
        raise ValueError(password)
    except ValueError:
        int("another error")
    raise AssertionError


def kept(password: str) -> NoReturn:
    raise KeepLastGood(f"no use for {password}")


def exited(password: str) -> NoReturn:
    raise SystemExit(password)


class Careless(EchoPlugin):
    """Reads the Secret ``s`` and gives its password away in one way."""

    def __init__(self, spill: Callable[[str], Patch]) -> None:
        super().__init__()
        self.spill = spill

    @hookimpl
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
        context.resources(POLICY)  # which refer to the Secret
        secret = context.secret("shop", "s")
        assert secret is not None
        password = secret.data["password"]
        context.report(BAD_VOLUME, f"told with {password}", field=f"spec.{password}")
        yield self.spill(secret.data["password"])

    @hookimpl
    def aeraki_validate(self, resource: Resource[EchoSpec], context: ValidateContext) -> None:
        secret = context.secret("shop", "s")
        assert secret is not None
        context.report(BAD_VOLUME, f"told with {secret.data['password']}")
        if resource.spec.volume == 2:
            self.spill(secret.data["password"])


@pytest.mark.parametrize("spill", [raised, raised_from, raised_while_handling, kept, exited])
def test_a_plugin_that_gives_a_password_away(
    spill: Callable[[str], Patch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mesh = Mesher(Careless(spill))
    mesh.put("Secret", "s", SECRET)
    mesh.service()
    for volume in (1, 2) if spill is not kept else (1,):
        mesh.put("EchoPolicy", f"p{volume}", {"host": "cart", "volume": volume, "secret": "s"})
    mesh.run()
    findings = mesh.pipeline.findings()
    told = "\n".join(f"{finding.message} {finding.field}" for finding in findings)
    assert "told with ***" in told
    assert "sesame" not in told + caplog.text
    assert "4711" not in told + caplog.text
    if spill is not kept:
        assert "raised" in told
        assert "Traceback (most recent call last)" in caplog.text  # the rest of it is there
        assert spill.__name__ in caplog.text
    else:
        assert "no use for ***" in caplog.text


class Unprintable(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no words for it")


def unprintable(password: str) -> NoReturn:
    raise Unprintable(password)


def test_an_error_that_cannot_be_printed_is_still_one_of_its_plugin() -> None:
    mesh = Mesher(Careless(unprintable))
    mesh.put("Secret", "s", SECRET)
    mesh.service()
    assert "AER0401" in mesh.codes()


def test_an_error_of_a_plugin_that_read_no_secret_is_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mesh = Mesher()
    mesh.put("Secret", "s", SECRET)
    mesh.service(annotations={"echo.aeraki.io/fail": "true"})
    assert mesh.codes() == ["AER0401"]
    assert "RuntimeError: asked to" in caplog.text


def secret_of(**data: Any) -> Secret:
    return Secret(ObjectRef("Secret", "shop", "s"), data)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("pass word", "is pass word.", "is ***."),
        (" trimmed\n", "is 'trimmed'", "is '***'"),
        ("it's\t", "KeyError: " + repr("it's\t"), 'KeyError: "***"'),
        ('a"b"c', '{"p": "a\\"b\\"c"}', '{"p": "***"}'),
        ("p@ss/word", "tcp://u:p%40ss%2Fword@h", "tcp://u:***@h"),
        ("user:pw", "Basic dXNlcjpwdw==", "Basic ***"),
        ("p@ss/word", "tcp://u:p%40ss/word@h", "tcp://u:***@h"),
        ("pass word", "?p=pass+word&", "?p=***&"),
        ("p\N{LATIN SMALL LETTER A WITH DIAERESIS}ss", r"b'p\xc3\xa4ss'", "b'***'"),
        ("~~~???", "fn5-Pz8_", "***"),
        ("four\ntwo2", "line two2 and four", "line *** and ***"),
        ("{\n  a: sesame\n}", "a mapping {a: sesame} and {}", "a mapping {***} and {}"),
        ("half a \ud800 pair", "is 'half a \\ud800 pair'", "is '***'"),
        ("open-sesame", "input_value='open-se...', open", "input_value='***...', open"),
        (
            "open-sesame",
            "input_value='opens...same' or 'op\N{HORIZONTAL ELLIPSIS}same'",
            "input_value='opens...***' or 'op\N{HORIZONTAL ELLIPSIS}***'",
        ),
        ("ab", "about ab and (ab)", "about *** and (***)"),
        ("", "nothing", "nothing"),
        ("a.c*", "abcc a.c*", "abcc ***"),
    ],
)
def test_every_form_of_a_value_is_masked(value: str, text: str, expected: str) -> None:
    assert redact(text, [secret_of(password=value)]) == expected


def test_a_value_that_holds_another_is_masked_as_a_whole() -> None:
    assert redact("is sesame-street", [secret_of(a="sesame", b="sesame-street")]) == "is ***"
    assert redact("is sesame-str...", [secret_of(a="sesame", b="sesame-street")]) == "is ***..."
