"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["BAD_REWRITE", "CODES", "HTTP_ROUTES", "NO_API_VERSIONS", "UNKNOWN_API_KEY"]

HTTP_ROUTES = Code(
    id="KAF0101",
    severity=Severity.WARNING,
    title="http routes have no effect on Kafka",
    action="Write them as tcp routes, "
    "which choose a destination for each connection, or remove them.",
)
UNKNOWN_API_KEY = Code(
    id="KAF0102",
    severity=Severity.ERROR,
    title="unknown Kafka API key",
    action="Write the key's name as Kafka's protocol has it (Produce, Fetch, ...), or its number.",
)
NO_API_VERSIONS = Code(
    id="KAF0103",
    severity=Severity.WARNING,
    title="ApiVersions is not allowed",
    action="Add ApiVersions to api-keys-allowed: it is the first request of every current client.",
)
BAD_REWRITE = Code(
    id="KAF0104",
    severity=Severity.ERROR,
    title="invalid broker address rule",
    action="Write `id: host:port`, such as `0: broker-0.example.com:9092`, once for each broker.",
)

CODES = (HTTP_ROUTES, UNKNOWN_API_KEY, NO_API_VERSIONS, BAD_REWRITE)
