"""The config of Envoy's generic_proxy with its Dubbo codec.

The codec presents the interface as the call's host, and attachments as its properties
(docs/internals/envoy.md, "generic_proxy with its Dubbo codec", and Envoy's sources). Each route has
one cluster.
"""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import RetryPolicy
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.network.generic_proxy.action.v3.action_pb2 import RouteAction
from envoy.extensions.filters.network.generic_proxy.codecs.dubbo.v3.dubbo_pb2 import (
    DubboCodecConfig,
)
from envoy.extensions.filters.network.generic_proxy.matcher.v3.matcher_pb2 import (
    KeyValueMatchEntry,
    RequestMatcher,
    RequestMatchInput,
)
from envoy.extensions.filters.network.generic_proxy.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.generic_proxy.v3.generic_proxy_pb2 import GenericProxy
from envoy.extensions.filters.network.generic_proxy.v3.route_pb2 import (
    RouteConfiguration,
    VirtualHost,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value
from xds.core.v3.extension_pb2 import TypedExtensionConfig as XdsExtension
from xds.type.matcher.v3.matcher_pb2 import Matcher

from aeraki_core import Route, RouteMatch, StringMatch, matches_any, pack, string_matcher
from aeraki_plugins_dubbo.called import Called

__all__ = ["config"]

_TEN_YEARS = 315_576_000.0
_ONE_MILLISECOND = 0.001


def config(stat_prefix: str, called: Called, routes: tuple[Route, ...]) -> GenericProxy:
    """Return the filter's config: one virtual host for all interfaces.

    Without routes, the host matches no call.
    """
    hosts = [
        VirtualHost(name=stat_prefix, hosts=called.interfaces, routes=_matcher(called, routes))
    ]
    return GenericProxy(
        stat_prefix=stat_prefix,
        codec_config=TypedExtensionConfig(
            name="envoy.generic_proxy.codecs.dubbo", typed_config=pack(DubboCodecConfig())
        ),
        route_config=RouteConfiguration(name=stat_prefix, virtual_hosts=hosts if routes else []),
        filters=[
            TypedExtensionConfig(name="envoy.filters.generic.router", typed_config=pack(Router()))
        ],
    )


def _matcher(called: Called, routes: tuple[Route, ...]) -> Matcher:
    return Matcher(
        matcher_list=Matcher.MatcherList(
            matchers=[
                Matcher.MatcherList.FieldMatcher(
                    predicate=_predicate(called, route.match),
                    on_match=Matcher.OnMatch(action=_extension("route", _action(route))),
                )
                for route in routes
            ]
        )
    )


def _predicate(called: Called, match: RouteMatch) -> Matcher.MatcherList.Predicate:
    """Return the predicate for what a call must be and must not be.

    ``withoutHeaders`` also matches a call that lacks the attachment.
    """
    wanted = RequestMatcher(properties=[_property(name, value) for name, value in match.headers])
    if match.method is not None and not matches_any(match.method):
        wanted.method.CopyFrom(string_matcher(match.method))
    for name, text in (("group", called.group), ("version", called.version)):
        if text:
            wanted.properties.append(_property(name, StringMatch(exact=text)))
    predicate = _request(wanted)
    if not match.without_headers:
        return predicate
    both = Matcher.MatcherList.Predicate()
    both.and_matcher.predicate.append(predicate)
    for name, value in match.without_headers:
        unwanted = RequestMatcher(properties=[_property(name, value)])
        both.and_matcher.predicate.add().not_matcher.CopyFrom(_request(unwanted))
    return both


def _request(matcher: RequestMatcher) -> Matcher.MatcherList.Predicate:
    predicate = Matcher.MatcherList.Predicate()
    predicate.single_predicate.input.CopyFrom(_extension("request", RequestMatchInput()))
    predicate.single_predicate.custom_match.CopyFrom(_extension("request", matcher))
    return predicate


def _property(name: str, value: StringMatch) -> KeyValueMatchEntry:
    return KeyValueMatchEntry(name=name, string_match=string_matcher(value))


def _action(route: Route) -> RouteAction:
    """Return the action; without timeout it has none, where Envoy's default would be 15 s."""
    action = RouteAction(cluster=route.clusters[0].cluster, timeout=_duration(route.timeout or 0.0))
    if route.retries is not None:
        # Envoy counts the first try here too.
        action.retry_policy.CopyFrom(RetryPolicy(num_retries=UInt32Value(value=route.retries + 1)))
    return action


def _duration(seconds: float) -> Duration:
    """Return a timeout for Envoy, which counts milliseconds and reads 0 as "no timeout".

    A timeout below one millisecond becomes one millisecond.
    """
    if seconds:
        seconds = min(max(seconds, _ONE_MILLISECOND), _TEN_YEARS)
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration


def _extension(name: str, message: Message) -> XdsExtension:
    return XdsExtension(name=name, typed_config=pack(message))
