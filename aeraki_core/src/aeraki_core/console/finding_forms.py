"""Findings for machines: JSON, SARIF 2.1.0, JUnit's XML, and GitHub Actions' workflow commands.

JSON holds texts as they are, in ASCII. The others are shown to people, so their texts are escaped
first. Sources: SARIF 2.1.0 (OASIS), "Workflow commands for GitHub Actions", GitLab's "Unit test
reports".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from aeraki_core.findings.finding import Code, Finding, Severity
from aeraki_core.findings.text import escape, finding_place, finding_subject
from aeraki_core.model.meta import ObjectRef

__all__ = ["as_dict", "from_dict", "github", "help_url", "junit", "sarif", "to_json"]

_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def help_url(code: str, docs_url: str) -> str | None:
    """Where the code is explained; None without the address of the pages."""
    return f"{docs_url.rstrip('/')}/finding-examples.html#{code.lower()}" if docs_url else None


def as_dict(finding: Finding, docs_url: str = "") -> dict[str, Any]:
    """Return a finding in its JSON form; unknown fields are left out.

    ``docs_url``: where the pages are served.
    """
    ref = finding.ref
    content: dict[str, Any] = {
        "code": finding.code.id,
        "severity": finding.severity.label,
        "title": finding.code.title,
        "message": finding.message,
        "action": finding.code.action,
        "object": {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name} if ref else None,
        "field": finding.field,
        "file": finding.source,
        "line": finding.line,
        "plugin": finding.plugin,
        "help": help_url(finding.code.id, docs_url),
    }
    return {key: value for key, value in content.items() if value is not None}


def from_dict(content: Mapping[str, Any]) -> Finding:
    """The finding that :func:`as_dict` gave.

    Raises:
        KeyError: it is not of that form.
    """
    code = Code(
        id=content["code"],
        severity=Severity[content["severity"].upper()],
        title=content["title"],
        action=content["action"],
    )
    about = content.get("object")
    ref = ObjectRef(about["kind"], about["namespace"], about["name"]) if about else None
    return Finding(
        code,
        content["message"],
        ref,
        content.get("field"),
        content.get("file"),
        content.get("line"),
        content.get("plugin"),
    )


def to_json(findings: Sequence[Finding], docs_url: str = "") -> str:
    """A list of findings. ``docs_url``: where the pages are served."""
    return json.dumps([as_dict(item, docs_url) for item in findings], indent=2) + "\n"


def sarif(findings: Sequence[Finding], version: str, docs_url: str = "") -> str:
    """Return a SARIF log of one run.

    ``version`` is that of Aeraki, ``docs_url`` where its pages are served.
    """
    codes = {item.code.id: item.code for item in findings}
    rules = [
        {
            "id": code.id,
            "shortDescription": {"text": code.title},
            "help": {"text": code.action},
            "defaultConfiguration": {"level": _SARIF_LEVELS[code.severity]},
            **({"helpUri": url} if (url := help_url(code.id, docs_url)) else {}),
        }
        for _, code in sorted(codes.items())
    ]
    order = {rule["id"]: index for index, rule in enumerate(rules)}
    results = [
        {
            "ruleId": item.code.id,
            "ruleIndex": order[item.code.id],
            "level": _SARIF_LEVELS[item.severity],
            "message": {"text": f"{escape(item.message)}. {item.code.action}"},
            "locations": _locations(item),
        }
        for item in findings
    ]
    driver = {"name": "aeraki", "version": version, "rules": rules}
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2) + "\n"


def _locations(finding: Finding) -> list[dict[str, Any]]:
    location: dict[str, Any] = {}
    path = _file_of(finding)
    if path:
        physical: dict[str, Any] = {"artifactLocation": {"uri": quote(path)}}
        if finding.line:
            physical["region"] = {"startLine": finding.line}
        location["physicalLocation"] = physical
    if finding.ref:
        location["logicalLocations"] = [{"fullyQualifiedName": finding_subject(finding)}]
    return [location] if location else []


def junit(findings: Sequence[Finding], least: Severity) -> str:
    """Return a test case for each finding, failed if it is at least that severe.

    Without findings there is one test case that passes.
    """
    from xml.etree import ElementTree

    failures = sum(item.severity >= least for item in findings)
    counts = {"tests": str(len(findings) or 1), "failures": str(failures)}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "aeraki validate", **counts})
    for item in findings:
        subject = finding_subject(item)
        place = {"file": escape(item.source or ""), "line": str(item.line or "")}
        attributes = {
            "name": f"{item.code.id} {subject or item.code.title}",
            "classname": "aeraki",
            **{key: value for key, value in place.items() if value},
        }
        case = ElementTree.SubElement(suite, "testcase", attributes)
        message = escape(item.message)
        text = (
            f"{finding_place(item)}{item.severity.label} {item.code.id}: {message}"
            f"\n{item.code.action}"
        )
        if item.severity >= least:
            failure = {"message": message, "type": item.severity.label}
            ElementTree.SubElement(case, "failure", failure).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    if not findings:
        ElementTree.SubElement(suite, "testcase", {"name": "no findings", "classname": "aeraki"})
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + ElementTree.tostring(suites, encoding="unicode")
        + "\n"
    )


def github(findings: Sequence[Finding]) -> str:
    """One workflow command for each finding: it shows up at the line of the change under review."""
    return "".join(f"{_github_line(item)}\n" for item in findings)


def _github_line(finding: Finding) -> str:
    properties = {
        "file": _file_of(finding),
        "line": finding.line if _file_of(finding) else None,
        "title": f"{finding.code.id} {finding.code.title}",
    }
    parameters = ",".join(
        f"{key}={_property(str(value))}" for key, value in properties.items() if value
    )
    subject = finding_subject(finding)
    about = f" ({subject})" if subject else ""
    message = _text(f"{finding.message}{about}. {finding.code.action}")
    return f"::{_GITHUB_LEVELS[finding.severity]} {parameters}::{message}"


def _file_of(finding: Finding) -> str | None:
    """The file as reviews name it; None for standard input, which no review shows."""
    from aeraki_core.manifests.locate import STDIN, display

    if not finding.source or finding.source == display(STDIN):
        return None
    return finding.source.removeprefix("./")


def _text(text: str) -> str:
    # Without line breaks nothing in a message can become a command of its own.
    return escape(text).replace("%", "%25")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
