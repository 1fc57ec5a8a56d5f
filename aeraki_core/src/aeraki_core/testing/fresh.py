"""What a plugin makes in a process of its own: other hash seed, environment, time and directory.

The process imports the conformance class by its file, runs every example, and writes what came out
as JSON. While a hook runs, files, sockets and other programs are denied and noted; imports are not.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["PRISTINE", "Fresh", "FreshError", "digest", "run_fresh"]

PRISTINE = 3
"""The seed of the process that also makes each change, every time as the first it is asked."""

_SHIFT = 400 * 24 * 3600 + 7 * 3600 + 780  # seconds: another year, day, hour and minute
_DENIED = (
    "open",
    "os.",
    "shutil.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "tempfile.",
    "urllib.",
)
_TIMEOUT = 300.0
_CHILD_TIMEOUT = 60


class FreshError(AssertionError):
    """The fresh process did not end well; with the end of its output."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What an example gave there.

    ``text``: filters and findings.
    ``denied``: what hooks tried to touch.
    ``digests``: of what each change gives to a process that was asked nothing before; with the
    seed PRISTINE alone.
    """

    text: str
    denied: tuple[str, ...]
    digests: tuple[str, ...]


def run_fresh(kit: type[Any], seed: int) -> dict[str, Fresh]:
    """By example what a conformance class makes in a process with that hash seed.

    Raises:
        FreshError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="aeraki-") as folder:
        answer = Path(folder, "answer.json")
        request = {
            "file": inspect.getfile(kit),
            "module": kit.__module__,
            "kit": kit.__qualname__,
            "changes": seed == PRISTINE,
            "path": [str(Path(entry).resolve()) for entry in sys.path],
            "answer": str(answer),
        }
        printed = Path(folder, "printed.txt")
        with printed.open("w") as written:
            # A file, not a pipe: a process that a plugin leaves behind would keep a pipe open.
            process = subprocess.Popen(
                [sys.executable, "-m", "aeraki_core.testing.fresh", json.dumps(request)],
                cwd=folder,
                env=_environment(seed, request["path"]),
                stdout=written,
                stderr=written,
                start_new_session=True,
            )
        try:
            code: int | str = process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            code = f"nothing after {_TIMEOUT:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code != 0 or not answer.exists():
            text = printed.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise FreshError(f"a fresh process ended with {code}:\n{text}")
        answers = json.loads(answer.read_text(encoding="utf-8"))
    return {
        name: Fresh(item["text"], tuple(item["denied"]), tuple(item["digests"]))
        for name, item in answers.items()
    }


def _environment(seed: int, path: Any) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "AERAKI_ENVOY") if name in os.environ}
    return {
        **kept,
        "HOME": "/nonexistent",
        "LANG": "C",
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": os.pathsep.join(path),
        "TZ": "Pacific/Apia",
        "USER": f"user-{seed}",
    }


class _Sentry:
    """Denies what no hook needs. An audit hook stays for good, so it is switched on by the call."""

    def __init__(self) -> None:
        self.watching = False
        self.denied: list[str] = []
        sys.addaudithook(self._audit)
        start = threading.Thread.start

        def start_unless_watched(thread: threading.Thread) -> None:
            # Python 3.11 has no audit event for it.
            if self.watching:
                self._deny("threading.Thread.start")
            start(thread)

        threading.Thread.start = start_unless_watched  # type: ignore[method-assign, assignment]

    @contextmanager
    def guard(self, _hook: str) -> Iterator[None]:
        """Watch while a hook runs."""
        self.watching = True
        try:
            yield
        finally:
            self.watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching or not event.startswith(_DENIED) or _is_import():
            return
        self._deny(f"{event} {arguments[0] if arguments else ''}".strip())

    def _deny(self, what: str) -> NoReturn:
        self.denied.append(what)
        raise PermissionError(f"a hook must not touch this: {what}")


def _is_import() -> bool:
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _shift_clocks() -> None:
    """Move the clock: what depends on it differs from what another process made."""
    now, now_ns, zero = time.time, time.time_ns, _SHIFT
    time.time = lambda: now() + zero
    time.time_ns = lambda: now_ns() + zero * 10**9
    for name in ("localtime", "gmtime"):
        real = getattr(time, name)
        setattr(time, name, lambda at=None, real=real: real(time.time() if at is None else at))

    class ShiftedDate(datetime.date):
        @classmethod
        def today(cls) -> ShiftedDate:
            return cls.fromtimestamp(time.time())

    class ShiftedDateTime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> ShiftedDateTime:
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> ShiftedDateTime:
            return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    datetime.date = ShiftedDate  # type: ignore[misc]
    datetime.datetime = ShiftedDateTime  # type: ignore[misc]


def _load(request: dict[str, Any]) -> Any:
    """Load the conformance class, by its module's name or, if that is ambiguous, by its file."""
    name = request["module"]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(name, request["file"])
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    value: Any = module
    for part in request["kit"].split("."):
        value = getattr(value, part)
    return value


def digest(text: str) -> str:
    """Return a short form of a text, to compare it with another."""
    return hashlib.sha256(text.encode()).hexdigest()


def _text(kit: Any, example: str, objects: Any, sentry: _Sentry) -> str:
    made = kit.make(objects, example=example, guard=sentry.guard)
    return str(made.yaml + made.findings_text)


def _in_a_child(kit: Any, example: str, objects: Any, sentry: _Sentry) -> str:
    """Return the digest of the result of a fork of this process; empty if it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # It ends in any case: what reads its answer waits for that.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_CHILD_TIMEOUT)
        try:
            os.write(writing, digest(_text(kit, example, objects, sentry)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def main(request: dict[str, Any]) -> None:
    """Run every example and write what came out."""
    _shift_clocks()
    kit = _load(request)()
    sentry = _Sentry()
    answers: dict[str, Any] = {}
    # The children come first: they must inherit nothing from what an example leaves behind.
    texts: dict[str, list[str]] = {}
    for example in sorted(kit.examples):
        changes = kit.changes(example) if request["changes"] else ()
        digests = [_in_a_child(kit, example, objects, sentry) for _, objects in changes]
        texts[example] = digests
    for example, digests in texts.items():
        sentry.denied = []
        text = _text(kit, example, kit.objects(example), sentry)
        answers[example] = {"text": text, "denied": sentry.denied, "digests": digests}
    Path(request["answer"]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
