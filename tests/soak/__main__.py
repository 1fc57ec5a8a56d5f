"""``python -m tests.soak``: random changes for some minutes, and a table of what went wrong.

Exit code 0: nothing was lost, nothing wrong or needless was written, and no memory grew.
1: something was. 2: it cannot run here.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from urllib3.exceptions import HTTPError

from tests.rig import availability
from tests.rig.control_plane import ControlPlane
from tests.rig.errors import ApiError, RigError

from .changes import EVIL, NAMESPACES, STEADY, Changes, apply, steady, steady_canary
from .faults import Faults
from .oracle import (
    Content,
    FilterWatch,
    Key,
    Seen,
    live_filters,
    wanted_filters,
    writes_so_far,
)
from .replicas import PLUGINS, Replica, environment_is_clean

_ROUND = 30.0  # seconds of changes between two counts
_SETTLES = 180.0  # seconds: failed writes are tried again at most a minute apart
_QUIET = 5.0  # seconds in which nothing may be written
_GROWTH_MIB, _GROWTH = 12.0, 0.10
_CRDS = Path(__file__).parents[2] / "deploy" / "manifests" / "crds.yaml"
_AWAY = (ApiError, HTTPError, OSError, KeyError)


@dataclass
class Counts:
    """What went wrong, with examples of each."""

    lost: int = 0
    wrong: int = 0
    needless: int = 0
    ended: int = 0
    tracebacks: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Remember an example for the report; the first few say it all."""
        print(f"  ! {text}", flush=True)
        if len(self.examples) < 20:
            self.examples.append(text)


class Run:
    """The mesh, two controllers, what changes, and what is counted."""

    def __init__(self, plane: ControlPlane, chance: random.Random, *, chaos: bool) -> None:
        self.plane = plane
        self.changes = Changes(plane.api, chance)
        self.replicas = [Replica(name, plane.kubeconfig, plane.folder) for name in ("one", "two")]
        self.faults = Faults(plane, self.replicas, random.Random(chance.random()))
        self.watch = FilterWatch(plane.api)
        self.counts = Counts()
        self.memory: dict[tuple[str, int], list[float]] = {}
        self.rounds = 0
        self._chaos = chaos
        self._chance = chance
        self._wanted: Mapping[Key, Content] = {}
        self._writes = 0.0

    def prepare(self) -> None:
        """Make what never changes, start both controllers, and wait for the first filters."""
        self.plane.apply_crds(_CRDS.read_text())
        for namespace in NAMESPACES:
            self.plane.namespaces.make(namespace)
        apply(self.plane.api, steady())
        steady_canary(self.plane.api)
        for replica in self.replicas:
            replica.start()
        self._wanted = self._settle()
        self.watch.start()
        self._writes = writes_so_far(self.plane.api)

    def round(self, seconds: float) -> None:
        """Change things for a while, then wait for quiet and count."""
        stop = threading.Event()
        faults = threading.Thread(target=self.faults.run, args=(stop,), name="faults")
        if self._chaos:
            faults.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.changes.make()
            # Bursts and pauses: both meet the debounce.
            pause = self._chance.choice((0.0, 0.05, 0.3, 1.0))
            threading.Event().wait(pause)
        stop.set()
        if self._chaos:
            faults.join()
        self.faults.heal()
        wanted = self._settle()
        self._count(wanted, self.watch.take())
        self._quiet()
        self._wanted = wanted
        self.changes.next_round()
        self.rounds += 1
        for replica in self.replicas:
            replica.check()
            pid, resident = replica.resident()
            self.memory.setdefault((replica.name, pid), []).append(resident)
        sizes = ", ".join(f"{values[-1]:.0f}" for values in self.memory.values())
        print(
            f"round {self.rounds}: {len(wanted)} filters, {self.changes.done} changes,"
            f" {self.faults.made.total()} faults, {sizes} MiB",
            flush=True,
        )

    def _settle(self) -> Mapping[Key, Content]:
        """Wait until the live filters are those of a fresh ``generate``; returns those."""
        end = time.monotonic() + _SETTLES
        while True:
            try:
                wanted = wanted_filters(self.plane.api, self.plane.folder, PLUGINS)
                while (live := live_filters(self.plane.api, wanted)) != wanted:
                    if time.monotonic() > end:
                        self._differs(wanted, live)
                        return wanted
                    threading.Event().wait(0.3)
            except _AWAY:
                if time.monotonic() > end:
                    raise
                threading.Event().wait(0.5)
            else:
                return wanted

    def _differs(self, wanted: Mapping[Key, Content], live: Mapping[Key, Content]) -> None:
        for key in sorted(wanted.keys() | live.keys()):
            if key not in live:
                self.counts.lost += 1
                self.counts.note(f"{key} is missing after {_SETTLES:.0f} s of quiet")
            elif wanted.get(key) != live[key]:
                self.counts.wrong += 1
                why = "should not be there" if key not in wanted else "has another content"
                self.counts.note(f"{key} {why} after {_SETTLES:.0f} s of quiet")

    def _count(self, wanted: Mapping[Key, Content], seen: Seen) -> None:
        for key in sorted(seen.deleted & wanted.keys() & self._wanted.keys()):
            if EVIL not in (key.namespace, _owner(wanted[key])):  # attacks take each other's names
                self.counts.lost += 1
                self.counts.note(f"{key} was away for a moment")
        for key, times in sorted(seen.changed.items()):
            if key in self.changes.tampered or key not in wanted:
                continue
            # Clients with rules of their own have ordinary weights, which change their filter.
            if _owner(wanted[key]) == STEADY and key.namespace != EVIL:
                self.counts.wrong += times
                self.counts.note(f"{key} changed although nothing of it did")
        if seen.repeated:
            self.counts.needless += seen.repeated
            self.counts.note(f"{seen.repeated} writes repeated what was there")
        if not self._chaos:  # the number begins anew with the API server
            self._count_requests(seen)

    def _count_requests(self, seen: Seen) -> None:
        writes = writes_so_far(self.plane.api)
        without_effect = writes - self._writes - seen.events
        self._writes = writes
        if without_effect > 0:
            self.counts.needless += int(without_effect)
            self.counts.note(f"{without_effect:.0f} requests changed no filter")

    def _quiet(self) -> None:
        """Nothing changes, so nothing may be written."""
        before = writes_so_far(self.plane.api)
        threading.Event().wait(_QUIET)
        after = writes_so_far(self.plane.api)
        self._writes = after
        events = self.watch.take().events
        if after != before or events:
            needless = int(max(after - before, events))
            self.counts.needless += needless
            self.counts.note(f"{needless} writes of filters while nothing changed")

    def growth(self) -> dict[str, float]:
        """MiB that a process has more at the end than when it was warm; only what is much."""
        grown = {}
        for (name, pid), values in self.memory.items():
            if len(values) < 6:
                continue  # it did not live for long enough
            third = len(values) // 3
            begin, end = median(values[third : 2 * third]), median(values[-third:])
            if end - begin > max(_GROWTH_MIB, begin * _GROWTH):
                grown[f"{name} ({pid})"] = end - begin
        return grown

    def finish(self) -> None:
        """Stop what runs, and count what the logs say."""
        self.watch.stop()
        for replica in self.replicas:
            replica.check()
            self.counts.ended += replica.ended
            self.counts.tracebacks += replica.tracebacks()
            if replica.ended:
                self.counts.note(f"{replica.name} ended by itself; {replica.process.log_tail()}")
            replica.process.kill()


def _owner(content: Content) -> str:
    """The namespace of the service that a filter is for."""
    labels: dict[str, Any] = json.loads(content.labels)
    return str(labels.get("aeraki.io/namespace", ""))


def main() -> int:
    """Run, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="default: 60")
    parser.add_argument("--chaos", action="store_true", help="with faults")
    parser.add_argument("--seed", type=int, default=None, help="of the random changes")
    options = parser.parse_args()
    if reason := availability.obstacle() or availability.unbuilt():
        print(f"soak: {reason}", file=sys.stderr)
        return 2
    if not environment_is_clean():
        print("soak: unset the variables AERAKI_*; the controllers would follow", file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane())
        run = Run(plane, random.Random(seed), chaos=options.chaos)
        stack.callback(run.finish)
        run.prepare()
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            run.round(min(_ROUND, max(5.0, end - time.monotonic())))
    return report(run)


def report(run: Run) -> int:
    """Print the table; 1 if anything in it is wrong."""
    counts, grown = run.counts, run.growth()
    print(f"\n{run.rounds} rounds, {run.changes.done} changes ({run.changes.refused} refused)")
    for name, times in sorted(run.faults.made.items()):
        print(f"  {name}: {times}")
    rows: list[tuple[str, float]] = [
        ("lost filters", counts.lost),
        ("wrong writes", counts.wrong),
        ("needless writes", counts.needless),
        ("controllers that ended by themselves", counts.ended),
        ("tracebacks in logs", counts.tracebacks),
        ("memory growth, MiB", round(sum(grown.values()), 1)),
    ]
    for what, number in rows:
        print(f"{what:<38}{number:>8}")
    for example in counts.examples:
        print(f"  {example}")
    for name, grew in grown.items():
        print(f"  {name} grew by {grew:.1f} MiB")
    return int(any(number for _, number in rows))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RigError as error:
        print(f"soak: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
