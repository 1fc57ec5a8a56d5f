"""Write an SBOM (CycloneDX) beside each wheel: what it is, and what it runs with.

A wheel names ranges; an SBOM has to name versions. These are the pinned versions that the release
was tested with, as installed in this environment. The same wheels give the same bytes.

Usage: python scripts/sbom.py WHEELS OUTPUT, both folders.
"""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

_NAMESPACE = uuid.UUID("6f0f5f0a-6d0c-5d1e-9d6b-0c4f0d1f7a11")  # of serial numbers; any would do


def metadata_of(wheel: Path) -> Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def component(metadata: Message, kind: ComponentType, sha256: str | None = None) -> Component:
    """A distribution as a component; its purl is its identity."""
    name, version = canonicalize_name(metadata["Name"]), metadata["Version"]
    purl = PackageURL("pypi", name=name, version=version)
    text = metadata["License-Expression"] or metadata["License"]
    # Old metadata has the whole text of a license in this field.
    short = text if text and len(text) < 80 and "\n" not in text else None
    return Component(
        name=name,
        version=version,
        type=kind,
        purl=purl,
        bom_ref=str(purl),
        description=metadata["Summary"],
        licenses=[LicenseFactory().make_from_string(short)] if short else (),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else (),
    )


def needs(name: str, extras: frozenset[str]) -> Iterator[tuple[NormalizedName, frozenset[str]]]:
    """What an installed distribution needs on this Python, with the extras that it asks for."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        chosen = extras or {""}
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in chosen
        ):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def bom_of(wheel: Path, built: datetime) -> Bom:
    """The wheel and everything that it needs, however indirectly."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    metadata = metadata_of(wheel)
    root = component(metadata, ComponentType.LIBRARY, sha256)
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, sha256))
    bom.metadata.component = root
    bom.metadata.timestamp = built
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    bom.metadata.properties.add(Property(name="aeraki:tested-with-python", value=python))

    first = canonicalize_name(metadata["Name"])
    components = {first: root}
    waiting = [(first, frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        found = []
        for need, its_extras in needs(name, extras):
            if need not in components:
                described = distribution(need).metadata
                components[need] = component(described, ComponentType.LIBRARY)  # type: ignore[arg-type]
                bom.components.add(components[need])
                waiting.append((need, its_extras))
            found.append(components[need])
        bom.register_dependency(components[name], found)
    return bom


def main(wheels: Path, output: Path) -> int:
    """Writes one file for each wheel."""
    output.mkdir(parents=True, exist_ok=True)
    built = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), tz=UTC)
    found = sorted(wheels.glob("*.whl"))
    for wheel in found:
        bom = bom_of(wheel, built)
        path = output / f"{wheel.stem}.cdx.json"
        path.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
        print(f"{path}: {len(bom.components)} components")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
