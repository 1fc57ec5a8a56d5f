"""The arguments of upstream's controller, translated to ours, so that its manifests keep working.

Upstream is a Go program: one dash is as good as two, and a boolean may be ``--flag=true``. The
names are those of its releases, old and new. A flag without an equivalent is reported and ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["translate"]

_SAME = {
    "istiod-address": "--istiod-address",
    "istiodaddr": "--istiod-address",
    "root-namespace": "--root-namespace",
    "election-id": "--election-id",
    "electionID": "--election-id",
    "log-level": "--log-level",
    "logLevel": "--log-level",
    "log_output_level": "--log-level",
    "domain": "--domain",
    "httpAddr": "--http-address",
}
_NAMESPACE_SCOPE = "enable-envoy-filter-namespace-scope"
_WITHOUT_MEANING = {
    "aeraki-xds-address": "MetaProtocol is not part of this program",
    "aeraki-xds-port": "MetaProtocol is not part of this program",
    "xds-listen-address": "MetaProtocol is not part of this program",
    "cluster-id": "one controller serves one cluster",
    "config-store-secret": "the configuration is read from the cluster of --kubeconfig",
    "httpsAddr": "there is no server with TLS here",
    "log_rotate": "log lines go to stderr; rotate them where they are collected",
    "log_rotate_max_age": "log lines go to stderr; rotate them where they are collected",
    "log_rotate_max_backups": "log lines go to stderr; rotate them where they are collected",
    "log_rotate_max_size": "log lines go to stderr; rotate them where they are collected",
    "log_target": "log lines go to stderr",
    "log_as_json": "use --log-format json",
    "log_caller": "log lines name the component",
    "log_stacktrace_level": "use --debug",
    "istiod-configMap-name": "--root-namespace and --registry-only say what it would",
    "server-id": "the name of the pod tells replicas apart",
}
_MASTER = "master"
_SWITCHES = frozenset({"log_as_json"})
"""Flags that take no value unless it is given with ``=``."""


def translate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments to use and the notes to print.

    A command line without upstream's spellings stays as it is.
    """
    old = list(arguments)
    if old and _name(old[0]):
        old.insert(0, "run")  # upstream has no commands
    if not old or old[0] != "run":
        return old, []
    translated: list[str] = []
    notes: list[str] = []
    rest = iter(old)
    for argument in rest:
        name = _name(argument)
        _, equals, value = argument.partition("=")
        if name in _SAME:
            translated.append(f"{_SAME[name]}={value}" if equals else _SAME[name])
            if not equals:
                translated += [value for value in [next(rest, None)] if value is not None]
        elif name == _NAMESPACE_SCOPE:
            translated += [] if _is_false(value) else ["--filter-namespaces", "."]
        elif name == _MASTER:
            if _is_false(value):
                notes.append(f"--{name}=false has no effect: the leader is chosen by --election-id")
        elif name:
            if not equals and name not in _SWITCHES:
                next(rest, None)
            notes.append(f"--{name} has no effect: {_WITHOUT_MEANING[name]}")
        else:
            translated.append(argument)
    return translated, notes


def _name(argument: str) -> str:
    """Upstream's flag that the argument is, without dashes; empty when it is none."""
    if not argument.startswith("-"):
        return ""
    name = argument.lstrip("-").partition("=")[0]
    known = name in _SAME or name in _WITHOUT_MEANING or name in (_NAMESPACE_SCOPE, _MASTER)
    return name if known else ""


def _is_false(value: str) -> bool:
    return value.lower() in ("false", "f", "0")
