"""The kinds of objects that Aeraki writes.

EnvoyFilters do the work. The other kinds exist only because a filter names them.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["OutputKind"]


class OutputKind(StrEnum):
    """A kind of Istio's, by its name in Kubernetes."""

    ENVOY_FILTER = "EnvoyFilter"
    SERVICE_ENTRY = "ServiceEntry"
    DESTINATION_RULE = "DestinationRule"

    @property
    def api_version(self) -> str:
        """The version that is written. EnvoyFilter has only this one."""
        version = "v1alpha3" if self is OutputKind.ENVOY_FILTER else "v1"
        return f"networking.istio.io/{version}"

    @property
    def plural(self) -> str:
        """The name in paths of the API server."""
        return "serviceentries" if self is OutputKind.SERVICE_ENTRY else f"{self.lower()}s"

    @property
    def is_named(self) -> bool:
        """Whether filters name objects of this kind, so that they come before and go after them."""
        return self is not OutputKind.ENVOY_FILTER
