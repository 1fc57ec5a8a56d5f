"""Label selectors, as Kubernetes writes and defines them.

A :class:`LabelSelector` is parsed from the text that ``kubectl -l`` accepts, or from the mapping
that manifests have (``matchLabels``, ``matchExpressions``). Grammar and meaning:
k8s.io/apimachinery, pkg/labels/selector.go. ``!=`` and ``notin`` also match objects without the
label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.model.meta import is_dns_subdomain

__all__ = ["LabelSelector", "Requirement", "SelectorOperator", "from_mapping", "parse_selector"]

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SET = re.compile(r"(?P<key>\S+)\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(r"(?P<key>[^\s!=]+)\s*(?P<sign>!=|==|=)\s*(?P<value>[^\s!=]*)")


class SelectorOperator(StrEnum):
    """How a label is compared; the words are those of ``matchExpressions``."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``values`` are empty for EXISTS and DOES_NOT_EXIST."""

    key: str
    operator: SelectorOperator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Report whether the condition is true of these labels."""
        match self.operator:
            case SelectorOperator.IN:
                return labels.get(self.key) in self.values
            case SelectorOperator.NOT_IN:
                return labels.get(self.key) not in self.values
            case SelectorOperator.EXISTS:
                return self.key in labels
            case SelectorOperator.DOES_NOT_EXIST:
                return self.key not in labels

    def __str__(self) -> str:
        match self.operator:
            case SelectorOperator.EXISTS:
                return self.key
            case SelectorOperator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case SelectorOperator.IN if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case SelectorOperator.NOT_IN if len(self.values) == 1:
                return f"{self.key}!={self.values[0]}"
        return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that must all be true. Prints as :func:`parse_selector` reads it."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Report whether all conditions are true of these labels."""
        return all(item.matches(labels) for item in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(item) for item in self.requirements)


def parse_selector(text: str) -> LabelSelector:
    """Parse a selector such as ``env=prod,team!=x``, ``env in (prod, test)``, ``env``, ``!env``.

    Raises:
        ValueError: it is not of that form; the message says what is wrong.
    """
    parts = [part.strip() for part in _split(text)]
    if not any(parts):
        raise ValueError("the selector is empty; leave it out to select everything")
    return LabelSelector(tuple(_requirement(part, text) for part in parts))


def _split(text: str) -> Iterable[str]:
    """Yield the parts between commas that are not within parentheses."""
    depth, start = 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _requirement(part: str, text: str) -> Requirement:
    if match := _SET.fullmatch(part):
        operator = SelectorOperator.IN if match["word"] == "in" else SelectorOperator.NOT_IN
        return _checked(
            match["key"], operator, tuple(value.strip() for value in match["values"].split(","))
        )
    if match := _EQUAL.fullmatch(part):
        return _checked(
            match["key"],
            SelectorOperator.NOT_IN if match["sign"] == "!=" else SelectorOperator.IN,
            (match["value"],),
        )
    negated = part.startswith("!")
    key = part.removeprefix("!").strip()
    if not key or re.search(r"[\s()<>=!]", key):
        raise ValueError(
            f"{part!r} in the selector {text!r} is none of KEY=VALUE, "
            "KEY!=VALUE, KEY in (VALUE,...), KEY notin (VALUE,...), KEY, !KEY"
        )
    return _checked(
        key, SelectorOperator.DOES_NOT_EXIST if negated else SelectorOperator.EXISTS, ()
    )


def from_mapping(content: Mapping[str, Any]) -> LabelSelector:
    """Parse a selector in its manifest form, such as an entry of ``discoverySelectors``.

    Raises:
        ValueError: it is not of that form.
    """
    unknown = sorted(set(content) - {"matchLabels", "matchExpressions"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of matchLabels, matchExpressions")
    labels, expressions = content.get("matchLabels") or {}, content.get("matchExpressions") or []
    if not isinstance(labels, Mapping) or not isinstance(expressions, list):
        raise ValueError("`matchLabels` are texts by name, `matchExpressions` a list")
    requirements = [_checked(key, SelectorOperator.IN, (value,)) for key, value in labels.items()]
    requirements += [_expression(item) for item in expressions]
    if not requirements:
        raise ValueError("the selector is empty; leave it out to select everything")
    return LabelSelector(tuple(requirements))


def _expression(item: Any) -> Requirement:
    if not isinstance(item, Mapping) or set(item) - {"key", "operator", "values"}:
        raise ValueError("write each of `matchExpressions` as {key, operator, values}")
    values = item.get("values") or []
    try:
        operator = SelectorOperator(str(item.get("operator")))
    except ValueError:
        raise ValueError(
            f"{item.get('operator')!r} is none of {', '.join(SelectorOperator)}"
        ) from None
    if not isinstance(values, list) or bool(values) is not (
        operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
    ):
        raise ValueError(f"{operator} needs {'no ' if values else ''}values")
    return _checked(item.get("key"), operator, tuple(values))


def _checked(key: Any, operator: SelectorOperator, values: tuple[Any, ...]) -> Requirement:
    prefix, slash, name = str(key).rpartition("/")
    if (
        not isinstance(key, str)
        or not _NAME.fullmatch(name)
        or (slash and not is_dns_subdomain(prefix))
    ):
        raise ValueError(f"{key!r} is not a label's name")
    for value in values:
        if not isinstance(value, str) or (value and not _NAME.fullmatch(value)):
            raise ValueError(f"{value!r} is not a label's value")
    return Requirement(key, operator, values)
