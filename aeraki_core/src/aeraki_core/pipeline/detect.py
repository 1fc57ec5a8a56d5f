"""Which protocol a port speaks, and why. If none: the probable intention.

The first rule that answers wins: an exclusion, the port's ``appProtocol``, the protocol of a
ServiceEntry's port, the port's name, a plugin's own detection. A port without a protocol that looks
like one of ours gets a :class:`PortProblem`: the most common mistake is a misspelt name, which
Istio silently treats as plain TCP.

Facts: docs/internals/protocols.md, "Which ports".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import NamedTuple

from aeraki_core.findings.finding import Finding
from aeraki_core.model.protocol import PortProtocol, port_protocol
from aeraki_core.model.service import Port, Service
from aeraki_core.pipeline.port_choice import PortChoice
from aeraki_core.plugins.dispatch import HookDetection
from aeraki_core.plugins.istio_proxy import ISTIO_PROTOCOLS
from aeraki_core.plugins.types import Protocol

__all__ = ["Detection", "Detector", "PortProblem", "ProblemKind"]

_APP_PROTOCOL_PREFIX = "aeraki.io/"
_PREFIX = "tcp-"
_SEPARATORS = re.compile("[/.]")
_ENCRYPTED = frozenset({"tls", "ssl"})
_UNREADABLE = "which no filter can read: it passes as plain TCP."
_METAPROTOCOL = "metaprotocol"
"""The framework of upstream Aeraki, which needs a proxy of its own (docs/internals/upstream.md)."""

_MAX_DECLARATIONS = 10_000
"""That are kept. A mesh has some dozens, and a tenant may write any number."""

AskHooks = Callable[[Port, Service], HookDetection]


class ProblemKind(StrEnum):
    """Why a port that looks like one of ours has no protocol.

    - MISSPELT: its name or appProtocol is close to one that a plugin speaks, or the name says
      another protocol than what is declared
    - NO_PREFIX: its name lacks ``tcp-``
    - INACTIVE: a plugin of that name is installed and cannot be used
    - DISABLED: a plugin of that name is installed and the settings leave it out
    - NOBODY: it is named ``tcp-<word>``, and no installed plugin speaks that word
    - ENCRYPTED: its name says that clients speak TLS
    - EXCLUDED: an annotation excludes it
    - PLAIN: its appProtocol is tcp, whatever its name says
    - NOT_INCLUDED: its protocol is opt-in, and nothing includes the port
    """

    MISSPELT = "misspelt"
    NO_PREFIX = "no prefix"
    INACTIVE = "inactive"
    DISABLED = "disabled"
    NOBODY = "nobody"
    ENCRYPTED = "encrypted"
    EXCLUDED = "excluded"
    PLAIN = "plain"
    NOT_INCLUDED = "not included"


@dataclass(frozen=True, slots=True)
class PortProblem:
    """The probable intention of a port.

    ``word``: the protocol's word as written. ``remedy``: what to do, a sentence.
    """

    kind: ProblemKind
    word: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Detection:
    """The protocol of a port, or None; why; and the probable mistake if there is none.

    ``findings``: the plugins whose own detection failed for the port.
    """

    protocol: Protocol | None
    reason: str
    problem: PortProblem | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_unsure(self) -> bool:
        """Whether the port may speak a protocol that a failed hook would have named."""
        return self.protocol is None and bool(self.findings)


class _Declaration(NamedTuple):
    """What a port says about its protocol."""

    name: str
    protocol: str
    app_protocol: str | None


class Detector:
    """Detects by the words of the active protocols; asks the plugins' own detection last.

    ``inactive``: installed plugins that cannot be used, and why, by name. ``disabled``: those that
    the settings leave out. ``opt_in``: protocols, by name, whose ports must be included by an
    annotation.
    """

    def __init__(
        self,
        protocols: Iterable[Protocol],
        ask_hooks: AskHooks,
        *,
        inactive: Mapping[str, str] | None = None,
        disabled: Collection[str] = (),
        opt_in: Iterable[str] = (),
    ) -> None:
        self._ask_hooks = ask_hooks
        self._opt_in = frozenset(opt_in)
        self.learn(protocols, inactive=inactive, disabled=disabled)

    def learn(
        self,
        protocols: Iterable[Protocol],
        *,
        inactive: Mapping[str, str] | None = None,
        disabled: Collection[str] = (),
    ) -> None:
        """Detect by the words of these protocols from here on."""
        self._protocols = {token: protocol for protocol in protocols for token in protocol.tokens}
        self._by_declaration: dict[_Declaration, Detection | None] = {}
        self._inactive = dict(inactive or {})
        self._disabled = frozenset(disabled)

    def detect(
        self,
        service: Service,
        port: Port,
        choice: PortChoice | None = None,
        *,
        before: Protocol | None = None,
    ) -> Detection:
        """Return the protocol of a port of a service.

        ``choice``: what annotations include and exclude. ``before``: what the port spoke until
        now; it stays where the plugin's own detection fails.
        """
        choice = choice or PortChoice()
        excluded = choice.why_excluded(port)
        if excluded:
            remedy = f"Remove it from {choice.EXCLUDE} to have filters for it."
            return Detection(None, excluded, PortProblem(ProblemKind.EXCLUDED, "", remedy))
        detection = self._declared(port) or self._asked(port, service, before)
        protocol = detection.protocol
        if protocol is not None and protocol.name in self._opt_in and not choice.includes(port):
            remedy = f'Set the annotation {choice.INCLUDE}: "{port.name or port.number}".'
            problem = PortProblem(ProblemKind.NOT_INCLUDED, protocol.name, remedy)
            return Detection(
                None, f"{protocol.name} is opt-in, and the port is not included", problem
            )
        return detection

    def _declared(self, port: Port) -> Detection | None:
        """Return the detection by declaration; None if plugins may be asked.

        The ports of a mesh share few declarations, so each is read once.
        """
        declaration = _Declaration(port.name, port.protocol, port.app_protocol)
        if declaration not in self._by_declaration:
            if len(self._by_declaration) >= _MAX_DECLARATIONS:
                self._by_declaration.clear()
            self._by_declaration[declaration] = self._read(port)
        return self._by_declaration[declaration]

    def _read(self, port: Port) -> Detection | None:
        """Read the declaration of a port."""
        if port.app_protocol:
            word = port.app_protocol.lower().removeprefix(_APP_PROTOCOL_PREFIX)
            if word in self._protocols and port.protocol == "TCP":
                return Detection(self._protocols[word], f"appProtocol {port.app_protocol!r}")
            if word == "tcp":
                return self._plain(port)
            if self._istio_speaks(port):
                return self._contradicted(port, f"its appProtocol is {port.app_protocol}")
        if port.protocol.lower() in self._protocols:
            return Detection(self._protocols[port.protocol.lower()], f"protocol {port.protocol!r}")
        if port.protocol != "TCP":
            return self._contradicted(port, f"its protocol is {port.protocol}")
        token = self._name_token(port.name)
        tail = port.name.lower().removeprefix(f"{_PREFIX}{token}").split("-")
        if token and _ENCRYPTED & {*tail}:
            written = f"port name {port.name!r} says that clients speak TLS"
            remedy = f"{written}, {_UNREADABLE}"
            return Detection(None, written, PortProblem(ProblemKind.ENCRYPTED, token, remedy))
        return Detection(self._protocols[token], f"port name {port.name!r}") if token else None

    def _plain(self, port: Port) -> Detection:
        """Return a detection without a protocol for a port that is declared as TCP."""
        declared = f"its appProtocol is {port.app_protocol}"
        token = self._name_token(port.name)
        if token is None:
            return Detection(None, declared)
        remedy = f"Set appProtocol to {token}, or remove it, to have filters for it."
        return Detection(None, declared, PortProblem(ProblemKind.PLAIN, token, remedy))

    def _contradicted(self, port: Port, declared: str) -> Detection:
        """Return a detection without a protocol: Istio goes by what is declared, not by the name.

        A name that says something else may be the mistake, or the declaration.
        """
        token = self._name_token(port.name)
        if token is None:
            return Detection(None, declared)
        kind = ProblemKind.MISSPELT
        remedy = f"port name {port.name!r} says {token}, and {declared}: it has no filter."
        if port_protocol(port) is PortProtocol.TLS:
            kind = ProblemKind.ENCRYPTED
        return Detection(None, declared, PortProblem(kind, token, remedy))

    def _istio_speaks(self, port: Port) -> bool:
        return port_protocol(port) in (PortProtocol.HTTP, PortProtocol.TLS, PortProtocol.UDP)

    def _asked(self, port: Port, service: Service, before: Protocol | None) -> Detection:
        answer = self._ask_hooks(port, service)
        if before is not None and before in answer.unsure:
            # Fail static: an error of a plugin takes no port's filters away.
            reason = f"as before: the detection of {before.name} fails"
            return Detection(before, reason, findings=answer.findings)
        if answer.protocol is not None:
            reason = f"detected by the plugin of {answer.protocol.name}"
            return Detection(answer.protocol, reason, findings=answer.findings)
        if answer.findings:
            names = ", ".join(finding.plugin or "" for finding in answer.findings)
            reason = f"the detection of plugin {names} fails"
            return Detection(None, reason, findings=answer.findings)
        return self._nothing(port, is_entry=service.ref.kind == "ServiceEntry")

    def _nothing(self, port: Port, *, is_entry: bool) -> Detection:
        """Return a detection without a protocol: the declared text, and the probable intention.

        ``is_entry``: the port is a ServiceEntry's, which has no appProtocol.
        """
        if port.app_protocol:
            written = f"appProtocol {port.app_protocol!r}"
            problem = self._problem(
                self._bare(port.app_protocol), written, right=lambda token: token
            )
            if problem is not None:
                return Detection(None, f"no plugin speaks {written}", problem)
        written = f"port name {port.name!r}"
        name = port.name.lower()
        if not name:
            return Detection(None, "the port has no name")
        if not name.startswith(_PREFIX):
            head, _, rest = name.partition("-")
            if head == _METAPROTOCOL:
                problem = self._problem(name, written, right=lambda token: f"{_PREFIX}{token}")
                return Detection(None, f"no plugin speaks {written}", problem)
            if head in self._protocols and _ENCRYPTED & {*rest.split("-")}:
                return Detection(None, f"{written} says that clients speak TLS")
            if head in self._protocols and not self._istio_speaks(port):
                better = f"{_PREFIX}{name.removesuffix('-tcp')}"
                remedy = f"{written} lacks the prefix {_PREFIX}: name it {better}"
                if not is_entry:
                    remedy += f", or set appProtocol {head}"
                elif head in ISTIO_PROTOCOLS:
                    remedy += f", or set protocol {head.upper()}"
                problem = PortProblem(ProblemKind.NO_PREFIX, head, f"{remedy}.")
                return Detection(None, f"{written} lacks the prefix {_PREFIX}", problem)
            joined = name.removeprefix("tcp").lstrip("_.").partition("-")[0]
            if name.startswith("tcp") and joined in self._protocols:
                remedy = f"{written}: did you mean {_PREFIX}{joined}?"
                problem = PortProblem(ProblemKind.MISSPELT, joined, remedy)
                return Detection(None, f"{written} lacks the dash of {_PREFIX}", problem)
            near = get_close_matches(head, self._protocols, 1, 0.82)
            if near and not self._istio_speaks(port):
                remedy = f"{written}: did you mean {_PREFIX}{near[0]}?"
                problem = PortProblem(ProblemKind.NO_PREFIX, head, remedy)
                return Detection(None, f"{written} lacks the prefix {_PREFIX}", problem)
            if self._istio_speaks(port):
                return Detection(None, f"Istio reads it as {port_protocol(port)} ({written})")
            return Detection(None, f"{written} names no protocol")
        word = name.removeprefix(_PREFIX)
        problem = self._problem(word, written, right=lambda token: f"{_PREFIX}{token}")
        if problem is None and word:
            head = word.partition("-")[0]
            remedy = f"Install the plugin that speaks {head}, if there is one."
            problem = PortProblem(ProblemKind.NOBODY, head, remedy)
        return Detection(None, f"no plugin speaks {written}", problem)

    def _problem(
        self, word: str, written: str, *, right: Callable[[str], str]
    ) -> PortProblem | None:
        """Return the probable meaning of a word that no plugin speaks.

        ``right``: how a token is written there.
        """
        head, _, rest = word.partition("-")
        if head in self._protocols and _ENCRYPTED & {*rest.split("-")}:
            remedy = f"{written} says that clients speak TLS, {_UNREADABLE}"
            return PortProblem(ProblemKind.ENCRYPTED, head, remedy)
        if head == _METAPROTOCOL:
            token = rest.partition("-")[0] or "<protocol>"
            remedy = f"{written}: MetaProtocol is not supported; write {right(token)}"
            return PortProblem(ProblemKind.MISSPELT, word, f"{remedy} if a plugin speaks {token}.")
        for name, why in self._inactive.items():
            if name in (word, head):
                remedy = f"{written}: plugin {name} {why}."
                return PortProblem(ProblemKind.INACTIVE, name, remedy)
        off = next((name for name in (word, head) if name in self._disabled), None)
        if off is not None:
            remedy = f"Plugin {off} is installed; name it with --plugins to use it."
            return PortProblem(ProblemKind.DISABLED, off, remedy)
        near = get_close_matches(word, self._protocols, 1, 0.75) or get_close_matches(
            head, self._protocols, 1, 0.75
        )
        if not near:
            return None
        remedy = f"{written}: did you mean {right(near[0])}?"
        return PortProblem(ProblemKind.MISSPELT, word, remedy)

    def _bare(self, app_protocol: str) -> str:
        """Return the word of an appProtocol without what some write around it.

        That is the port's name, or the prefix of a domain: ``tcp-x``, ``example.com/x``.
        """
        words = [
            word.removeprefix(_PREFIX) for word in _SEPARATORS.split(app_protocol.lower()) if word
        ]
        known = (word for word in words if word.partition("-")[0] in self._protocols)
        return next(known, words[-1] if words else "")

    def _name_token(self, name: str) -> str | None:
        """Return the word of ``tcp-<word>`` or ``tcp-<word>-<anything>``, in any case.

        A word may hold dashes; the longest that is known wins.
        """
        head, dash, rest = name.lower().partition("-")
        if head != "tcp" or not dash:
            return None
        parts = rest.split("-")
        words = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((word for word in words if word in self._protocols), None)
