"""For each rule of the conformance kit a plugin that breaks it, and the words that its author gets.

The plugins are variations of one that passes, so that each breaks one rule alone. The kit's tests
are called as pytest calls them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aeraki_core.mesh.store import Store
from aeraki_core.testing import Envoy, PluginConformance, resource, secret, service, service_entry
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from pydantic import BaseModel, Field, field_validator

from aeraki_core import (
    Code,
    Extension,
    GenerateContext,
    Kind,
    Option,
    OptionType,
    Patch,
    Protocol,
    Severity,
    hookimpl,
)

ECHO = "envoy.filters.network.echo"
SECRET = "cart"  # of the example


class Spec(BaseModel):
    host: str
    names: list[str] = []
    secret: str = SECRET


KIND = Kind(
    group="good.example.com",
    version="v1",
    kind="GoodPolicy",
    plural="goodpolicies",
    spec=Spec,
    summary="How to echo",
    hosts=lambda spec: [spec.host],
    secrets=lambda spec: [spec.secret],
)
INBOUND = Option(
    name="inbound", type=OptionType.BOOL, help="Answer at the workload too.", default=True
)
EMPTY = Code(
    id="GUD0101", severity=Severity.WARNING, title="policy without names", action="Name somebody."
)

Body = Callable[[GenerateContext], Iterable[Patch]]


def good(context: GenerateContext) -> Iterator[Patch]:
    """What the plugin that passes does."""
    yield context.outbound.replace_tcp_proxy(ECHO, Echo())
    for policy in context.resources(KIND):
        if not policy.spec.names:
            context.report(EMPTY, "no names", ref=policy.ref)
    if context.option(INBOUND):
        for side in context.inbound:
            yield side.replace_tcp_proxy(ECHO, Echo())


def plugin(body: Body = good, *, kind: Any = KIND, **protocol: Any) -> Any:
    """A plugin whose generator is ``body``; ``protocol``: what else differs in its declaration."""
    declared: dict[str, Any] = {"options": (INBOUND,), "codes": (EMPTY,), **protocol}

    class Plugin:
        __name__ = "good"

        @hookimpl
        def aeraki_protocols(self) -> list[Protocol]:
            return [
                Protocol(
                    name="good",
                    tokens=("good",),
                    extension=Extension(ECHO, stock=True),
                    summary="Echoes",
                    **declared,
                )
            ]

        @hookimpl
        def aeraki_resources(self) -> list[Any]:
            return [kind]

        @hookimpl
        def aeraki_generate(self, context: GenerateContext) -> Iterable[Patch]:
            return body(context)

    return Plugin()


def cart(**annotations: str) -> dict[str, Any]:
    return service(
        "cart",
        {"tcp-good": (7000, 9000)},
        selector={"app": "cart"},
        annotations={f"good.aeraki.io/{name}": value for name, value in annotations.items()},
    )


OBJECTS = [
    cart(inbound="true"),
    service("other", {"tcp-good": 7000}, cluster_ip="10.96.0.11"),
    service("bystander", {"tcp-plain": 7000}, cluster_ip="10.96.0.12"),
    resource(KIND, "cart", host="cart", names=[]),
    resource(KIND, "other", host="cart", names=["a"]),
    secret(SECRET, {"password": "Pa55"}),
]


class Good(PluginConformance):
    """Not collected: pytest takes classes that are called Test."""

    plugin: ClassVar[Any] = plugin()
    examples: ClassVar[Any] = {"cart": OBJECTS}
    not_for: ClassVar[Any] = {"others": [service_entry("x", ["x.example.com"], {"tcp": 7000})]}
    odd_inputs = 30
    deadline = 1.0


ARGUMENTS = {"example": "cart", "odd_one": "cart"}
RULES = sorted(name for name in dir(PluginConformance) if name.startswith("test_"))


def run(kit: type[PluginConformance], rule: str) -> None:
    """One test of the kit with the arguments that it asks for."""
    test = getattr(kit(), rule)
    wanted = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    arguments: dict[str, Any] = {**ARGUMENTS, "envoy": Envoy.find()}
    test(**{name: arguments[name] for name in wanted})


@pytest.mark.envoy
@pytest.mark.parametrize("rule", RULES)
def test_a_good_plugin_passes(rule: str) -> None:
    run(Good, rule)


# -- generators that break one rule ----------------------------------------------------------------


def nothing(_: GenerateContext) -> Iterator[Patch]:
    yield from ()


def raises(_: GenerateContext) -> Iterator[Patch]:
    raise KeyError("later")


def hangs(context: GenerateContext) -> Iterator[Patch]:
    yield from good(context)
    while True:
        pass


def endless(context: GenerateContext) -> Iterator[Patch]:
    yield from itertools.cycle(good(context))


def prefixed(text: str, context: GenerateContext) -> Iterator[Patch]:
    """Yield a tcp_proxy with the text as its stat_prefix."""
    name = "envoy.filters.network.tcp_proxy"
    yield context.outbound.replace_tcp_proxy(name, TcpProxy(stat_prefix=text or "x", cluster="x"))
    yield from itertools.islice(good(context), 1, None)


COUNTER = itertools.count()


def counts(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(str(next(COUNTER)), context)


def chance(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(str(random.random()), context)


def sets(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(",".join({"a", "b", "c", "d", "e", "f"}), context)


def hashes(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(str(hash(context.service.host)), context)


def hours(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(time.strftime("%Y-%m-%d", time.gmtime(time.time())), context)


def dates(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(str(datetime.date.today().year), context)  # noqa: DTZ011 - the fault


def environment(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(os.environ.get("HOME", ""), context)


def directory(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(str(Path.cwd()), context)


def reads_a_file(context: GenerateContext) -> Iterator[Patch]:
    Path(__file__).read_text(encoding="utf-8")
    yield from good(context)


def opens_a_socket(context: GenerateContext) -> Iterator[Patch]:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 1), timeout=0.1).close()
    yield from good(context)


CACHE: dict[str, str] = {}


def caches(context: GenerateContext) -> Iterator[Patch]:
    ports = ",".join(str(port.target) for port in context.service.ports)
    yield from prefixed(CACHE.setdefault(context.service.host, ports), context)


def mutates(context: GenerateContext) -> Iterator[Patch]:
    for policy in context.resources(KIND):
        policy.spec.names.append("grow")
    yield from good(context)


def password(context: GenerateContext) -> str:
    (policy, *_) = context.resources(KIND)
    values = context.secret(policy.namespace, policy.spec.secret)
    return values.data["password"] if values else ""


def logs(context: GenerateContext) -> Iterator[Patch]:
    logging.getLogger("good").info("the password is %s", password(context))
    yield from good(context)


def prints(context: GenerateContext) -> Iterator[Patch]:
    print(password(context))
    yield from good(context)


def names(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed(f"x-{password(context)}", context)


def merges(context: GenerateContext, **fields: Any) -> Iterator[Patch]:
    yield from good(context)
    yield context.outbound.merge_cluster(Cluster(**fields))


def thresholds(context: GenerateContext) -> Iterator[Patch]:
    yield from merges(context, circuit_breakers={"thresholds": [{"max_connections": {"value": 5}}]})


def invalid(context: GenerateContext) -> Iterator[Patch]:
    yield from prefixed_without_cluster(context)


def prefixed_without_cluster(context: GenerateContext) -> Iterator[Patch]:
    name = "envoy.filters.network.tcp_proxy"
    yield context.outbound.replace_tcp_proxy(name, TcpProxy(cluster="x"))
    yield from itertools.islice(good(context), 1, None)


def trusts_its_input(context: GenerateContext) -> Iterator[Patch]:
    assert all(policy.spec.names == [] or policy.spec.names for policy in context.resources(KIND))
    if not context.service.addresses:
        raise IndexError("no address")
    yield from good(context)


def remembers(context: GenerateContext, seen: list[str] = []) -> Iterator[Patch]:  # noqa: B006 - the fault
    seen.append(context.service.host)
    yield from prefixed(str(len(seen)), context)


def starts_a_thread(context: GenerateContext) -> Iterator[Patch]:
    with contextlib.suppress(PermissionError):
        threading.Thread(target=int).start()
    yield from good(context)


BODIES: list[tuple[str, Body, str]] = [
    ("test_gives_the_same_again", remembers, "once more it makes"),
    ("test_touches_nothing_outside", starts_a_thread, "a hook tried: threading.Thread.start"),
    ("test_makes_filters", nothing, "no filter for cart"),
    ("test_does_not_break", raises, "KeyError"),
    ("test_does_not_break", hangs, "aeraki_generate takes longer than 1 s"),
    ("test_does_not_break", endless, "aeraki_generate gave more than 10000 patches"),
    ("test_gives_the_same_again", counts, "once more it makes"),
    ("test_gives_the_same_again", chance, "once more it makes"),
    ("test_gives_the_same_in_a_fresh_process", sets, "another process makes"),
    ("test_gives_the_same_in_a_fresh_process", hashes, "another process makes"),
    ("test_gives_the_same_in_a_fresh_process", hours, "another process makes"),
    ("test_gives_the_same_in_a_fresh_process", dates, "another process makes"),
    ("test_gives_the_same_in_a_fresh_process", environment, "another process makes"),
    ("test_gives_the_same_in_a_fresh_process", directory, "another process makes"),
    (
        "test_touches_nothing_outside",
        reads_a_file,
        r"a hook tried: open .*test_conformance_catches",
    ),
    ("test_touches_nothing_outside", opens_a_socket, "a hook tried: socket"),
    ("test_follows_changes", caches, "what it makes depends on what it was asked before"),
    ("test_leaves_its_input_alone", mutates, "a hook changes the spec of GoodPolicy default/cart"),
    ("test_keeps_secrets_secret", logs, "a Secret's value is in the log"),
    ("test_keeps_secrets_secret", prints, "a Secret's value is in the output"),
    ("test_keeps_secrets_secret", names, "a Secret's value is in stat_prefix in a filter"),
    ("test_every_patch_takes_effect", thresholds, "MERGE appends to lists"),
    ("test_loads_without_a_warning", invalid, "StatPrefix"),
    ("test_bears_odd_input", trusts_its_input, "IndexError: no address"),
]


# A fresh process finds these by name in this module.
KITS = {
    body.__name__: type(f"Wrong_{body.__name__}", (Good,), {"plugin": plugin(body)})
    for _, body, _ in BODIES
}
globals().update({kit.__qualname__: kit for kit in KITS.values()})


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("rule", "body", "words"), BODIES, ids=[f"{rule}-{body.__name__}" for rule, body, _ in BODIES]
)
def test_the_kit_catches(rule: str, body: Body, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        run(KITS[body.__name__], rule)


# -- declarations and claims -----------------------------------------------------------------------


# -- models and kinds that break one rule ----------------------------------------------------------


def kind_with(spec: type[BaseModel] = Spec, **changed: Any) -> Kind[Any]:
    values = {field.name: getattr(KIND, field.name) for field in dataclasses.fields(KIND)}
    return Kind(**{**values, "spec": spec, **changed})


class SlowSpec(Spec):
    @field_validator("host")
    @classmethod
    def look(cls, value: str) -> str:
        while True:
            pass


class FailingSpec(Spec):
    @field_validator("host")
    @classmethod
    def look(cls, value: str) -> str:
        raise KeyError(value)


class OddSchemaSpec(Spec):
    more: int = Field(default=1, json_schema_extra={"type": "banana"})


def no_hosts(spec: Spec) -> list[str]:
    raise LookupError("no hosts today")


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ("test_does_not_break", kind_with(SlowSpec), "its model takes longer than 1 s"),
        ("test_does_not_break", kind_with(FailingSpec), "its model raised KeyError"),
        ("test_does_not_break", kind_with(hosts=no_hosts), "Kind.hosts raised LookupError"),
        ("test_its_crds_are_structural", kind_with(OddSchemaSpec), "banana"),
    ],
)
def test_a_kind_that_fails_is_caught(rule: str, kind: Kind[Any], words: str) -> None:
    def body(context: GenerateContext) -> Iterator[Patch]:
        context.resources(kind)
        yield context.outbound.replace_tcp_proxy(ECHO, Echo())

    with pytest.raises(AssertionError, match=words):
        run(kit(plugin(body, kind=kind)), rule)


def test_a_replaced_function_of_the_core_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def upsert(self: object, item: object) -> Any:
        return real(self, item)

    real: Any = Store.upsert
    monkeypatch.setattr(Store, "upsert", upsert)
    with pytest.raises(AssertionError, match=r"replaces aeraki_core\.mesh\.store\.Store\.upsert"):
        run(Good, "test_leaves_the_core_alone")


def kit(changed: Any, **members: Any) -> type[PluginConformance]:
    return type("WrongKit", (Good,), {"plugin": changed, **members})


def test_a_code_without_an_example_is_named() -> None:
    other = Code(id="GUD0102", severity=Severity.ERROR, title="never", action="Nothing.")
    with pytest.raises(AssertionError, match="reports GUD0102"):
        run(kit(plugin(codes=(EMPTY, other))), "test_every_finding_has_an_example")


def test_an_option_without_an_example_is_named() -> None:
    other = Option(name="limit", type=OptionType.INT, help="A limit.")
    with pytest.raises(AssertionError, match=r"sets good\.aeraki\.io/limit"):
        run(kit(plugin(options=(INBOUND, other))), "test_every_option_has_an_example")


def test_an_example_that_gives_no_filter_counts_for_codes_and_options() -> None:
    other = Option(name="limit", type=OptionType.INT, help="A limit.")
    wrong = kit(plugin(options=(INBOUND, other)), reporting={"limited": [cart(limit="3")]})
    run(wrong, "test_every_option_has_an_example")


def test_a_port_of_somebody_else_is_not_claimed() -> None:
    theirs = {"others": [service("x", {"tcp-good": 7000})]}
    with pytest.raises(
        AssertionError, match=r"claims others: x\.default\.svc\.cluster\.local:7000"
    ):
        run(kit(plugin(), not_for=theirs), "test_claims_no_other_port")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"plural": "Plural!"}, r"spec\.names\.plural: 'Plural!' is not of the form"),
        ({"group": "Not A Group"}, r"spec\.group: 'Not A Group'"),
        ({"kind": "good-policy"}, r"spec\.names\.kind"),
        ({"version": "1"}, r"spec\.versions\[0\]\.name"),
        ({"group": "networking.istio.io"}, "belongs to Kubernetes or Istio"),
    ],
)
def test_a_crd_that_no_api_server_takes_is_named(
    changed: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, Any] = {"group": KIND.group, "version": "v1", "kind": KIND.kind}
    named |= {"plural": KIND.plural, "spec": Spec, "summary": "x", **changed}
    registry = SimpleNamespace(kinds=[Kind(**named)])
    # The registry refuses some of them at load; the kit does not rely on that.
    monkeypatch.setattr("aeraki_core.testing.conformance.registry_of", lambda _: registry)
    with pytest.raises(AssertionError, match=words):
        run(Good, "test_its_crds_are_structural")


# -- the kit itself --------------------------------------------------------------------------------


def test_no_test_is_overridden_without_a_reason() -> None:
    def passes(_self: object, example: str) -> None:
        assert example

    with pytest.raises(TypeError, match=r"overrides test_gives_the_same_again; say why in exempt"):
        kit(plugin(), test_gives_the_same_again=passes)
    reason = {"test_gives_the_same_again": "it echoes the time"}
    assert kit(plugin(), test_gives_the_same_again=passes, exempt=reason)
    assert kit(plugin(), exempt=reason).test_gives_the_same_again is None
    for bad in ({"test_gives_the_same_again": " "}, {"test_unknown": "a reason"}):
        with pytest.raises(TypeError, match="must be a test, with a reason"):
            kit(plugin(), exempt=bad)


@pytest.mark.envoy
def test_a_plain_example_that_fails_spares_the_slow_tests() -> None:
    for rule in ("test_bears_odd_input", "test_follows_changes"):
        with pytest.raises(AssertionError, match="see test_does_not_break"):
            run(KITS["raises"], rule)


@pytest.mark.envoy
def test_three_cases_and_a_count_are_shown() -> None:
    def seldom(context: GenerateContext) -> Iterator[Patch]:
        policies = context.resources(KIND)
        if context.service.ref.name == "cart" and len(policies) != 2:
            raise RuntimeError("odd")
        yield from good(context)

    odd = kit(plugin(seldom), odd_inputs=400)
    with pytest.raises(AssertionError) as failure:
        run(odd, "test_bears_odd_input")
    text = str(failure.value)
    assert " of 400 odd inputs:" in text
    assert len(re.findall(r"^ *GoodPolicy .*( = .*| removed):$", text, re.MULTILINE)) == 3
    assert "... and " in text
