"""How weights become weights of endpoints. Pure arithmetic.

A destination's share of the calls must not depend on how many pods it has. So every destination
gets a part of one fixed total, and its pods divide that part among them. The total is fixed so that
a pod that comes or goes changes the weights of its own destination alone.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["TOTAL", "divide", "endpoint_weights"]

TOTAL = 10_000_000
"""The sum of all endpoints' weights.

1,000 pods of a destination with 1 % of the calls differ by 1 % at most, and the sum is far below
Envoy's limit of 2^32 - 1.
"""


def divide(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Parts of ``total`` in the ratio of the weights, by the largest remainder.

    The parts sum up to ``total``. A weight of 0 gets 0, all others at least 1 where ``total``
    allows. All weights 0: all parts are 0.

    Raises:
        ValueError: a weight is negative.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    whole = sum(weights)
    if whole == 0:
        return (0,) * len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(
        (index for index, weight in enumerate(weights) if weight),
        key=lambda index: (-(total * weights[index] % whole), index),
    )
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    # A weight above 0 means calls: take a unit from the largest part rather than round to none.
    for index, weight in enumerate(weights):
        if weight and parts[index] == 0 and max(parts) > 1:
            parts[parts.index(max(parts))] -= 1
            parts[index] = 1
    return tuple(parts)


def endpoint_weights(
    weights: Sequence[int], endpoints: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The weight of each endpoint of each destination.

    ``endpoints``: how many each destination has. Destinations without a weight or without endpoints
    get an empty or zero part; the others share all calls in the ratio of their weights. No weight
    of an endpoint that gets calls is 0.

    Raises:
        ValueError: a weight is negative, or the two differ in length.
    """
    reachable = [weight if count else 0 for weight, count in zip(weights, endpoints, strict=True)]
    parts = divide(TOTAL, reachable)
    return tuple(
        tuple(max(1, part) for part in divide(share, (1,) * count)) if share else (0,) * count
        for share, count in zip(parts, endpoints, strict=True)
    )
