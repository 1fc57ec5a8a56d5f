"""Checks the declarations of a plugin before use: each mistake is one sentence with its remedy.

Declarations reach users (annotations, findings, CRDs) and proxies (extensions), where a mistake
shows late and far from its cause. So a plugin with a wrong declaration does not become active.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from aeraki_core.errors import PluginError
from aeraki_core.findings.finding import Code, Severity
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.model.resource import Kind
from aeraki_core.plugins.istio_proxy import releases_without
from aeraki_core.plugins.types import OPTION_TYPES, AddOn, Extension, Option, OptionType, Protocol

__all__ = ["check_addons", "check_codes", "check_hooks", "check_kinds", "check_protocols"]

_CODE = re.compile(r"([A-Z]{2,8})[0-9]{4}")
_CORE_PREFIX = "AER"
_OPTION_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ANNOTATION = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_PLURAL = re.compile(r"[a-z][a-z0-9]{0,62}")
_EXTENSION = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_RESERVED_GROUPS = ("k8s.io", "kubernetes.io", "istio.io")

_LIMITED = (OptionType.INT, OptionType.DURATION)
_CHOOSING = (OptionType.TEXT, OptionType.LIST, OptionType.MAP)


def check_hooks(
    functions: Mapping[str, Callable[..., object]],
    protocols: tuple[Protocol, ...],
    kinds: tuple[Kind[Any], ...],
    addons: tuple[AddOn, ...],
) -> None:
    """Refuse hooks that are never called, or that cannot be called.

    Raises:
        PluginError: the message says which, and what to do.
    """
    for name, function in sorted(functions.items()):
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise PluginError(f"{name} is async: write `def {name}`, hooks are plain functions")
    # A hook that nothing calls is a plugin that silently does nothing.
    needs_protocols = {"aeraki_generate", "aeraki_detect_protocol"} & functions.keys()
    if needs_protocols and not protocols:
        raise PluginError(
            f"{min(needs_protocols)} is never called: declare a protocol with aeraki_protocols"
        )
    if "aeraki_validate" in functions and not kinds:
        raise PluginError("aeraki_validate is never called: declare a kind with aeraki_resources")
    silent = next((protocol for protocol in protocols if not protocol.tokens), None)
    if silent is not None and "aeraki_detect_protocol" not in functions:
        raise PluginError(
            f"no port can speak {silent.name}: give it tokens, or write aeraki_detect_protocol"
        )
    if protocols and "aeraki_generate" not in functions:
        raise PluginError("it brings protocols but no aeraki_generate")
    if "aeraki_extend" in functions and not addons:
        raise PluginError("aeraki_extend is never called: declare an add-on with aeraki_addons")
    if addons and "aeraki_extend" not in functions:
        raise PluginError("it brings add-ons but no aeraki_extend")
    if kinds and not (protocols or addons):
        raise PluginError(
            f"nothing reads objects of {kinds[0].kind}: declare a protocol with aeraki_protocols"
        )


# -- protocols -------------------------------------------------------------------------------------


def check_protocols(protocols: tuple[Protocol, ...]) -> None:
    """Refuse protocols whose names, options, findings or extensions cannot be used.

    Raises:
        PluginError: the message says which value, and what to write.
    """
    for protocol in protocols:
        _check_tokens(protocol)
        _require_line(f"the summary of {protocol.name}", protocol.summary)
        for extension in (protocol.extension, *_values(protocol, "more_extensions", Extension)):
            _check_extension(extension)
        options = _values(protocol, "options", Option)
        _check_options(protocol.name, options)
        _values(protocol, "codes", Code)
    _require_once("protocol", (protocol.name for protocol in protocols))


def check_addons(addons: tuple[AddOn, ...]) -> None:
    """Refuse add-ons whose names, options, findings or extensions cannot be used.

    Raises:
        PluginError: the message says which value, and what to write.
    """
    for addon in addons:
        name: object = addon.name
        if type(name) is not str or not _OPTION_NAME.fullmatch(name):
            raise PluginError(
                f"{name!r} is no name of an add-on: lower-case letters, digits and '-'"
            )
        _require_line(f"the summary of {name}", addon.summary)
        _require_texts(f"the protocols of {name}", addon.protocols)
        for extension in _values(addon, "extensions", Extension):
            _check_extension(extension)
        _check_options(addon.name, _values(addon, "options", Option))
        _values(addon, "codes", Code)
    _require_once("add-on", (addon.name for addon in addons))


def _check_tokens(protocol: Protocol) -> None:
    tokens: object = protocol.tokens
    if isinstance(tokens, str):
        raise PluginError(
            f"the tokens of {protocol.name} are a tuple of words: write ({tokens!r},)"
        )
    _require_texts(f"the tokens of {protocol.name}", tokens)
    for word in (protocol.name, *protocol.tokens):
        text: object = word
        if type(text) is not str or not _OPTION_NAME.fullmatch(text):
            raise PluginError(f"{word!r} is no token: lower-case letters, digits and '-' only")


def _check_extension(extension: Extension) -> None:
    value: object = extension
    if type(value) is not Extension:
        raise PluginError(
            f"{value!r} is no extension: write Extension(name, stock=...) with Envoy's name of it"
        )
    name: object = extension.name
    if type(name) is not str or not _EXTENSION.fullmatch(name):
        raise PluginError(
            f"{name!r} is no name of an Envoy extension: "
            "write one such as envoy.filters.network.echo"
        )
    if not isinstance(extension.stock, bool):
        raise PluginError(f"stock of {name} is True or False, not {extension.stock!r}")
    missing = releases_without(extension.name) if extension.stock else ()
    if missing:
        lacks = f"istio-proxy {missing[0]}" + (f" to {missing[-1]}" if len(missing) > 1 else "")
        raise PluginError(f"{name} is not in {lacks}: declare it with stock=False")


def _check_options(owner: str, options: tuple[Option[Any], ...]) -> None:
    for option in options:
        name: object = option.name
        if type(name) is not str or not _OPTION_NAME.fullmatch(name) or len(name) > 63:
            raise PluginError(
                f"{name!r} is no name of an option: lower-case letters and digits, joined by '-'"
            )
        if option.type not in OPTION_TYPES:
            raise PluginError(f"the option {name} has no type: write type=OptionType.TEXT, say")
        _require_line(f"the help of the option {name}", option.help)
        _require_texts(f"the aliases of the option {name}", option.aliases)
        _require_texts(f"the choices of the option {name}", option.choices)
        for alias in option.aliases:
            if not _ANNOTATION.fullmatch(alias):
                raise PluginError(f"{alias!r}, an alias of the option {name}, is no annotation")
        _check_limits(option)
        _check_default(option)
    _require_once(f"option of {owner}", (option.name for option in options))
    aliases = [alias for option in options for alias in option.aliases]
    _require_once(f"alias of an option of {owner}", aliases)


def _check_limits(option: Option[Any]) -> None:
    least, greatest = option.minimum, option.maximum
    for limit in (least, greatest):
        if limit is not None and not _is_finite(limit):
            raise PluginError(f"a limit of the option {option.name} is {limit!r}: write a number")
    if (least is not None or greatest is not None) and option.type not in _LIMITED:
        raise PluginError(
            f"the option {option.name} is of type {option.type.name}: only INT and DURATION "
            "have a minimum and a maximum"
        )
    if option.choices and option.type not in _CHOOSING:
        raise PluginError(
            f"the option {option.name} is of type {option.type.name}: only TEXT, LIST and MAP "
            "have choices"
        )
    if option.limits_calls and option.type not in (OptionType.TEXT, OptionType.LIST):
        raise PluginError(
            f"the option {option.name} is of type {option.type.name}: only TEXT and LIST "
            "limit calls"
        )
    if least is not None and greatest is not None and least > greatest:
        raise PluginError(f"the option {option.name} has a minimum above its maximum")


def _check_default(option: Option[Any]) -> None:
    default: Any = option.default
    if default is None:
        return
    if not option.type.accepts(default) or (option.type in _LIMITED and not _is_finite(default)):
        raise PluginError(
            f"the default {default!r} of the option {option.name} is not of type "
            f"{option.type.name}: {_FORMS[option.type]}"
        )
    parts = (default,) if option.type is OptionType.TEXT else default
    if option.choices and option.type in (OptionType.TEXT, OptionType.LIST):
        wrong = next((part for part in parts if part not in option.choices), None)
        if wrong is not None:
            raise PluginError(
                f"the default {wrong!r} of the option {option.name} is none of its choices"
            )
    if option.type in _LIMITED:
        least, greatest = option.minimum, option.maximum
        if (least is not None and default < least) or (greatest is not None and default > greatest):
            raise PluginError(
                f"the default {default!r} of the option {option.name} is outside its limits"
            )


_FORMS: Mapping[OptionType[Any], str] = {
    OptionType.TEXT: "write a text",
    OptionType.LIST: "write a tuple of texts, such as ('a',)",
    OptionType.BOOL: "write True or False",
    OptionType.INT: "write a whole number",
    OptionType.DURATION: "write a number of seconds",
    OptionType.MAP: "write a tuple of pairs, such as (('key', 'value'),)",
}


# -- findings --------------------------------------------------------------------------------------


def check_codes(codes: Iterable[Code]) -> None:
    """Refuse codes of another form, of the core, of several prefixes, or of one id.

    Raises:
        PluginError: the message says which, and what to write.
    """
    by_id: dict[str, Code] = {}
    prefix = ""
    for code in codes:
        match = _CODE.fullmatch(str(code.id))
        if match is None:
            raise PluginError(
                f"{code.id!r} is no id of a finding: write capital letters of your own and four "
                "digits, such as MGO0101"
            )
        if match[1] == _CORE_PREFIX:
            raise PluginError(
                f"{code.id} is the core's: write letters of your own before the digits"
            )
        if prefix and match[1] != prefix:
            raise PluginError(
                f"the findings begin with {prefix} and {match[1]}: a plugin has one prefix"
            )
        prefix = match[1]
        if by_id.setdefault(code.id, code) != code:
            raise PluginError(f"the finding {code.id} is declared twice: each id means one thing")
        if not isinstance(code.severity, Severity):
            raise PluginError(
                f"the severity of {code.id} is {code.severity!r}: write Severity.WARNING, say"
            )
        _require_line(f"the title of {code.id}", code.title)
        _require_line(f"the action of {code.id}", code.action)


# -- kinds -----------------------------------------------------------------------------------------


def check_kinds(kinds: tuple[Kind[Any], ...]) -> None:
    """Reject kinds without a possible CRD, and Kubernetes' and Istio's own.

    Raises:
        PluginError: the message says which value, and what to write.
    """
    for kind in kinds:
        for what, value, form, example in (
            ("kind", kind.kind, _KIND, "EchoPolicy"),
            ("plural", kind.plural, _PLURAL, "echopolicies"),
            ("version", kind.version, _VERSION, "v1alpha1"),
        ):
            text: object = value
            if type(text) is not str or not form.fullmatch(text):
                raise PluginError(
                    f"{value!r} is no {what} of a resource: write one such as {example}"
                )
        _check_group(kind)
        _require_line(f"the summary of {kind.kind}", kind.summary)
        _require_texts(f"the short names of {kind.kind}", kind.short_names)
        _require_pairs(f"the printer columns of {kind.kind}", kind.printer_columns)
        for what, function in (("hosts", kind.hosts), ("secrets", kind.secrets)):
            if not callable(function):
                raise PluginError(
                    f"{what} of {kind.kind} is {function!r}: write a function of the spec"
                )
        for name in kind.short_names:
            if not _PLURAL.fullmatch(name):
                raise PluginError(f"{name!r}, a short name of {kind.kind}, is no lower-case word")
        _check_model(kind)
    _require_once("kind", (f"{kind.kind}.{kind.group}" for kind in kinds))


def _check_group(kind: Kind[Any]) -> None:
    group: object = kind.group
    if type(group) is not str or "." not in group or not is_dns_subdomain(group):
        raise PluginError(
            f"{group!r} is no API group: write a domain of your own, such as echo.example.com"
        )
    reserved = next(
        (domain for domain in _RESERVED_GROUPS if f".{group}".endswith(f".{domain}")), None
    )
    if reserved is not None:
        raise PluginError(
            f"{kind.kind}.{group} is not yours: groups of {reserved} are reserved, "
            "write a domain of your own"
        )


def _check_model(kind: Kind[Any]) -> None:
    model: object = kind.spec
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise PluginError(f"the spec of {kind.kind} is {model!r}: write a class of pydantic models")
    try:
        schema: object = model.model_json_schema(by_alias=True)
        json.dumps(schema)
        if not isinstance(schema, dict):
            raise TypeError(f"its schema is a {type(schema).__name__}")
    except Exception as error:
        raise PluginError(
            f"no CRD can be made of the spec of {kind.kind}: {type(error).__name__}: {error}"
        ) from error


# -- shared ----------------------------------------------------------------------------------------


def _values(owner: Protocol | AddOn, name: str, kind: type[Any]) -> tuple[Any, ...]:
    """Return the values of a field that is a tuple of them."""
    values: Any = getattr(owner, name)
    if isinstance(values, kind) or not isinstance(values, tuple | list):
        raise PluginError(f"{name} of {owner.name} is a tuple: write ({name.upper()},)")
    for value in values:
        if type(value) is not kind:
            raise PluginError(
                f"{name} of {owner.name} holds {value!r}, which is no {kind.__name__}"
            )
    return tuple(values)


def _require_texts(what: str, values: object) -> None:
    """Refuse a text alone, which would count as its letters, and whatever is no text."""
    if not isinstance(values, tuple | list) or any(type(value) is not str for value in values):
        raise PluginError(f"{what} are {values!r}: write a tuple of texts, such as ('a',)")


def _require_pairs(what: str, values: object) -> None:
    if not isinstance(values, tuple | list) or not all(
        isinstance(pair, tuple) and len(pair) == 2 and all(type(text) is str for text in pair)
        for pair in values
    ):
        raise PluginError(f"{what} are {values!r}: write a tuple of pairs of texts")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def _require_once(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PluginError(f"the {what} {name} is declared twice")
        seen.add(name)


def _require_line(what: str, text: object) -> None:
    if type(text) is not str or not text.strip() or not text.isprintable():
        raise PluginError(f"{what} is {text!r}: write one line of text")
