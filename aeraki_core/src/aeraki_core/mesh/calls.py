"""Which route takes a call, and why the routes before it do not.

People ask this about one call that went to the wrong place. The decision is that of the sidecar's
filter: the routes in order, the first whose conditions all hold. docs/internals/envoy.md says how
Envoy compares; expressions match the whole text, by the same engine as Envoy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from aeraki_core.mesh.routes import RouteMatch
from aeraki_core.model.istio import StringMatch

__all__ = [
    "Call",
    "CallLimit",
    "Mismatch",
    "RouteChoice",
    "RouteCondition",
    "broken_limits",
    "choose_route",
    "conditions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call.

    - method: its method; None for a call whose method no route may ask about
    - headers, query_params: pairs of name and value; names of headers compare without case
    - fields: other parts that a service may limit, such as an interface
    """

    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    query_params: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()


class CallLimit(NamedTuple):
    """The values of one part of a call that a service takes; none stands for any.

    ``*`` at the start or the end of a value stands for the rest.
    """

    name: str
    values: tuple[str, ...]

    def takes(self, actual: str) -> bool:
        """Whether a call with that value is taken."""
        return not self.values or any(map(partial(_is_like, actual), self.values))


def _is_like(actual: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return actual.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return actual.endswith(pattern[1:])
    return actual == pattern


def broken_limits(limits: Iterable[CallLimit], call: Call) -> tuple[CallLimit, ...]:
    """The limits that the call does not keep; a part that the call does not name is not judged."""
    fields = dict(call.fields)
    return tuple(
        limit for limit in limits if limit.name in fields and not limit.takes(fields[limit.name])
    )


class RouteCondition(NamedTuple):
    """A condition of a route: a part of the call matches or, if ``negated``, does not.

    ``name`` is the part in words: ``method``, ``header user``, ``parameter 0``.
    """

    name: str
    wanted: StringMatch
    negated: bool = False

    def __str__(self) -> str:
        text = f"{self.name} {_wanted_text(self.wanted)}".rstrip()
        return f"not {text}" if self.negated else text


class Mismatch(NamedTuple):
    """A condition that a call does not fulfil; ``actual`` is the call's value, None without one."""

    condition: RouteCondition
    actual: str | None

    def __str__(self) -> str:
        if self.actual is None:
            return f"the call has no {self.condition.name}"
        return f"the call's {self.condition.name} is {self.actual}"


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The route that takes a call, by index, and for each route before it what the call lacks.

    ``taken`` None: no route takes it, and the proxy answers with an error. A route that the filter
    does not have has no mismatches.
    """

    taken: int | None
    passed: tuple[tuple[Mismatch, ...], ...]


def choose_route(matches: Sequence[RouteMatch | None], call: Call) -> RouteChoice:
    """Return the decision of the sidecar's filter. None is a route that the filter lacks."""
    passed: list[tuple[Mismatch, ...]] = []
    for index, match in enumerate(matches):
        if match is None:
            passed.append(())
            continue
        mismatches = tuple(_mismatches(match, call))
        if not mismatches:
            return RouteChoice(index, tuple(passed))
        passed.append(mismatches)
    return RouteChoice(None, tuple(passed))


def conditions(match: RouteMatch) -> tuple[RouteCondition, ...]:
    """Return all conditions of a route; empty if it matches any call."""
    return tuple(condition for condition, _ in _asked(match, Call()))


def _mismatches(match: RouteMatch, call: Call) -> Iterator[Mismatch]:
    for condition, actual in _asked(match, call):
        # A call always has a method, so a condition that any method fulfils needs none.
        if condition.name == "method" and _takes_any(condition.wanted):
            continue
        if _holds(condition.wanted, actual) is condition.negated:
            yield Mismatch(condition, actual)


def _asked(match: RouteMatch, call: Call) -> Iterator[tuple[RouteCondition, str | None]]:
    """Yield each condition with the call's value."""
    headers = {name.lower(): value for name, value in call.headers}
    if match.method is not None:
        yield RouteCondition("method", match.method), call.method
    for name, wanted in match.headers:
        yield RouteCondition(f"header {name}", wanted), headers.get(name.lower())
    for name, wanted in match.without_headers:
        yield RouteCondition(f"header {name}", wanted, negated=True), headers.get(name.lower())
    for name, wanted in match.query_params:
        yield RouteCondition(f"parameter {name}", wanted), dict(call.query_params).get(name)


def _takes_any(wanted: StringMatch) -> bool:
    return wanted.is_presence or wanted.prefix == "" or wanted.regex == ".*"


def _holds(wanted: StringMatch, actual: str | None) -> bool:
    """Report whether a text fulfils a match; a missing text fulfils none."""
    if actual is None:
        return False
    if wanted.is_presence:
        return True
    if wanted.prefix is not None:
        return actual.startswith(wanted.prefix)
    if wanted.regex is not None:
        import re2

        return re2.fullmatch(wanted.regex, actual) is not None
    return actual == wanted.exact


def _wanted_text(wanted: StringMatch) -> str:
    """Return a match in words."""
    if wanted.prefix is not None:
        return f"starts with {wanted.prefix}"
    if wanted.regex is not None:
        return f"matches {wanted.regex}"
    return "is there" if wanted.is_presence else f"is {wanted.exact or repr('')}"
