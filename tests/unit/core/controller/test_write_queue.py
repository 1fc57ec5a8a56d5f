"""The order of writes: a namespace with very many filters delays no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aeraki_core.controller.write_queue import WriteQueue
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.reconcile import Action, Step, differences
from hypothesis import given
from hypothesis import strategies as st


def a_filter(owner: str, number: int, *others: str) -> EnvoyFilter:
    host = f"s{number}.{owner}.svc.cluster.local"
    return EnvoyFilter(
        FilterKey("istio-system", f"aeraki-outbound-{host}-7000"),
        "echo",
        (ServicePort(host, 7000),),
        (),
        -10,
        (),
        (owner, *others),
    )


def write(owner: str, number: int, *others: str) -> Step:
    item = a_filter(owner, number, *others)
    (step,) = differences([item.key], {item.key: item}, {})
    return step


def deletion(owner: str, number: int, *others: str) -> Step:
    item = a_filter(owner, number, *others)
    live = Live(item.key, item.plugin, item.service_ports, item, item.namespaces)
    (step,) = differences([item.key], {}, {item.key: live})
    return step


def owners(steps: list[Step]) -> list[str]:
    return [item.namespaces[0] for step in steps for item in (step.after or step.before,) if item]


def test_namespaces_take_turns() -> None:
    queue = WriteQueue()
    for number in range(1000):
        queue.put(write("evil", number))
    for number in range(3):
        queue.put(write("shop", number))
    queue.put(write("bank", 0))
    assert owners(queue.pick(7, 0.0)) == ["evil", "shop", "bank", "evil", "shop", "evil", "shop"]
    assert len(queue) == 997


def test_a_namespace_that_writes_again_and_again_is_slowed_down_and_nobody_else_is() -> None:
    queue = WriteQueue(burst=10, rate=2.0)
    for number in range(100):
        queue.put(write("evil", number))
        queue.put(write("shop", number), free=True)
    assert sorted(owners(queue.pick(1000, 0.0))) == ["evil"] * 10 + ["shop"] * 100
    assert queue.pick(1000, 0.0) == []
    assert queue.next(0.0) == 0.5
    assert owners(queue.pick(1000, 5.0)) == ["evil"] * 10
    queue.put(write("shop", 0))
    assert queue.next(5.0) == 5.0
    assert owners(queue.pick(1000, 5.0)) == ["shop"]


def test_what_changed_last_goes_first_and_what_was_not_its_turn_is_overtaken() -> None:
    queue = WriteQueue()
    for number in range(4):
        queue.put(write("shop", number), fresh=True)
    first = queue.pick(2, 0.0)
    queue.put(write("shop", 9), fresh=True)
    second = queue.pick(2, 0.0)
    assert [step.key.name[16:18] for step in (*first, *second)] == ["s0", "s1", "s9", "s2"]


def test_a_deletion_waits_for_every_write_of_its_namespaces() -> None:
    queue = WriteQueue(burst=1, rate=1.0)
    queue.put(deletion("shop", 0, "bank"), free=True)
    queue.put(deletion("office", 1), free=True)
    queue.put(write("bank", 0))
    queue.put(write("bank", 1))
    assert owners(queue.pick(100, 0.0)) == ["bank", "office"]
    assert owners(queue.pick(100, 1.0)) == ["bank", "shop"]


def test_a_deletion_that_waits_for_writes_is_no_reason_to_look_at_once() -> None:
    queue = WriteQueue(burst=1, rate=1.0)
    for number in range(3):
        queue.put(write("bank", number))
    queue.put(deletion("shop", 9, "bank"), free=True)
    assert owners(queue.pick(100, 0.0)) == ["bank"]
    assert queue.next(0.0) == 1.0
    assert owners(queue.pick(100, 1.0)) == ["bank"]
    assert owners(queue.pick(100, 2.0)) == ["bank", "shop"]
    assert queue.next(2.0) is None


def test_a_deletion_of_a_filter_that_names_no_namespace_waits_for_all() -> None:
    queue = WriteQueue(burst=1, rate=1.0)
    nameless = deletion("shop", 0)
    assert nameless.before is not None
    queue.put(replace(nameless, before=replace(nameless.before, namespaces=())), free=True)
    queue.put(write("bank", 0))
    queue.put(write("bank", 1))
    assert [step.action for step in queue.pick(9, 0.0)] == [Action.CREATE]
    assert [step.action for step in queue.pick(9, 1.0)] == [Action.CREATE, Action.DELETE]


def test_a_filter_waits_for_the_companions_that_it_names() -> None:
    queue = WriteQueue(burst=1, rate=1.0)
    companion = write("bank", 1)
    step = write("shop", 0)
    assert isinstance(step.after, EnvoyFilter)
    queue.put(replace(step, after=replace(step.after, companions=(companion.key,))), free=True)
    queue.put(write("bank", 0))
    queue.put(companion)
    assert owners(queue.pick(9, 0.0)) == ["bank"]
    assert queue.next(0.0) == 1.0
    assert owners(queue.pick(9, 1.0)) == ["bank"]
    assert owners(queue.pick(9, 1.0)) == ["shop"]


_Put = tuple[Callable[..., Step], str, int, bool, bool]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([write, deletion]),
            st.sampled_from(["a", "b", "c"]),
            st.integers(0, 5),
            st.booleans(),
            st.booleans(),
        ),
        st.integers(0, 4),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_nothing_is_lost_or_done_twice(actions: list[_Put | int]) -> None:
    queue, now = WriteQueue(burst=2, rate=1.0), 0.0
    waiting: dict[FilterKey, Step] = {}
    for action in actions:
        if isinstance(action, int):
            for step in queue.pick(action, now):
                assert waiting.pop(step.key) is step
            now += 1.0
        else:
            make, owner, number, fresh, free = action
            step = make(owner, number)
            queue.put(step, fresh=fresh, free=free)
            waiting[step.key] = step
        assert len(queue) == len(waiting)
        assert {step.key for step in queue} == waiting.keys()
    while queue:
        now += 1.0
        at = queue.next(now)
        assert at is not None
        assert at <= now
        for step in queue.pick(100, now):
            assert waiting.pop(step.key) is step
    assert not waiting
    assert queue.next(now) is None
