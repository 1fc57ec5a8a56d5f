"""The core's own tables, against the plain dictionaries that they stand for."""

from __future__ import annotations

from aeraki_core.findings.by_place import FindingsByPlace
from aeraki_core.findings.codes import BAD_NAME, REJECTED
from aeraki_core.findings.finding import Finding
from aeraki_core.model.memory import Index, MultiMap
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.sampled_from("ab")
IDENTITIES = st.sampled_from([1, 2, 3])
FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from([BAD_NAME, REJECTED]), st.sampled_from("xyz")), max_size=3
)


@given(st.lists(st.tuples(KEYS, IDENTITIES, st.none() | st.integers(0, 9)), max_size=30))
def test_an_index_holds_what_a_dictionary_for_each_key_would(
    steps: list[tuple[str, int, int | None]],
) -> None:
    index: Index[str, int, int] = Index()
    plain: dict[str, dict[int, int]] = {"a": {}, "b": {}}
    for key, identity, value in steps:
        if value is None:
            index.drop(key, identity)
            plain[key].pop(identity, None)
        else:
            index.put(key, identity, value)
            plain[key][identity] = value
        for each, values in plain.items():
            assert (each in index) == bool(values)
            assert index.values(each) == tuple(values.values())
            assert [index.get(each, number) for number in (1, 2, 3)] == [
                values.get(number) for number in (1, 2, 3)
            ]


@given(st.lists(st.tuples(st.integers(0, 3), FINDINGS, st.booleans()), max_size=30))
def test_findings_that_came_and_went_are_told_once(
    steps: list[tuple[int, list[Finding], bool]],
) -> None:
    findings = FindingsByPlace()
    plain: dict[int, list[Finding]] = {}
    told: set[Finding] = set()
    for place, given_, asked in steps:
        findings.put(place, tuple(given_))
        plain[place] = given_
        now = {item for items in plain.values() for item in items}
        assert set(findings) == now
        assert findings.at(place) == tuple(given_)
        if asked:
            came, went = findings.changes()
            assert len(set(came)) == len(came)
            assert set(came) == now - told
            assert set(went) == told - now
            told = now


@given(st.lists(st.tuples(KEYS, st.integers(0, 12), st.booleans()), max_size=60))
def test_a_multimap_holds_what_a_set_for_each_key_would(
    steps: list[tuple[str, int, bool]],
) -> None:
    multimap: MultiMap[str, int] = MultiMap()
    plain: dict[str, set[int]] = {"a": set(), "b": set()}
    for key, value, added in steps:
        if added:
            multimap.put(key, value)
            plain[key].add(value)
        elif value in plain[key]:
            multimap.drop(key, value)
            plain[key].remove(value)
        for each, values in plain.items():
            assert sorted(multimap.values(each)) == sorted(values)
