"""Who holds the Lease, by a clock of the test's own: when it may write, and when no longer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from aeraki_core.controller.leader import Leader, LeaseTiming
from aeraki_core.errors import SettingsError
from aeraki_core.kube.client import Answer
from aeraki_core.kube.errors import ApiError, UnreachableError


class Server:
    """The Leases of an API server for an election: it refuses updates of an old version."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0
        self.away = False
        self.after: Any = lambda: None

    def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Answer:
        if self.away:
            raise UnreachableError("away")
        if method == "GET":
            if self.lease is None:
                raise ApiError(path, 404, "NotFound", "")
            return Answer(copy.deepcopy(self.lease))
        given = body["metadata"].get("resourceVersion")
        if given != (self.lease["metadata"]["resourceVersion"] if self.lease else None):
            raise ApiError(path, 409, "Conflict", "")
        self.version += 1
        self.writes += 1
        self.lease = copy.deepcopy(
            {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        )
        self.after()
        return Answer(copy.deepcopy(self.lease))

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


class Election:
    """Replicas over one server, and a clock that moves on demand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.server = Server()
        self.said: list[tuple[str, bool]] = []

    def replica(self, name: str) -> Leader:
        client: Any = self.server
        return Leader(
            client,
            "ns",
            "lease",
            name,
            lambda leads: self.said.append((name, leads)),
            clock=lambda: self.now,
        )


@pytest.fixture
def election() -> Election:
    return Election()


def test_the_first_leads_and_the_others_wait_out_its_lease(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    one._once()
    two._once()
    assert (one.may_write(), two.may_write()) == (True, False)
    assert two.holder == "one"
    election.now += 14.9
    two._once()
    assert not two.may_write()
    election.now += 0.2
    two._once()
    assert (one.may_write(), two.may_write()) == (False, True)
    assert election.server.lease is not None
    assert election.server.lease["spec"]["leaseTransitions"] == 1


def test_who_renews_keeps_it(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    for _ in range(30):
        one._once()
        two._once()
        election.now += 2
    assert one.may_write()
    assert election.said == [("one", True)]


def test_who_was_paused_may_not_write_before_it_has_asked_again(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    one._once()
    two._once()
    election.now += 10.1  # its own deadline; nobody else has taken the Lease yet
    assert not one.may_write()
    election.now += 5
    two._once()
    one._once()
    assert (one.may_write(), two.may_write()) == (False, True)
    assert election.said == [("one", True), ("two", True), ("one", False)]


def test_who_gets_it_back_after_a_lapse_begins_anew(election: Election) -> None:
    one = election.replica("one")
    one._once()
    election.now += 12
    one._once()
    assert one.may_write()
    assert election.said == [("one", True), ("one", False), ("one", True)]


def test_an_answer_that_comes_too_late_makes_no_leader(election: Election) -> None:
    one = election.replica("one")

    def late() -> None:
        election.now += 11

    election.server.after = late
    one._once()
    assert not one.may_write()
    assert election.said == []


def test_without_an_answer_it_leads_until_its_deadline(election: Election) -> None:
    one = election.replica("one")
    one._once()
    election.server.away = True
    election.now += 9
    one._once()
    assert one.may_write()
    election.now += 2
    assert not one.may_write()
    one._once()
    assert election.said == [("one", True), ("one", False)]
    election.server.away = False
    one._once()
    assert one.may_write()


def test_of_two_that_try_at_once_the_server_takes_one(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    one._once()
    election.now += 16
    two._once()
    one._once()
    two._once()
    assert [one.may_write(), two.may_write()].count(True) == 1


def test_who_ends_gives_it_back(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    one._once()
    two._once()
    one.stop()
    assert election.server.holder == ""
    assert not one.may_write()
    two._once()
    assert two.may_write()


def test_who_does_not_hold_it_gives_nothing_back(election: Election) -> None:
    one, two = election.replica("one"), election.replica("two")
    one._once()
    two._once()
    writes = election.server.writes
    two.stop()
    election.now += 11
    one.stop()  # its time was over: it may be somebody else's
    assert election.server.writes == writes
    assert election.server.holder == "one"


@pytest.mark.parametrize(
    ("lease", "renew", "retry"), [(10, 10, 2), (15, 2, 2), (0.9, 0.5, 0.1), (15, 10, 0)]
)
def test_times_that_make_no_sense(lease: float, renew: float, retry: float) -> None:
    with pytest.raises(SettingsError, match="leaseDuration"):
        LeaseTiming(lease, renew, retry)
