"""The questions and answers of each call of a plugin's hooks, for its author: ``--trace PLUGIN``.

A generator without a result looks like one that is not called. A trace shows the call, each
question to the context with its answer, the patches, the findings and the time. It holds no value
of a Secret and no content of a patch, which may hold one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from aeraki_core.errors import ends_the_program
from aeraki_core.filters.patch import Outbound, Patch
from aeraki_core.model.resource import Kind
from aeraki_core.model.secret import Secret
from aeraki_core.plugins.context import Context
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.redact import redact
from aeraki_core.plugins.types import AddOn, Option, Protocol

__all__ = ["HookTrace", "Question", "Tracer", "answer_texts"]

MAX_QUESTIONS = 1_000
"""Of one call, and as many of its patches."""

_READ = 10_000  # characters of a value that are looked at
_SHOWN = 300
_REPORTS = ("report", "report_mesh")  # their findings are listed apart


class Question(NamedTuple):
    """Something that a hook was given or asked for, and what it got."""

    asked: str
    answer: str


@dataclass(slots=True, kw_only=True)
class HookTrace:
    """One call of a hook, as texts without secrets. ``seconds`` is wall time."""

    plugin: str
    hook: str
    subject: str
    given: list[Question] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0

    def redacted(self, secrets: Collection[Secret]) -> HookTrace:
        """Return it without the values of these Secrets."""

        def clean(text: str) -> str:
            return _shortened(redact(text, secrets))

        return HookTrace(
            plugin=self.plugin,
            hook=self.hook,
            subject=self.subject,
            given=[Question(clean(each.asked), clean(each.answer)) for each in self.given],
            questions=[Question(clean(each.asked), clean(each.answer)) for each in self.questions],
            answers=[clean(each) for each in self.answers],
            findings=[clean(each) for each in self.findings],
            error=clean(self.error),
            seconds=self.seconds,
        )

    def lines(self) -> Iterator[str]:
        """Yield the trace for a reader."""
        about = f" {self.subject}" if self.subject else ""
        yield f"trace {self.plugin}: {self.hook}{about}  {self.seconds * 1000:.1f} ms"
        for each in self.given:
            yield f"    {each.asked} = {each.answer}"
        for each in self.questions:
            yield f"    {each.asked} -> {each.answer}"
        for answer in self.answers:
            yield f"  gave {answer}"
        for finding in self.findings:
            yield f"  reported {finding}"
        if self.error:
            yield f"  raised {self.error}"


class Tracer:
    """Follows the hooks of some plugins. ``write`` gets each call when it has ended."""

    def __init__(self, plugins: Collection[str], write: Callable[[HookTrace], None]) -> None:
        self._plugins = frozenset(plugins)
        self._write = write

    @contextmanager
    def following(
        self,
        plugin: str,
        hook: str,
        *,
        subject: object = "",
        arguments: Mapping[str, Any] | None = None,
        recorder: Recorder | None = None,
    ) -> Iterator[list[str] | None]:
        """Follow the call that is made in the block, which adds what the hook answers.

        Yields None for a plugin that is not traced.
        """
        if plugin not in self._plugins:
            yield None
            return
        trace = HookTrace(plugin=plugin, hook=hook, subject=str(subject))
        context = None
        for name, value in (arguments or {}).items():
            if isinstance(value, Context):
                context = value
            else:
                trace.given.append(Question(name, _text(value)))
        reported = len(recorder.findings) if recorder is not None else 0
        start = time.perf_counter()
        try:
            with _noting(context, trace.questions):
                yield trace.answers
        except BaseException as error:
            trace.error = f"{type(error).__name__}: {_guarded(str, error)}"
            raise
        finally:
            trace.seconds = time.perf_counter() - start
            if recorder is not None:
                trace.findings += (
                    f"{finding.code.id} {finding.message}"
                    for finding in recorder.findings[reported:]
                )
            self._write(trace.redacted(recorder.secrets if recorder is not None else ()))


def answer_texts(answer: object) -> list[str]:
    """Return the texts of a hook's answer: each patch or value on a line of its own."""
    values = answer if isinstance(answer, tuple) else (answer,)
    texts = [_text(value) for value in values[:MAX_QUESTIONS] if value != ""]
    return texts or ["nothing"]


class _Notes:
    """Where a context notes the questions of the plugin, without those of its own methods."""

    def __init__(self, questions: list[Question]) -> None:
        self._questions = questions
        self.is_inside = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        self.is_inside = True
        try:
            yield
        finally:
            self.is_inside = False

    def add(self, asked: str, answer: str) -> None:
        question = Question(asked, answer)
        if question not in self._questions[-20:] and len(self._questions) < MAX_QUESTIONS:
            self._questions.append(question)


@contextmanager
def _noting(context: Context | None, questions: list[Question]) -> Iterator[None]:
    """Meanwhile the context notes what it is asked."""
    if context is None:
        yield
        return
    plain = type(context)
    vars(context)["_notes"] = _Notes(questions)
    context.__class__ = _noting_class(plain)
    try:
        yield
    finally:
        context.__class__ = plain
        del vars(context)["_notes"]


_NOTING: dict[type[Context], type[Context]] = {}


def _noting_class(plain: type[Context]) -> type[Context]:
    """Return the class of contexts that records each question; made once for each kind."""
    if plain in _NOTING:
        return _NOTING[plain]

    class Noting(plain):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_"):
                return super().__getattribute__(name)
            notes: _Notes = self._notes
            if notes.is_inside:
                return super().__getattribute__(name)
            with notes.inside():
                value = super().__getattribute__(name)
            if callable(value):
                return partial(_ask, notes, name, value)
            notes.add(name, _text(value))
            return value

    Noting.__name__ = Noting.__qualname__ = plain.__name__
    _NOTING[plain] = Noting
    return Noting


def _ask(notes: _Notes, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    arguments = [_name(value) for value in args]
    arguments += [f"{key}={_name(value)}" for key, value in kwargs.items()]
    asked = f"{name}({', '.join(arguments)})"
    try:
        with notes.inside():
            answer = method(*args, **kwargs)
    except BaseException as error:
        notes.add(asked, f"raised {type(error).__name__}: {_guarded(str, error)}")
        raise
    if name not in _REPORTS:
        notes.add(asked, _text(answer))
    return answer


def _name(value: object) -> str:
    """Return an argument as text: declarations by name, others as Python writes them."""
    match value:
        case Option() | Protocol() | AddOn():
            return value.name
        case Kind():
            return value.kind
    return _text(value)


def _text(value: object) -> str:
    match value:
        case Patch():
            side = "outbound" if isinstance(value.side, Outbound) else "inbound"
            name = f" {value.name}" if value.name else ""
            return f"{side} {value.apply_to} {value.operation}{name} ({value.value.type_name})"
        case Option() | Protocol() | AddOn() | Kind():
            return _name(value)
    return _guarded(repr, value)


def _guarded(write: Callable[[Any], str], value: object) -> str:
    """Return a value as text; it may be the plugin's own, and its ``repr`` may raise anything."""
    try:
        return write(value)[:_READ]
    except BaseException as error:
        if ends_the_program(error):
            raise
        return f"<{type(value).__name__} that cannot be shown>"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
