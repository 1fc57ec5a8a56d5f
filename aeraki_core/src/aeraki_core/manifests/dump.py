"""Kubernetes objects as text: YAML documents or a JSON List, always in the same order and form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["to_json", "to_yaml"]


def to_yaml(documents: Iterable[Any]) -> str:
    """The documents in the order given, each after ``---`` but the first; without anchors."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_multi_representer(StrEnum, lambda dumper, value: dumper.represent_str(str(value)))
    return yaml.dump_all(
        list(documents),
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=132,
    )


def to_json(documents: Sequence[Mapping[str, Any]]) -> str:
    """One Kubernetes List of them."""
    return (
        json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": list(documents)},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )
