"""Every setting, once: flags, variables, keys of the file, ``aeraki config`` and docs/settings.md are all made from this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.model.mesh import ProxyFamily
from aeraki_core.settings.types import Form, LogLevels

__all__ = ["SETTINGS", "Setting", "SettingGroup", "setting"]


class SettingGroup(StrEnum):
    """Which commands have the flag: ALL; PLUGINS, those that load plugins; MESH, those that make filters; RUN; CLUSTER."""

    ALL = "all"
    PLUGINS = "plugins"
    MESH = "mesh"
    CLUSTER = "cluster"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set. ``key`` is its name in the settings file; ``old_env`` are upstream's variables for it.

    ``default_text`` says what the default means where the value alone does not.
    """

    key: str
    scope: SettingGroup
    form: Form
    default: Any
    help: str
    metavar: str = ""
    short: str = ""
    flag: str = ""
    choices: tuple[str, ...] = ()
    old_env: tuple[str, ...] = ()
    default_text: str = ""

    @property
    def long(self) -> str:
        """Its flag, such as ``--root-namespace``."""
        return self.flag or "--" + re.sub(r"([A-Z])", r"-\1", self.key).lower()

    @property
    def flags(self) -> tuple[str, ...]:
        """All its flags."""
        return (self.short, self.long) if self.short else (self.long,)

    @property
    def env(self) -> str:
        """Its environment variable, such as ``AERAKI_ROOT_NAMESPACE``."""
        return "AERAKI_" + re.sub(r"([A-Z])", r"_\1", self.key).upper()

    @property
    def parameter(self) -> str:
        """Its name as a Python parameter."""
        return re.sub(r"([A-Z])", r"_\1", self.key).lower()


SETTINGS: tuple[Setting, ...] = (
    # What is said, and how.
    Setting(
        "logLevel",
        SettingGroup.ALL,
        Form.LOG_LEVELS,
        LogLevels(),
        "debug, info, warning, error or none; COMPONENT:LEVEL for one component or plugin.",
        metavar="LEVEL",
        default_text="info in `run`, warning elsewhere",
    ),
    Setting(
        "logFormat",
        SettingGroup.ALL,
        Form.WORD,
        "text",
        "How log lines are written.",
        choices=("text", "json"),
        metavar="FORM",
    ),
    # Which plugins.
    Setting(
        "plugins",
        SettingGroup.PLUGINS,
        Form.WORDS,
        None,
        "Use only these plugins, by name, separated by commas.",
        metavar="NAMES",
        default_text="all that are installed",
    ),
    Setting("noPlugins", SettingGroup.PLUGINS, Form.BOOL, False, "Use no plugin at all."),
    # The mesh.
    Setting(
        "rootNamespace",
        SettingGroup.MESH,
        Form.NAMESPACE,
        "istio-system",
        "The mesh's root namespace, where filters for all clients go.",
        metavar="NS",
        old_env=("AERAKI_NAMESPACE",),
    ),
    Setting(
        "domain",
        SettingGroup.MESH,
        Form.NAMESPACE,
        "cluster.local",
        "The cluster's DNS domain.",
        metavar="DOMAIN",
    ),
    Setting(
        "filterNamespaces",
        SettingGroup.MESH,
        Form.NAMESPACES,
        (),
        "Write outbound filters into these namespaces instead of the root namespace; `.` is the service's own.",
        metavar="NS,...",
        default_text="the root namespace",
    ),
    Setting(
        "proxyExtensions",
        SettingGroup.MESH,
        Form.PROXY_RULES,
        (),
        "An Envoy extension that the proxies have beyond the stock ones: [NAMESPACE[/KEY=VALUE,...]:]EXTENSION; repeatable.",
        metavar="RULE",
        default_text="the stock istio-proxy",
    ),
    Setting(
        "registryOnly",
        SettingGroup.MESH,
        Form.BOOL,
        False,
        "The mesh's outboundTrafficPolicy is REGISTRY_ONLY.",
    ),
    Setting(
        "proxyFamilies",
        SettingGroup.MESH,
        Form.WORDS,
        (),
        "The IP families of the proxies' own addresses: ipv4 or ipv6 (that one alone), dual (both); separated by commas.",
        metavar="WORDS",
        choices=tuple(ProxyFamily),
        default_text="ipv4,dual; with ipv6 where a Service or an endpoint has an IPv6 address",
    ),
    Setting(
        "arrangement",
        SettingGroup.MESH,
        Form.WORD,
        "service",
        "One outbound filter for each service port, or one for each namespace and plugin.",
        choices=("service", "namespace"),
        metavar="HOW",
    ),
    # Which part of it.
    Setting(
        "watchNamespaces",
        SettingGroup.MESH,
        Form.NAMESPACES,
        (),
        "Read only these namespaces.",
        metavar="NS,...",
        default_text="all",
    ),
    Setting(
        "watchNamespaceSelector",
        SettingGroup.MESH,
        Form.SELECTORS,
        (),
        "Read only the cluster's namespaces with labels that match, such as `env=prod,team!=x`; repeatable: one must match.",
        metavar="SELECTOR",
        default_text="all",
    ),
    Setting(
        "instance",
        SettingGroup.MESH,
        Form.NAME,
        "",
        "The name of this one of several controllers in a cluster; filters of others are never touched.",
        metavar="NAME",
        default_text="none: the only one",
    ),
    # Where objects come from.
    Setting(
        "paths",
        SettingGroup.MESH,
        Form.PATHS,
        (),
        "A file, a directory (recursive: *.yaml, *.yml, *.json) or `-`; repeatable.",
        metavar="PATH",
        short="-f",
        flag="--filename",
    ),
    Setting(
        "defaultNamespace",
        SettingGroup.MESH,
        Form.NAMESPACE,
        "default",
        "The namespace of objects that name none.",
        metavar="NS",
        short="-n",
        flag="--namespace",
    ),
    Setting(
        "maxFileSize",
        SettingGroup.MESH,
        Form.SIZE,
        32 * 2**20,
        "Larger files are refused.",
        metavar="SIZE",
    ),
    # The controller.
    Setting(
        "source",
        SettingGroup.RUN,
        Form.WORDS,
        (),
        "Where objects come from: kubernetes, istiod, files.",
        metavar="WORDS",
        choices=("kubernetes", "istiod", "files"),
        default_text="files with -f, kubernetes without",
    ),
    Setting(
        "sink",
        SettingGroup.RUN,
        Form.WORD,
        "",
        "Where filters go: kubernetes or files.",
        metavar="WORD",
        choices=("kubernetes", "files"),
        default_text="files with --to, kubernetes without",
    ),
    Setting(
        "to", SettingGroup.RUN, Form.TEXT, "", "The directory of the files sink.", metavar="DIR"
    ),
    Setting(
        "debounceQuiet",
        SettingGroup.RUN,
        Form.DURATION,
        0.5,
        "Wait until nothing has changed for so long, then write all at once.",
        metavar="TIME",
    ),
    Setting(
        "debounceMax",
        SettingGroup.RUN,
        Form.DURATION,
        10.0,
        "Never wait longer than this for quiet.",
        metavar="TIME",
    ),
    Setting(
        "istiodAddress",
        SettingGroup.RUN,
        Form.ADDRESS,
        "istiod.istio-system:15010",
        "Where the istiod source connects to; port 15010 is plaintext, every other TLS.",
        metavar="HOST:PORT",
        old_env=("AERAKI_ISTIOD_ADDR",),
    ),
    Setting(
        "istiodCa",
        SettingGroup.RUN,
        Form.TEXT,
        "",
        "The certificate of istiod's CA.",
        metavar="FILE",
        default_text="ConfigMap istio-ca-root-cert of the root namespace",
    ),
    Setting(
        "istiodToken",
        SettingGroup.RUN,
        Form.TEXT,
        "/var/run/secrets/tokens/istio-token",
        "A ServiceAccount's token with the audience istio-ca; read again for each connection.",
        metavar="FILE",
    ),
    Setting(
        "adoptUpstream",
        SettingGroup.RUN,
        Form.BOOL,
        False,
        "Delete upstream Aeraki's filters (label manager: Aeraki) once ours are live for the same service port.",
    ),
    Setting(
        "leaderElect",
        SettingGroup.RUN,
        Form.BOOL,
        False,
        "Write only while this replica holds the Lease.",
        default_text="in a pod that writes to the cluster",
    ),
    Setting(
        "electionId",
        SettingGroup.RUN,
        Form.NAMESPACE,
        "",
        "The name of the Lease by which replicas choose their leader.",
        metavar="NAME",
        default_text="aeraki-controller, and a part of its own for an instance or a part of the namespaces",
    ),
    Setting(
        "leaseDuration",
        SettingGroup.RUN,
        Form.DURATION,
        15.0,
        "A Lease that was not renewed for so long is free for another replica.",
        metavar="TIME",
    ),
    Setting(
        "renewDeadline",
        SettingGroup.RUN,
        Form.DURATION,
        10.0,
        "A leader that could not renew its Lease for so long writes nothing more.",
        metavar="TIME",
    ),
    Setting(
        "retryPeriod",
        SettingGroup.RUN,
        Form.DURATION,
        2.0,
        "How often the Lease is renewed, or tried for.",
        metavar="TIME",
    ),
    Setting(
        "httpAddress",
        SettingGroup.RUN,
        Form.ADDRESS,
        "",
        "Where /healthz, /readyz, /metrics and /status are served, such as :8080.",
        metavar="[HOST]:PORT",
        default_text="nowhere",
    ),
    # The cluster.
    Setting(
        "kubeconfig",
        SettingGroup.CLUSTER,
        Form.TEXT,
        "",
        "The kubeconfig file.",
        metavar="FILE",
        default_text="as kubectl: $KUBECONFIG, ~/.kube/config, or the pod's own",
    ),
    Setting(
        "context",
        SettingGroup.CLUSTER,
        Form.TEXT,
        "",
        "The context of the kubeconfig.",
        metavar="NAME",
        default_text="its current one",
    ),
)


def setting(key: str) -> Setting:
    """The setting of that key.

    Raises:
        KeyError: there is none.
    """
    for item in SETTINGS:
        if item.key == key:
            return item
    raise KeyError(key)
