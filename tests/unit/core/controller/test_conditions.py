"""What the status of a plugin's object says, and when it is written."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from aeraki_core.controller.conditions import Condition, conditions
from aeraki_core.controller.sender import Sender
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.kube.errors import ApiError, NotSentError, UnreachableError
from aeraki_core.model.meta import ObjectRef

from tests.unit.core.controller.running import WAIT
from tests.unit.core.echo import Mesher

POLICY = ObjectRef("EchoPolicy", "shop", "cart", "echo.example.com")


def of(mesh: Mesher, problems: dict[FilterKey, str] | None = None) -> tuple[Condition, Condition]:
    mesh.run()
    store = mesh.pipeline.store
    return conditions(
        mesh.pipeline.findings_about(POLICY),
        rejected=POLICY in store.rejected(),
        last_good=store.is_known(POLICY),
        reports=mesh.pipeline.reports_reading(POLICY),
        problem=(problems or {}).get,
    )


def words(found: tuple[Condition, Condition]) -> list[tuple[bool, str]]:
    return [(item.good, item.reason) for item in found]


@pytest.fixture
def mesh() -> Mesher:
    found = Mesher()
    found.service("cart")
    found.put("EchoPolicy", "cart", {"host": "cart"})
    return found


def test_all_is_well(mesh: Mesher) -> None:
    accepted, programmed = of(mesh)
    assert accepted == Condition("Accepted", True, "Accepted", "")
    assert programmed.good
    assert programmed.message == "in the filters of cart.shop.svc.cluster.local:7000"


def test_no_service_reads_it(mesh: Mesher) -> None:
    mesh.put("EchoPolicy", "cart", {"host": "nobody"})
    assert words(of(mesh)) == [(True, "Accepted"), (False, "NoService")]


def test_the_plugin_warns_of_it(mesh: Mesher) -> None:
    mesh.put("EchoPolicy", "cart", {"host": "cart", "volume": 12})
    accepted, programmed = of(mesh)
    assert accepted == Condition(
        "Accepted", True, "Accepted", "ECH0101 spec.volume: 12 is above 11"
    )
    assert programmed.good


def test_its_model_refuses_it_and_the_last_good_form_stays(mesh: Mesher) -> None:
    mesh.run()
    mesh.put("EchoPolicy", "cart", {"host": "cart", "volume": "loud"})
    accepted, programmed = of(mesh)
    assert words((accepted, programmed)) == [(False, "Invalid"), (False, "NotAccepted")]
    assert "AER0106 spec.volume" in accepted.message
    assert "last good form" in programmed.message


def test_a_secret_is_missing(mesh: Mesher) -> None:
    mesh.put("EchoPolicy", "cart", {"host": "cart", "secret": "words"})
    accepted, programmed = of(mesh)
    assert words((accepted, programmed)) == [(False, "Invalid"), (False, "NoFilter")]
    assert "no Secret words" in programmed.message


def test_a_secret_goes_missing_after_a_filter_was_made(mesh: Mesher) -> None:
    mesh.run()
    mesh.put("EchoPolicy", "cart", {"host": "cart", "secret": "words"})
    accepted, programmed = of(mesh)
    assert words((accepted, programmed)) == [(False, "Invalid"), (False, "Held")]
    assert "keeps its last good filters" in programmed.message


def test_an_older_service_claims_the_address(mesh: Mesher) -> None:
    mesh.service("a-first-one")
    accepted, programmed = of(mesh)
    assert words((accepted, programmed)) == [(True, "Accepted"), (False, "Partial")]
    assert "cart.shop.svc.cluster.local:7000 lacks a filter: AER0201" in programmed.message


def test_its_filter_could_not_be_written(mesh: Mesher) -> None:
    mesh.run()
    key = next(iter(mesh.pipeline.filters))
    accepted, programmed = of(mesh, {key: "the webhook refused it"})
    assert words((accepted, programmed)) == [(True, "Accepted"), (False, "NotWritten")]
    assert programmed.message == "the webhook refused it"


def test_a_pass_names_the_objects_about_which_something_else_may_be_true(mesh: Mesher) -> None:
    mesh.run()
    mesh.service("cart", ip="10.0.0.9")
    assert mesh.run().objects == {POLICY}
    mesh.service("other", ip="10.0.0.8")
    assert mesh.run().objects == frozenset()


# -- sending ---------------------------------------------------------------------------------------


class Sending:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[tuple[str, int]] = []
        self.changed = threading.Condition()
        self.sender: Sender[str, int] = Sender("test", self.send)

    def send(self, key: str, value: int) -> None:
        with self.changed:
            self.sent.append((key, value))
            self.changed.notify()
            if self.errors:
                raise self.errors.pop(0)

    def wait(self, count: int) -> list[tuple[str, int]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, WAIT)
        self.sender.stop(WAIT)
        return self.sent


def test_only_the_newest_for_a_key_is_sent() -> None:
    sending = Sending()
    for value in (1, 2, 3):
        sending.sender.put("a", value)
    sending.sender.put("b", 1)
    sending.sender.put("c", 1)
    sending.sender.drop("b")
    sending.sender.start()
    assert sending.wait(2) == [("a", 3), ("c", 1)]


def test_what_may_succeed_later_is_tried_again_and_the_rest_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused: Any = ApiError("PATCH", 403, "Forbidden", "no right")
    sending = Sending(
        UnreachableError("away"), refused, NotSentError("stands by"), RuntimeError("a defect")
    )
    sending.sender.put("a", 1)
    sending.sender.start()
    sending.sender.put("b", 1)
    with sending.changed:
        assert sending.changed.wait_for(lambda: len(sending.sent) == 3, WAIT)
    sending.sender.put("c", 1)
    sending.sender.put("d", 1)
    sent = sending.wait(5)
    assert sorted(sent) == [("a", 1), ("a", 1), ("b", 1), ("c", 1), ("d", 1)]
    assert "away" in caplog.text
    assert "a defect" in caplog.text
