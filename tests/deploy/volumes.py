"""What a kubelet puts into the volumes of a pod, as folders: settings, tokens, certificates.

The content comes from a volume of a rendered pod, the objects beside it, and the rig's API server.
An empty volume has only a size.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.rig.api import Api, Object
from tests.rig.control_plane import ControlPlane

from .chart import one

ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where every container finds who it is."""

_versions = itertools.count(1)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files of a volume at once, as a kubelet does.

    Each is a link through ``..data``, which a rename swaps.
    """
    fresh = folder / f"..{next(_versions)}"
    fresh.mkdir(parents=True)
    folder.chmod(0o755)
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8")
        (fresh / name).chmod(0o644)
    data, swap = folder / "..data", folder / "..data_tmp"
    old = data.readlink() if data.is_symlink() else None
    swap.symlink_to(fresh.name)
    swap.replace(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        for path in (folder / old).iterdir():
            path.unlink()
        (folder / old).rmdir()


def service_account(plane: ControlPlane, account: str, namespace: str) -> Mapping[str, str]:
    """The files by which a process in a pod finds the API server and says who it is."""
    certificate = Path(plane.ca_file).read_text(encoding="utf-8")
    return {
        "token": plane.api.token(account, namespace),
        "ca.crt": certificate,
        "namespace": namespace,
    }


def files(
    volume: Object, objects: Sequence[Object], api: Api, account: str, namespace: str
) -> Mapping[str, str]:
    """The files of a volume of kind ``configMap`` or ``projected``."""
    if "configMap" in volume:
        return dict(one(objects, "ConfigMap", volume["configMap"]["name"])["data"])
    found: dict[str, str] = {}
    for source in volume["projected"]["sources"]:
        token = source["serviceAccountToken"]
        found[token["path"]] = api.token(account, namespace, audience=token["audience"])
    return found


def size(volume: Object) -> int | None:
    """How many bytes an ``emptyDir`` may hold; None for a volume of another kind."""
    if "emptyDir" not in volume:
        return None
    found = re.fullmatch(r"(\d+)Mi", volume["emptyDir"].get("sizeLimit", "64Mi"))
    assert found, volume
    return int(found[1]) << 20
