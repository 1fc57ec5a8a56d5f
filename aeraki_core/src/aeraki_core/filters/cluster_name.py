"""The names of Istio's clusters, parsed."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ClusterName"]


class ClusterName(NamedTuple):
    """The cluster of a host's port in a sidecar: ``outbound|9090|v1|hello.shop.svc.cluster.local``.

    ``subset`` and, inbound, ``host`` are empty where there is none.
    """

    direction: str
    port: int
    subset: str
    host: str

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}"

    @classmethod
    def parse(cls, text: str) -> ClusterName:
        """Return the parts of a name.

        Raises:
            ValueError: it is not a name that Istio gives the cluster of a host's port.
        """
        direction, port, subset, host = text.split("|")
        return cls(direction, int(port), subset, host)
