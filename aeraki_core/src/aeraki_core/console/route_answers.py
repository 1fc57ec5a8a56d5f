"""Where one call goes on a service port: the verdict on each route, as JSON and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from aeraki_core.console import output
from aeraki_core.console.route_tables import (
    clients_text,
    limit_texts,
    match_of,
    match_text,
    percent,
    source_text,
)
from aeraki_core.findings.text import and_more, count, escape
from aeraki_core.mesh.calls import Call, CallLimit, broken_limits, choose_route

__all__ = ["RouteVerdict", "answer_text", "route_answer"]

_MOST_ENDPOINTS = 5


class RouteVerdict(StrEnum):
    """What becomes of a call at a route."""

    TAKEN = "taken"
    """The call goes here."""
    PASSED = "passed"
    """A condition does not hold."""
    LEFT_OUT = "left out"
    """The protocol's filter cannot express the route."""
    NOT_REACHED = "not reached"
    """A route before it takes the call."""


_COLORS = {RouteVerdict.TAKEN.value: "green", RouteVerdict.LEFT_OUT.value: "yellow"}


def route_answer(
    port: Mapping[str, Any], client: str | None, call: Call, *, labels: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the call's fate on one port: the routes of these clients, each with its verdict.

    ``labels``: those of the client's workload, as ``name=value``.
    """
    table = _table_of(port["routes"], client, labels)
    answer: dict[str, Any] = {
        "host": port["host"],
        "port": port["port"],
        "protocol": port["protocol"],
        "clients": clients_text(table, port["routes"]) if table is not None else None,
        "routes": [],
        "limits": {},
        "taken": None,
        "problem": None,
    }
    who = f"clients in namespace {client}" if client else "all clients"
    if table is None:
        answer["problem"] = f"no filter is for {who}: the service is not exported to them"
    elif not table["isTheirs"]:
        answer["problem"] = f"the host is another service for {who}"
    elif table["routes"] is None:
        answer["problem"] = f"{port['protocol']} does not route single calls"
    else:
        answer["limits"] = table["limits"]
        broken = broken_limits(_limits(table), call)
        if broken:
            takes = " or ".join(broken[0].values)
            answer["problem"] = (
                f"the service takes only calls with {broken[0].name} {takes}; this one fails"
            )
        else:
            _judge(answer, table["routes"], call)
    return answer


def _limits(table: Mapping[str, Any]) -> list[CallLimit]:
    return [CallLimit(name, tuple(values)) for name, values in table["limits"].items()]


def _judge(answer: dict[str, Any], routes: Sequence[Mapping[str, Any]], call: Call) -> None:
    choice = choose_route([match_of(each) if each["isUsed"] else None for each in routes], call)
    for index, route in enumerate(routes):
        reasons: list[str] = []
        if index == choice.taken:
            verdict, reasons = RouteVerdict.TAKEN, [each["message"] for each in route["findings"]]
        elif choice.taken is not None and index > choice.taken:
            verdict = RouteVerdict.NOT_REACHED
        elif not route["isUsed"]:
            verdict, reasons = RouteVerdict.LEFT_OUT, _why_left_out(route)
        else:
            verdict, reasons = RouteVerdict.PASSED, list(map(str, choice.passed[index]))
        answer["routes"].append({**route, "verdict": verdict.value, "reasons": reasons})
    answer["taken"] = choice.taken
    if choice.taken is None:
        answer["problem"] = "no route takes the call, so it fails"


def _why_left_out(route: Mapping[str, Any]) -> list[str]:
    """Return the findings at the route's match; all of the route if it has none."""
    findings = route["findings"]
    at_match = [each for each in findings if (each["field"] or "").startswith(route["field"])]
    return [each["message"] for each in at_match or findings]


def _table_of(
    tables: Sequence[Mapping[str, Any]], client: str | None, labels: Sequence[str]
) -> Mapping[str, Any] | None:
    """Return the routes for clients of a namespace; None: clients that no object names."""
    # Of filters for workloads, the one with the most labels comes last.
    selecting = [
        (len(selector), index)
        for index, table in enumerate(tables)
        for each in table["workloads"]
        if each["namespace"] == client and (selector := {*each["selector"].split(",")}) <= {*labels}
    ]
    if selecting:
        return tables[max(selecting)[1]]
    chosen = [table for table in tables if client in table["namespaces"]]
    chosen += [table for table in tables if table["everybody"]]
    if not chosen and client is None and tables:
        return tables[0]
    return chosen[0] if chosen else None


def answer_text(answer: Mapping[str, Any], call: Call) -> str:
    """Return the answer for a terminal."""
    title = output.style(escape(f"{answer['host']}:{answer['port']}"), bold=True)
    lines = [f"{title}  {escape(answer['protocol'])}, {escape(answer['clients'] or 'no client')}"]
    lines.append(f"  call     {escape(_call_text(call))}")
    if not call.fields:
        lines += [f"  takes    {escape(text)}" for text in limit_texts(answer)]
    if answer["problem"]:
        lines.append(f"  problem  {escape(answer['problem'])}")
    for number, route in enumerate(answer["routes"], start=1):
        verdict = output.style(f"{route['verdict']:<11}", _COLORS.get(route["verdict"]))
        source = f"{source_text(route)}{', ' + route['place'] if route['place'] else ''}"
        lines.append(f"  {number:>2}  {verdict}  {escape(match_text(route))}  ({escape(source)})")
        details = [
            *route["reasons"],
            *(_ways(route) if route["verdict"] == RouteVerdict.TAKEN else ()),
        ]
        lines += [f"      {'':<11}    {escape(text)}" for text in details]
    return "\n".join(lines) + "\n"


def _call_text(call: Call) -> str:
    parts = [f"method {call.method}"] if call.method is not None else []
    parts += [f"header {name} = {value}" for name, value in call.headers]
    parts += [f"parameter {name} = {value}" for name, value in call.query_params]
    parts += [f"{name} {value}" for name, value in call.fields]
    return ", ".join(parts) or "no method, no headers"


def _ways(route: Mapping[str, Any]) -> list[str]:
    """Return the destinations of a call of this route, one on a line."""
    ways = []
    for each in route["destinations"]:
        text = f"{percent(each['share']):>6} -> {each['cluster']}"
        if each["endpoints"]:
            shown = and_more(each["endpoints"], _MOST_ENDPOINTS)
            text += f"  ({count(each['endpoints'], 'endpoint')}: {shown})"
        ways.append(text)
    ways += [
        f"copies of {percent(each['share'])} -> {each['cluster']}" for each in route["mirrors"]
    ]
    return ways
