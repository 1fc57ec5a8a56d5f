"""The page as bytes: one document that loads nothing and runs nothing.

Its policy allows the one style sheet inside, by hash, and nothing else: a hostile name that came
past the escaping could still not run or load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aeraki_core.console.finding_forms import help_url
from aeraki_core.console.page.content import PageContent, WriteRecord
from aeraki_core.console.page.html import Markup, element, joined
from aeraki_core.console.page.style import STYLE
from aeraki_core.console.route_tables import (
    clients_text,
    destination_text,
    limit_texts,
    match_text,
    percent,
    source_text,
)
from aeraki_core.findings.finding import Finding, Severity
from aeraki_core.findings.text import count
from aeraki_core.plugins.registry import PluginInfo

__all__ = ["HEADERS", "render"]

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": f"{_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What a server sends with the page."""

_STATES = {"current": "good", "partial": "warn", "held": "warn", "none": "bad"}
_SEVERITIES = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "note"}
_SHOWN_FINDINGS = 500
_OPEN = 12  # ports that are all open; of more, those with findings are


def render(content: PageContent) -> bytes:
    """The whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", content.title),
        # Our own text, and the policy's hash is that of exactly these bytes.
        Markup(f"<style>{STYLE}</style>"),
    )
    body = element(
        "body",
        _header(content),
        element("main", *_main(content)),
        element("footer", f"Made by Aeraki at {_time(content.at)}."),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en').text}\n".encode()


def _header(content: PageContent) -> Markup:
    facts = [
        element("div", element("dt", name), element("dd", value)) for name, value in content.facts
    ]
    sections = [("#findings", "Findings"), ("#services", "Services")]
    if content.writes is not None:
        sections.append(("#writes", "Writes"))
    sections.append(("#plugins", "Plugins"))
    return element(
        "header",
        element("h1", content.title),
        element("dl", *facts, class_="facts") if facts else None,
        element("nav", *(element("a", name, href=target) for target, name in sections)),
        _tiles(content),
    )


def _tiles(content: PageContent) -> Markup:
    by_severity = {
        severity: sum(finding.severity is severity for finding in content.findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    }
    spoken = sum(port["protocol"] is not None for port in content.ports) + content.more_ports
    tiles = (
        (spoken, "ports with a protocol"),
        (content.filters, "filters"),
        (by_severity[Severity.ERROR], "errors"),
        (by_severity[Severity.WARNING], "warnings"),
    )
    return element(
        "div",
        *(
            element("div", element("b", str(number)), element("span", name), class_="tile")
            for number, name in tiles
        ),
        class_="tiles",
    )


def _main(content: PageContent) -> Iterator[Markup]:
    yield element("h2", "Findings", id="findings")
    if not content.findings:
        yield element("p", "No findings.", class_="card")
    worst_first = sorted(content.findings, key=lambda finding: -finding.severity)
    for finding in worst_first[:_SHOWN_FINDINGS]:
        yield _finding(finding, content.docs_url)
    hidden = len(content.findings) - _SHOWN_FINDINGS
    if hidden > 0:
        yield element("p", f"{count(hidden, 'more finding')}; `aeraki status` lists all.")
    silent = f" {count(content.silent_ports, 'port')} without a protocol" * bool(
        content.silent_ports
    )
    yield element("h2", "Services", element("small", silent), id="services")
    if not content.ports:
        yield element("p", "No service port speaks a protocol of an active plugin.", class_="card")
    is_small = len(content.ports) <= _OPEN
    for port in content.ports:
        yield _port(port, is_open=is_small or bool(port["findings"]))
    if content.more_ports:
        yield element("p", f"{count(content.more_ports, 'more port')}; `aeraki status` lists all.")
    if content.writes is not None:
        yield element("h2", "Latest writes", id="writes")
        yield _writes(content.writes)
    yield element("h2", "Plugins", id="plugins")
    yield _plugins(content.plugins)


def _tag(text: str, look: str) -> Markup:
    return element("span", text, class_=f"tag {look}")


def _code(code: str, docs_url: str) -> Markup:
    url = help_url(code, docs_url)
    # Only the web: a javascript: address must not become a link.
    if url is None or not url.startswith(("https://", "http://")):
        return element("code", code)
    return element("a", element("code", code), href=url, rel="noreferrer noopener")


def _finding(finding: Finding, docs_url: str) -> Markup:
    place = (
        f"{finding.source}:{finding.line}" if finding.source and finding.line else finding.source
    )
    about = " ".join(part for part in (str(finding.ref or ""), finding.field or "") if part)
    where = ", ".join(part for part in (about, place or "") if part)
    label = finding.severity.label
    return element(
        "article",
        _tag(label, _SEVERITIES[finding.severity]),
        " ",
        _code(finding.code.id, docs_url),
        " ",
        element("strong", finding.message),
        element("p", where, class_="soft mono") if where else None,
        element("p", finding.code.action),
        class_=f"card {label}",
    )


def _port(port: Mapping[str, Any], *, is_open: bool) -> Markup:
    state, look = (port["state"], _STATES[port["state"]])
    findings = sorted(set(port["findings"]))
    summary = element(
        "summary",
        element("span", f"{port['host']}:{port['port']}", class_="host mono"),
        _tag(", ".join(findings), "warn") if findings else element("span"),
        _tag(port["protocol"] or "no protocol", "plain"),
        _tag(state, look),
    )
    filters = ", ".join(port["filters"]) or "none"
    inside = element(
        "div",
        element("p", f"{port['service']}. Protocol: {port['why']}.", class_="soft"),
        element("p", port["remedy"]) if port["remedy"] else None,
        *(_table(table, port["routes"]) for table in port["routes"]),
        element("p", "Filters: ", element("span", filters, class_="mono"), class_="soft"),
        class_="inside",
    )
    return element("details", summary, inside, open="" if is_open else None)


def _table(table: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> Markup:
    """The routes of one group of clients as a picture: clients, matches, destinations."""
    limits = (element("small", text) for text in limit_texts(table))
    clients = element("div", clients_text(table, tables), *limits, class_="clients")
    if not table["isTheirs"]:
        text = "The host is another service for these clients."
        return element("div", clients, element("p", text, class_="routes"), class_="flow")
    if table["routes"] is None:
        text = "The protocol does not route single calls."
        return element("div", clients, element("p", text, class_="routes"), class_="flow")
    routes = element("ol", *map(_route, table["routes"]), class_="routes")
    return element("div", clients, routes, class_="flow")


def _route(route: Mapping[str, Any]) -> Markup:
    place = f", {route['place']}" if route["place"] else ""
    match = element(
        "div", match_text(route), element("small", f"{source_text(route)}{place}"), class_="match"
    )
    problems = [
        element("small", f"{each['code']}: {each['message']}", class_="problem")
        for each in route["findings"]
    ]
    if not route["isUsed"]:
        to = element("div", _tag("left out", "warn"), *problems, class_="to")
        return element("li", match, to, class_="route unused")
    destinations = [_destination(each, "share") for each in route["destinations"]]
    copies = [_destination(each, "copy") for each in route["mirrors"]]
    to = element("div", *destinations, *copies, *problems, class_="to")
    return element("li", match, to, class_="route")


def _destination(destination: Mapping[str, Any], look: str) -> Markup:
    """A destination with its share as a bar."""
    share = percent(destination["share"])
    label = f"copies of {share}" if look == "copy" else share
    bar = element(
        "svg",
        element("rect", width="100", height="6", class_="track"),
        element("rect", width=f"{destination['share']:g}", height="6", class_=look),
        class_="bar",
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    name = element(
        "span",
        element("span", destination_text(destination)),
        element("span", label),
        class_="name",
    )
    return element("div", name, bar)


def _writes(writes: Sequence[WriteRecord]) -> Markup:
    if not writes:
        return element("p", "Nothing written since the start.", class_="card")
    return _grid(
        ("when", "what", "filter", "why"),
        [
            (
                element("td", _time(datetime.fromtimestamp(each.at, UTC)), class_="fixed"),
                element(
                    "td",
                    _tag("failed", "bad") if each.error is not None else _tag(each.action, "plain"),
                ),
                element("td", each.filter, class_="mono"),
                element("td", each.error or each.cause),
            )
            for each in reversed(writes)
        ],
    )


def _plugins(plugins: Sequence[PluginInfo]) -> Markup:
    return _grid(
        ("plugin", "version", "state", "protocols"),
        [
            (
                element("td", each.name, class_="mono"),
                element("td", each.title),
                element(
                    "td", _tag(each.state, "good" if each.active else "warn"), " ", each.reason
                ),
                element("td", ", ".join(protocol.name for protocol in each.protocols)),
            )
            for each in plugins
        ],
    )


def _grid(headings: Sequence[str], rows: Sequence[Sequence[Markup]]) -> Markup:
    return element(
        "table",
        element("thead", element("tr", *(element("th", heading) for heading in headings))),
        element("tbody", *(element("tr", joined(row)) for row in rows)),
    )


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
