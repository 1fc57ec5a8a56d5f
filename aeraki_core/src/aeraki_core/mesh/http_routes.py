"""The ``http`` entries of a VirtualService, read for a port that speaks no HTTP.

Users, and tools for canaries, write ``http`` sections for the HTTP ports of a service that has a
port of ours, too. An entry is used only if it can mean our port and the protocol can express it.
Each other outcome has a name and a finding, unless the entry itself names another port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from aeraki_core.findings.codes import (
    BAD_REGEX,
    CLIENT_MATCH,
    HTTP_ROUTE_ELSEWHERE,
    TOO_MANY_HTTP_ENTRIES,
    UNSUPPORTED_FIELD,
    UNSUPPORTED_MATCH,
)
from aeraki_core.findings.text import did_you_mean
from aeraki_core.mesh.destinations import Destinations
from aeraki_core.mesh.regex import regex_problem
from aeraki_core.mesh.route_scope import RouteScope
from aeraki_core.mesh.routes import ANY_CALL, Route, RouteMatch
from aeraki_core.model.duration import parse_duration
from aeraki_core.model.istio import HTTPMatchRequest, HTTPRoute, StringMatch, TCPMatch

__all__ = [
    "MAX_UNUSED_CONDITIONS",
    "EntryUse",
    "HttpEntry",
    "applicable_matches",
    "asks_other_clients",
    "meant_entries",
    "read_http",
]

MAX_UNUSED_CONDITIONS = 500
"""Of http entries, read for one port in vain.

A tenant may write tens of thousands for ``*``, and every port would read all of them.
"""

_MATCH_FIELDS = {
    "method": "method",
    "headers": "headers",
    "without_headers": "withoutHeaders",
    "query_params": "queryParams",
}
"""Fields of a match that some protocol can express, and how a VirtualService writes them."""
_ENTRY_FIELDS = ("match", "route", "mirror", "mirrors", "mirrorPercentage", "timeout", "retries")
_HTTP_ONLY = frozenset({"uri", "scheme", "authority"})
_HTTP_ANSWERS = ("redirect", "directResponse")
"""What an entry without a route does: only HTTP has such answers."""
_HTTP_CHANGES = ("rewrite", "corsPolicy")
"""What only HTTP has that an entry may ask for besides its route."""
_OTHER_FIELDS = frozenset({*_HTTP_CHANGES, "fault", "headers"})
"""Fields of an entry that Istio knows: they are no mistakes in writing."""
_NO_CONDITION = frozenset({"ignoreUriCase", "statPrefix"})

NumberedMatch = tuple[int, HTTPMatchRequest]
"""A match of an entry, with its index there."""


class EntryUse(StrEnum):
    """What becomes of an ``http`` entry on a port of ours.

    - USED: it gives routes
    - OTHER: it says itself that it is for another port, gateway or client
    - HTTP: it can only be meant for an HTTP port of the service
    - UNUSABLE: it may be meant for this port, and the protocol cannot express it
    """

    USED = "used"
    OTHER = "other"
    HTTP = "http"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class HttpEntry:
    """One entry of ``http`` as this port reads it."""

    use: EntryUse
    routes: tuple[Route, ...] = ()


def read_http(scope: RouteScope, limit: int) -> tuple[tuple[HttpEntry, ...], int]:
    """Return the entries of the ``http`` section, in order, and what is left of the limit.

    ``limit``: so many conditions are read that give this port no route.
    """
    reader = _HttpReader(scope, Destinations(scope))
    entries: list[HttpEntry] = []
    for index, entry in enumerate(scope.virtual_service.http):
        # An entry without a condition counts as one.
        conditions = len(entry.match or ()) or 1
        if conditions > limit:
            if limit >= 0:
                message = (
                    f"more than {MAX_UNUSED_CONDITIONS} conditions of http entries come first that "
                    f"port {scope.port.number} of {scope.service.host} cannot use; it has no "
                    "route of this entry, nor of those after it"
                )
                scope.report(TOO_MANY_HTTP_ENTRIES, message, f"spec.http[{index}]")
            return tuple(entries), -1
        entries.append(reader.entry(entry, f"spec.http[{index}]"))
        if not entries[-1].routes:
            limit -= conditions
    return tuple(entries), limit


def applicable_matches(scope: RouteScope) -> Iterator[tuple[int, list[NumberedMatch]]]:
    """Yield the ``http`` entries that name no other port or client: index, and such matches."""
    for index, entry in enumerate(scope.virtual_service.http):
        matches = _applicable(scope, entry)
        if matches or not entry.match:
            yield index, matches


def meant_entries(scope: RouteScope) -> Iterator[int]:
    """Yield the ``http`` entries, by index, that can only be meant for this port."""
    for index, matches in applicable_matches(scope):
        if any(match.port for _, match in matches) or not scope.may_mean_http:
            yield index


def _applicable(scope: RouteScope, entry: HTTPRoute) -> list[NumberedMatch]:
    return [
        (index, match)
        for index, match in enumerate(entry.match or ())
        if match.port in (None, scope.port.number)
        and not asks_other_clients(match, scope.namespace)
    ]


def asks_other_clients(match: HTTPMatchRequest | TCPMatch, namespace: str | None) -> bool:
    """Whether a match is for gateways, or for clients of another namespace than these."""
    if match.gateways and "mesh" not in match.gateways:
        return True
    return bool(match.source_namespace) and match.source_namespace != namespace


@dataclass(frozen=True, slots=True)
class _HttpReader:
    scope: RouteScope
    destinations: Destinations

    def entry(self, entry: HTTPRoute, path: str) -> HttpEntry:
        scope = self.scope
        matches = [(match, f"{path}.match[{index}]") for index, match in _applicable(scope, entry)]
        if entry.match and not matches:
            return HttpEntry(EntryUse.OTHER)
        # An entry that names this port is meant for it, whatever else it says.
        is_named = any(match.port for match, _ in matches)
        if not is_named and (why := self._why_http(entry, [match for match, _ in matches])):
            message = f"{why}; the route does not apply to port {scope.port.number}"
            scope.report(HTTP_ROUTE_ELSEWHERE, message, path)
            return HttpEntry(EntryUse.HTTP)
        usable = [(self._match(match, where), where) for match, where in matches]
        if "delegate" in entry.others():
            message = "a delegate is not followed; the route is left out"
            scope.report(UNSUPPORTED_FIELD, message, f"{path}.delegate")
            return HttpEntry(EntryUse.UNUSABLE)
        if (answer := _answer(entry)) is not None:
            message = f"this protocol cannot answer with {answer}; the route is left out"
            scope.report(UNSUPPORTED_FIELD, message, f"{path}.{answer}")
            return HttpEntry(EntryUse.UNUSABLE)
        clusters = self.destinations.weighted(entry.route or (), f"{path}.route")
        if not clusters:
            return HttpEntry(EntryUse.UNUSABLE)
        for name in entry.others():
            hint = "" if name in _OTHER_FIELDS else did_you_mean(name, _ENTRY_FIELDS)
            message = f"{name} has no effect on this protocol{hint}"
            scope.report(UNSUPPORTED_FIELD, message, f"{path}.{name}")
        route = Route(
            match=ANY_CALL,
            clusters=clusters,
            mirrors=self.destinations.mirrors(entry, path),
            timeout=self._timeout(entry, path),
            retries=self._retries(entry, path),
            name=entry.name or "",
            ref=scope.virtual_service.ref,
            field=path,
        )
        if not entry.match:
            return HttpEntry(EntryUse.USED, (route,))
        routes = tuple(
            replace(route, match=match, match_field=where)
            for match, where in usable
            if match is not None
        )
        return HttpEntry(EntryUse.USED if routes else EntryUse.UNUSABLE, routes)

    def _why_http(self, entry: HTTPRoute, matches: list[HTTPMatchRequest]) -> str | None:
        """Why an entry that does not name this port can only be meant for an HTTP port."""
        other_port = self.destinations.other_port(entry.route or ())
        if other_port is not None:
            return f"its destination is {other_port}"
        # Otherwise the entry can only be for ports like this one, whatever it matches on.
        if not self.scope.may_mean_http:
            return None
        asked = [_HTTP_ONLY.intersection(match.others()) for match in matches]
        if asked and all(asked):
            return f"it matches on {min(asked[0])}, which only HTTP has"
        answer = _answer(entry)
        if answer is not None:
            return f"it answers with {answer}, which only HTTP has"
        change = next((name for name in _HTTP_CHANGES if name in entry.others()), None)
        if change is not None:
            return f"it has a {change}, which only HTTP has"
        return "it delegates its HTTP routes" if "delegate" in entry.others() else None

    def _match(self, match: HTTPMatchRequest, path: str) -> RouteMatch | None:
        """Return the match if the protocol can express all of it.

        Otherwise return None, with a finding for each field.
        """
        problems = [
            *self._client_problems(match, path),
            *self._field_problems(match, path),
            *self._text_problems(match, path),
        ]
        if any(problems):
            return None
        return RouteMatch(
            method=match.method,
            headers=tuple(sorted(match.headers.items())),
            without_headers=tuple(sorted(match.without_headers.items())),
            query_params=tuple(sorted(match.query_params.items())),
        )

    def _client_problems(self, match: HTTPMatchRequest, path: str) -> list[bool]:
        if not match.source_labels:
            return []
        message = "sourceLabels cannot be matched: one filter serves all clients of a namespace"
        self.scope.report(CLIENT_MATCH, f"{message}; the route is left out", f"{path}.sourceLabels")
        return [True]

    def _field_problems(self, match: HTTPMatchRequest, path: str) -> list[bool]:
        fields = [name for name in match.others() if name not in _NO_CONDITION]
        fields += [
            written
            for name, written in _MATCH_FIELDS.items()
            if getattr(match, name) and name not in self.scope.matches
        ]
        for name in fields:
            hint = did_you_mean(
                name, (_MATCH_FIELDS.get(field, field) for field in self.scope.matches)
            )
            message = f"this protocol cannot match on {name}; the route is left out{hint}"
            self.scope.report(UNSUPPORTED_MATCH, message, f"{path}.{name}")
        for name in (*match.headers, *match.without_headers):
            if not name or set(name) & set("\0\r\n"):
                message = f"{name!r} is not a header name; the route is left out"
                self.scope.report(UNSUPPORTED_MATCH, message, path)
                fields.append(name)
        return [True] * len(fields)

    def _text_problems(self, match: HTTPMatchRequest, path: str) -> list[bool]:
        problems: list[bool] = []
        for where, text in _texts(match, path):
            for name in text.others():
                if text.is_presence:  # without the field it would match any value
                    message = f"{name} cannot be matched; the route is left out"
                    self.scope.report(UNSUPPORTED_MATCH, message, f"{where}.{name}")
                    problems.append(True)
                else:
                    message = f"{name} has no effect on this protocol"
                    self.scope.report(UNSUPPORTED_FIELD, message, f"{where}.{name}")
            problem = regex_problem(text.regex) if text.regex is not None else None
            if problem:
                message = f"{text.regex!r}: {problem}; the route is left out"
                self.scope.report(BAD_REGEX, message, f"{where}.regex")
                problems.append(True)
        return problems

    def _timeout(self, entry: HTTPRoute, path: str) -> float | None:
        if entry.timeout is None:
            return None
        if "timeout" not in self.scope.actions:
            message = "timeout has no effect on this protocol"
            self.scope.report(UNSUPPORTED_FIELD, message, f"{path}.timeout")
            return None
        return parse_duration(entry.timeout)

    def _retries(self, entry: HTTPRoute, path: str) -> int | None:
        if entry.retries is None:
            return None
        if "retries" not in self.scope.actions:
            message = "retries has no effect on this protocol"
            self.scope.report(UNSUPPORTED_FIELD, message, f"{path}.retries")
            return None
        for name in entry.retries.others():
            message = f"{name} has no effect on this protocol"
            self.scope.report(UNSUPPORTED_FIELD, message, f"{path}.retries.{name}")
        return entry.retries.attempts


def _answer(entry: HTTPRoute) -> str | None:
    """Return the field by which an entry answers calls itself; None if it sends them on."""
    others = () if entry.route else entry.others()
    return next((name for name in _HTTP_ANSWERS if name in others), None)


def _texts(match: HTTPMatchRequest, path: str) -> list[tuple[str, StringMatch]]:
    """Every StringMatch of a match, with its field."""
    texts: list[tuple[str, StringMatch]] = []
    for name, written in _MATCH_FIELDS.items():
        value = getattr(match, name)
        if isinstance(value, StringMatch):
            texts.append((f"{path}.{written}", value))
        elif value:
            texts += [(f"{path}.{written}.{key}", text) for key, text in value.items()]
    return texts
