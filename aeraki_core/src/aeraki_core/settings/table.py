"""Every setting, declared once: type, default, flag, variable, key in a file, and help.

:class:`Settings` is what the program reads. Flags, ``aeraki config`` and docs/settings.md are made
from :data:`SETTINGS`, which is derived from its fields, so a new setting is one more field here.
Kept light: every command imports it to print its help.
"""

# ruff: noqa: RUF009 -- each default below is a dataclasses.field
from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aeraki_core.model.mesh import LiveWeights, Mesh, ProxyFamily, ProxyRule
from aeraki_core.model.selector import LabelSelector
from aeraki_core.settings import forms
from aeraki_core.settings.forms import LogLevels
from aeraki_core.settings.setting import Origin, OriginKind, Setting, SettingGroup, setting

__all__ = [
    "SETTINGS",
    "Settings",
    "SinkKind",
    "SourceKind",
    "setting_of",
]

_ELECTION = "aeraki-controller"


class SourceKind(StrEnum):
    """Where objects come from."""

    KUBERNETES = "kubernetes"
    ISTIOD = "istiod"
    FILES = "files"


class SinkKind(StrEnum):
    """Where filters are written."""

    KUBERNETES = "kubernetes"
    FILES = "files"


_ALL, _PLUGINS, _MESH, _CLUSTER, _RUN = SettingGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user wants of this process. The defaults are what counts where nothing is set."""

    # -- messages
    log_level: LogLevels = setting(
        _ALL,
        forms.LOG_LEVELS,
        LogLevels(),
        "debug, info, warning, error or none; COMPONENT:LEVEL for one component or plugin.",
        metavar="LEVEL",
        default_text="info in `run`, warning elsewhere",
    )
    log_format: str = setting(
        _ALL,
        forms.choice("text", "json"),
        "text",
        "The format of log lines.",
        metavar="FORMAT",
    )

    docs_url: str = setting(
        _ALL,
        forms.TEXT,
        "",
        "Where the pages of docs/ are served; reports then link each code to its entry.",
        metavar="URL",
        default_text="no links",
    )

    # -- plugins
    plugins: tuple[str, ...] | None = setting(
        _PLUGINS,
        forms.WORDS,
        None,
        "Use only these plugins, by name, separated by commas.",
        metavar="NAMES",
        default_text="all that are installed",
    )
    no_plugins: bool = setting(_PLUGINS, forms.SWITCH, False, "Use no plugin.")

    # -- the mesh
    root_namespace: str = setting(
        _MESH,
        forms.NAMESPACE,
        "istio-system",
        "The mesh's root namespace; filters for all clients are written there.",
        metavar="NS",
        old_env=("AERAKI_NAMESPACE",),
    )
    domain: str = setting(
        _MESH, forms.NAMESPACE, "cluster.local", "The cluster's DNS domain.", metavar="DOMAIN"
    )
    filter_namespaces: tuple[str, ...] = setting(
        _MESH,
        forms.NAMESPACES,
        (),
        "Write outbound filters into these namespaces instead of the root namespace; `.` is the"
        " service's own.",
        metavar="NS,...",
        default_text="the root namespace",
    )
    proxy_extensions: tuple[ProxyRule, ...] = setting(
        _MESH,
        forms.PROXY_RULES,
        (),
        "An Envoy extension that the proxies have beyond the stock ones:"
        " [NAMESPACE[/KEY=VALUE,...]:]EXTENSION; repeatable.",
        metavar="RULE",
        default_text="the stock istio-proxy",
    )
    registry_only: bool = setting(
        _MESH, forms.SWITCH, False, "The mesh's outboundTrafficPolicy is REGISTRY_ONLY."
    )
    headless_filter_chains: bool = setting(
        _MESH,
        forms.SWITCH,
        False,
        "istiod runs with PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER=true, so a headless Service "
        "has one listener for all its pods.",
    )
    proxy_families: tuple[ProxyFamily, ...] = setting(
        _MESH,
        forms.choices(*ProxyFamily),
        (),
        "The IP families of the proxies' own addresses: ipv4 or ipv6 (that one alone), dual (both);"
        " separated by commas.",
        metavar="WORDS",
        default_text="ipv4,dual; with ipv6 where the mesh or the namespace has an IPv6 address",
    )
    opt_in: tuple[str, ...] = setting(
        _MESH,
        forms.WORDS,
        (),
        "Protocols whose ports get filters only where the annotation aeraki.io/include names them;"
        " separated by commas.",
        metavar="PROTOCOLS",
        default_text="none",
    )
    live_weights: str = setting(
        _MESH,
        forms.choice(*LiveWeights),
        LiveWeights.OFF,
        "Let open connections obey changed weights at once: those of VirtualServices and Services"
        " with the annotation aeraki.io/live-weights, or all (docs/canary.md).",
        metavar="WHOSE",
    )
    arrangement: str = setting(
        _MESH,
        forms.choice("auto", "service", "namespace", "imports"),
        "auto",
        "Where outbound filters are: one for each service port (service) or for each namespace and"
        " plugin (namespace), for the whole mesh; or only in the namespaces that import the"
        " service, where Sidecars leave it to few (imports). auto: imports, if the Sidecars of the"
        " whole mesh are read, else service; packing hardly pays (docs/cluster.md).",
        metavar="HOW",
    )
    watch_namespaces: tuple[str, ...] = setting(
        _MESH,
        forms.NAMESPACES,
        (),
        "Read only these namespaces.",
        metavar="NS,...",
        default_text="all",
    )
    watch_namespace_selector: tuple[LabelSelector, ...] = setting(
        _MESH,
        forms.SELECTORS,
        (),
        "Read only the cluster's namespaces with labels that match, such as `env=prod,team!=x`;"
        " repeatable: one must match.",
        metavar="SELECTOR",
        default_text="all",
    )
    instance: str = setting(
        _MESH,
        forms.NAME,
        "",
        "The name of this one of several controllers in a cluster; filters of others are never"
        " touched.",
        metavar="NAME",
        default_text="none: the only one",
    )
    paths: tuple[str, ...] = setting(
        _MESH,
        forms.PATHS,
        (),
        "A file, a directory (recursive: *.yaml, *.yml, *.json) or `-`; repeatable.",
        metavar="PATH",
        short="-f",
        flag="--filename",
    )
    default_namespace: str = setting(
        _MESH,
        forms.NAMESPACE,
        "default",
        "The namespace of objects that name none.",
        metavar="NS",
        short="-n",
        flag="--namespace",
    )
    max_file_size: int = setting(
        _MESH, forms.SIZE, 32 * 2**20, "Refuse larger files.", metavar="SIZE"
    )

    exclude: tuple[str, ...] = setting(
        _MESH,
        forms.WORDS,
        (),
        "Pass over files and folders that match, in the form of .gitignore; repeatable. Files that"
        " .gitignore names are passed over by every command but `run`.",
        metavar="GLOB",
    )
    ignore: tuple[str, ...] = setting(
        _MESH,
        forms.CODES,
        (),
        "Do not report findings with these codes; the annotation `aeraki.io/ignore` does it for one"
        " object.",
        metavar="CODE,...",
    )

    # -- the controller
    source: tuple[SourceKind, ...] = setting(
        _RUN,
        forms.choices(*SourceKind),
        (),
        "Where objects come from: kubernetes, istiod, files.",
        metavar="WORDS",
        default_text="files with -f, kubernetes without",
    )
    sink: SinkKind | None = setting(
        _RUN,
        forms.choice(*SinkKind),
        None,
        "Where filters go: kubernetes or files.",
        metavar="WORD",
        default_text="files with --to, kubernetes without",
    )
    to: str = setting(_RUN, forms.TEXT, "", "The directory of the files sink.", metavar="DIR")
    debounce_quiet: float = setting(
        _RUN,
        forms.DURATION,
        0.5,
        "Write when nothing has changed for this long.",
        metavar="TIME",
    )
    debounce_max: float = setting(
        _RUN, forms.DURATION, 10.0, "Never wait longer than this for quiet.", metavar="TIME"
    )
    istiod_address: str = setting(
        _RUN,
        forms.ADDRESS,
        "",
        "Where istiod is. Port 15010 is plaintext, every other port is TLS.",
        metavar="HOST:PORT",
        old_env=("AERAKI_ISTIOD_ADDR",),
        default_text="port 15012 of istiod.ROOT_NAMESPACE",
    )
    istiod_ca: str = setting(
        _RUN,
        forms.TEXT,
        "",
        "The certificate of istiod's CA.",
        metavar="FILE",
        default_text="ConfigMap istio-ca-root-cert of the root namespace",
    )
    istiod_token: str = setting(
        _RUN,
        forms.TEXT,
        "/var/run/secrets/tokens/istio-token",
        "A ServiceAccount's token with the audience istio-ca; read again for each connection.",
        metavar="FILE",
    )
    adopt_upstream: bool = setting(
        _RUN,
        forms.SWITCH,
        False,
        "Delete upstream Aeraki's filters (label manager: Aeraki) once ours are live for the same"
        " service port.",
    )
    leader_elect: bool | None = setting(
        _RUN,
        forms.SWITCH,
        None,
        "Write only while this replica holds the Lease.",
        default_text="in a pod that writes to the cluster",
    )
    election_id: str = setting(
        _RUN,
        forms.NAMESPACE,
        "",
        "The name of the Lease by which replicas choose their leader.",
        metavar="NAME",
        default_text="aeraki-controller, and a part of its own for an instance or a part of the"
        " namespaces",
    )
    lease_duration: float = setting(
        _RUN,
        forms.DURATION,
        15.0,
        "Another replica may take a Lease that was not renewed for this long.",
        metavar="TIME",
    )
    renew_deadline: float = setting(
        _RUN,
        forms.DURATION,
        10.0,
        "A leader that could not renew its Lease for this long stops writing.",
        metavar="TIME",
    )
    retry_period: float = setting(
        _RUN,
        forms.DURATION,
        2.0,
        "How often to renew the Lease, or try to take it.",
        metavar="TIME",
    )
    http_address: str = setting(
        _RUN,
        forms.ADDRESS,
        "",
        "Where to serve a page at /, probes, /metrics, /status and /explain, such as :8080.",
        metavar="[HOST]:PORT",
        default_text="nowhere",
    )
    probe_address: str = setting(
        _RUN,
        forms.ADDRESS,
        "",
        "Where to serve /healthz and /readyz alone, "
        "such as :8081, so that nothing else delays probes.",
        metavar="[HOST]:PORT",
        default_text="nowhere",
    )

    http_authentication: bool = setting(
        _RUN,
        forms.SWITCH,
        False,
        "Answer /metrics, /status and /explain only callers with a token of the cluster whose"
        " account may `get` the path.",
    )
    http_audience: str = setting(
        _RUN,
        forms.TEXT,
        "",
        "The audience that a caller's token must be for, with --http-authentication.",
        metavar="AUDIENCE",
        default_text="the API server's own",
    )
    webhook_address: str = setting(
        _RUN,
        forms.ADDRESS,
        "",
        "Where to serve the validating admission webhook over HTTPS, such as :8443.",
        metavar="[HOST]:PORT",
        default_text="nowhere",
    )
    webhook_certificate: str = setting(
        _RUN,
        forms.TEXT,
        "",
        "The folder with the webhook's tls.crt and tls.key; it is read again when they change.",
        metavar="DIR",
    )

    # -- the cluster
    kubeconfig: str = setting(
        _CLUSTER,
        forms.TEXT,
        "",
        "The kubeconfig file.",
        metavar="FILE",
        default_text="as kubectl: $KUBECONFIG, ~/.kube/config, or the pod's own",
    )
    context: str = setting(
        _CLUSTER,
        forms.TEXT,
        "",
        "The context of the kubeconfig.",
        metavar="NAME",
        default_text="its current one",
    )

    # -- not settings, but where they come from
    plugin_files: tuple[Path, ...] = ()
    """Files of ``--plugin``. Only a flag names them: a settings file must not run code."""

    trace: tuple[str, ...] = ()
    """The plugins of ``--trace``, whose calls are printed."""
    trace_as_json: bool = False
    """Whether each of their calls is a line of JSON."""

    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)
    """By name of the field; those that are missing have their default."""
    file: Path | None = None
    """The settings file that was read."""
    reread: Callable[[], Settings] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )
    """Resolves all anew, with what the file holds then."""

    def origin(self, name: str) -> Origin:
        """Where the value of the field comes from."""
        return self.origins.get(name, _DEFAULT)

    def mesh(self) -> Mesh:
        """The mesh as the settings describe it."""
        return Mesh(
            root_namespace=self.root_namespace,
            domain=self.domain,
            namespaces=self.filter_namespaces,
            proxy_rules=self.proxy_extensions,
            registry_only=self.registry_only,
            proxy_families=self.proxy_families,
            opt_in=self.opt_in,
            live_weights=LiveWeights(self.live_weights),
            headless_filter_chains=self.headless_filter_chains,
        )

    def sources(self) -> tuple[SourceKind, ...]:
        """The sources to use: those named, else files where there are paths, else the cluster."""
        return self.source or ((SourceKind.FILES if self.paths else SourceKind.KUBERNETES),)

    def sink_kind(self) -> SinkKind:
        """The sink to use: the named one, else files if a directory is set, else the cluster."""
        return self.sink or (SinkKind.FILES if self.to else SinkKind.KUBERNETES)

    def lease_name(self) -> str:
        """The name of the Lease: the set one, else one for each instance or choice of namespaces.

        Controllers with different tasks must not stand by for each other.
        """
        if self.election_id:
            return self.election_id
        if self.instance:
            return f"{_ELECTION}-{self.instance}"
        selectors = sorted(str(selector) for selector in self.watch_namespace_selector)
        scope = ";".join((*sorted(self.watch_namespaces), *selectors))
        return (
            f"{_ELECTION}-{hashlib.sha256(scope.encode()).hexdigest()[:8]}" if scope else _ELECTION
        )

    def wanted_plugins(self) -> tuple[str, ...] | None:
        """The plugins to use, by name; None for all.

        If both settings are set, the stronger origin counts.
        """
        none_is_stronger = self.origin("no_plugins").rank <= self.origin("plugins").rank
        return () if self.no_plugins and none_is_stronger else self.plugins


_DEFAULT = Origin(OriginKind.DEFAULT)

SETTINGS: tuple[Setting, ...] = tuple(
    Setting(name=field.name, **field.metadata)
    for field in dataclasses.fields(Settings)
    if field.metadata
)
_BY_NAME = {each.name: each for each in SETTINGS}


def setting_of(name: str) -> Setting:
    """The setting of that field.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]
