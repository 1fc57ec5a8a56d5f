"""Istio's matches and destinations as Envoy's, for protocols whose filters take them.

What comes out always loads: Envoy refuses an empty prefix and an empty expression, so these are
expressed in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from aeraki_core.mesh.routes import RouteMatch, WeightedCluster
from aeraki_core.model.istio import StringMatch

__all__ = ["header_matchers", "matches_any", "set_clusters", "string_matcher"]

_ANY = ".*"


def matches_any(match: StringMatch) -> bool:
    """Report whether it only requires a value: ``{}``, an empty prefix, or the regex ``.*``."""
    return match.is_presence or match.prefix == "" or match.regex == _ANY


def string_matcher(match: StringMatch) -> StringMatcher:
    """Return the match as Envoy's StringMatcher.

    Expressions match the whole text, in Istio as in Envoy.
    """
    if matches_any(match):
        return StringMatcher(safe_regex=RegexMatcher(regex=_ANY))
    if match.prefix is not None:
        return StringMatcher(prefix=match.prefix)
    if match.regex:
        return StringMatcher(safe_regex=RegexMatcher(regex=match.regex))
    return StringMatcher(exact=match.exact or "")


def header_matchers(match: RouteMatch) -> list[HeaderMatcher]:
    """Return the matchers of ``headers`` and ``withoutHeaders``.

    A call that lacks a header satisfies ``withoutHeaders``, as in Istio.
    """
    matchers = [_header(name, value) for name, value in match.headers]
    for name, value in match.without_headers:
        matcher = _header(name, value)
        matcher.invert_match = True
        # Without this, Envoy takes an inverted match as not fulfilled when the header is missing.
        matcher.treat_missing_header_as_empty = matcher.HasField("string_match")
        matchers.append(matcher)
    return matchers


def _header(name: str, value: StringMatch) -> HeaderMatcher:
    if matches_any(value):
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=string_matcher(value))


def set_clusters(action: Any, clusters: Sequence[WeightedCluster]) -> None:
    """Set a route's destinations in Envoy's message for its action.

    Route actions of most filters have ``cluster`` for one destination and ``weighted_clusters`` for
    several, and so has tcp_proxy; Envoy refuses both at once.

    Raises:
        AttributeError: the message has no such fields.
    """
    if len(clusters) == 1:
        action.cluster = clusters[0].cluster
        return
    for destination in clusters:
        entry = action.weighted_clusters.clusters.add(name=destination.cluster)
        if entry.DESCRIPTOR.fields_by_name["weight"].message_type is None:
            entry.weight = destination.weight
        else:  # a UInt32Value
            entry.weight.value = destination.weight
