"""``aeraki convert``: upstream Aeraki's MetaRouters as VirtualServices and DestinationRules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aeraki_core.cli.command import FILES, define, form_option, require_paths
from aeraki_core.console import output
from aeraki_core.findings.text import count
from aeraki_core.settings import SettingGroup, Settings

if TYPE_CHECKING:
    from aeraki_core.manifests.metarouter import Unconverted
    from aeraki_core.mesh.source_object import SourceObject
    from aeraki_core.plugins.registry import Registry

__all__ = ["command"]

_PORT_PREFIX = "tcp-metaprotocol-"


@define(
    "convert",
    SettingGroup.PLUGINS,
    more=(*FILES, "domain"),
    epilog="Example: aeraki convert -f metarouters.yaml > routes.yaml",
)
@form_option("yaml", "json")
def command(settings: Settings, *, form: str) -> int:
    """Print VirtualServices and DestinationRules for upstream's MetaRouters in PATHs.

    What has no counterpart is listed on stderr with its place, and so are ports that need another
    name. Give the DestinationRules and Services, too: subsets that they define are not written
    again.

    Exits with 1 if something has no counterpart, or if a file cannot be read.
    """
    from aeraki_core.manifests.metarouter import META_PROTOCOL_GROUP, convert, defined_subsets
    from aeraki_core.manifests.write import render_list, render_objects
    from aeraki_core.sources.files.snapshot import read
    from aeraki_core.wiring.plugins import open_registry

    paths = require_paths(settings, "aeraki convert -f metarouters.yaml")
    kinds = {"MetaRouter", "ApplicationProtocol", "DestinationRule", "Service", "ServiceEntry"}
    snapshot = read(
        paths,
        lambda _, kind: kind in kinds,
        settings.max_file_size,
        default_namespace=settings.default_namespace,
    )
    output.findings(snapshot.findings)
    of_kind: defaultdict[str, list[SourceObject]] = defaultdict(list)
    for source_object in snapshot.objects:
        of_kind[source_object.ref.kind].append(source_object)
    routers = [
        (each.ref, _spec(each))
        for each in of_kind["MetaRouter"]
        if each.api_group == META_PROTOCOL_GROUP
    ]
    domain = settings.mesh().domain
    rules = ((each.ref, _spec(each)) for each in of_kind["DestinationRule"])
    conversion = convert(
        routers,
        subsets=defined_subsets(rules, domain),
        options=_protocols_by_option(open_registry(settings)),
        domain=domain,
    )
    render = render_list if form == "json" else render_objects
    output.data(render(conversion.objects, sort_keys=False))
    places = {each.ref: each.origin for each in snapshot.objects}
    notes = [*conversion.unconverted, *_other_notes(of_kind)]
    for note in notes:
        origin = places.get(note.ref)
        place = ":".join(map(str, origin.locate(note.field))) + ": " if origin else ""
        output.note(f"{place}{note.ref} {note.field}: {note.reason}")
    written = count(conversion.objects, "object")
    output.note(f"{count(routers, 'MetaRouter')}: {written}, {count(notes, 'thing')} to look at")
    return int(bool(notes or snapshot.findings))


def _spec(source_object: SourceObject) -> Mapping[str, Any]:
    spec = source_object.content.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _protocols_by_option(registry: Registry) -> dict[str, list[str]]:
    """The names of the protocols that have an option, by its name."""
    protocols = defaultdict[str, list[str]](list)
    for protocol in registry.protocols:
        for option in protocol.options:
            protocols[option.name].append(protocol.name)
    return dict(protocols)


def _other_notes(of_kind: Mapping[str, list[SourceObject]]) -> Iterator[Unconverted]:
    """What else of MetaProtocol is in the files: codecs, and names of ports."""
    from aeraki_core.manifests.metarouter import Unconverted

    for source_object in of_kind["ApplicationProtocol"]:
        yield Unconverted(
            source_object.ref,
            "spec.codec",
            "no counterpart; a protocol of your own is a plugin (aeraki new-plugin)",
        )
    for source_object in (*of_kind["Service"], *of_kind["ServiceEntry"]):
        for index, port in enumerate(_spec(source_object).get("ports") or ()):
            name = port.get("name") if isinstance(port, Mapping) else None
            if isinstance(name, str) and name.startswith(_PORT_PREFIX):
                better = f"tcp-{name.removeprefix(_PORT_PREFIX)}"
                yield Unconverted(
                    source_object.ref, f"spec.ports[{index}].name", f"rename {name} to {better}"
                )
