"""Filters without their secrets, for a diff.

``***`` replaces each value that came from a Secret, and every field that Envoy's API marks as
sensitive. Where only secrets differ, they are ``*** (before)`` and ``*** (after)``, as in kubectl
diff.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from aeraki_core.filters.companion import Companion
from aeraki_core.filters.output import Output, to_dict
from aeraki_core.filters.patch import FrozenMessage
from aeraki_core.plugins.redact import MASK

if TYPE_CHECKING:
    from aeraki_core.pipeline.pipeline import Pipeline

__all__ = ["MASK", "masked", "masked_pair", "secret_values"]


def secret_values(pipeline: Pipeline) -> frozenset[str]:
    """The values of every Secret that a generator read."""
    values: set[str] = set()
    for report in pipeline.reports():
        for ref in report.run.objects if report.run else ():
            secret = (
                pipeline.store.secret(ref.namespace, ref.name) if ref.kind == "Secret" else None
            )
            values.update(secret.data.values() if secret else ())
    return frozenset(values - {""})


def masked_pair(
    before: Output | None, after: Output | None, secrets: Collection[str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return both filters without their secrets, distinguished where their secrets differ."""
    differ = (
        before is not None
        and after is not None
        and _secrets_of(before, secrets) != _secrets_of(after, secrets)
    )
    return (
        None if before is None else masked(before, secrets, f"{MASK} (before)" if differ else MASK),
        None if after is None else masked(after, secrets, f"{MASK} (after)" if differ else MASK),
    )


def masked(item: Output, secrets: Collection[str], mask: str = MASK) -> dict[str, Any]:
    """The filter's Kubernetes form with every secret replaced by ``mask``.

    A companion holds none.
    """
    if isinstance(item, Companion):
        return to_dict(item)
    patches = []
    for patch in item.patches:
        if patch.value is not None:
            message = patch.value.message()
            for _ in _replace(message, secrets, mask):
                pass
            patch = replace(patch, value=FrozenMessage.of(message))
        patches.append(patch)
    return to_dict(replace(item, patches=tuple(patches)))


def _secrets_of(item: Output, secrets: Collection[str]) -> list[str]:
    if isinstance(item, Companion):
        return []
    return [
        text
        for patch in item.patches
        if patch.value is not None
        for text in _replace(patch.value.message(), secrets, MASK)
    ]


def _replace(
    message: Message, secrets: Collection[str], mask: str, *, sensitive: bool = False
) -> Iterator[str]:
    """Put the mask in place of every secret text of the message; yields what was there."""
    if isinstance(message, AnyMessage):
        yield from _replace_inside(message, secrets, mask, sensitive=sensitive)
        return
    for field, value in message.ListFields():
        hidden = sensitive or _is_sensitive(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _replace_map(field, value, secrets, mask, hidden=hidden)
        elif field.message_type is not None:
            for item in value if _repeated(field) else (value,):
                yield from _replace(item, secrets, mask, sensitive=hidden)
        elif field.cpp_type == field.CPPTYPE_STRING:
            for index, item in enumerate(value if _repeated(field) else (value,)):
                text = item.decode(errors="replace") if isinstance(item, bytes) else item
                if hidden or text in secrets:
                    yield text
                    new: str | bytes = mask.encode() if isinstance(item, bytes) else mask
                    if _repeated(field):
                        value[index] = new
                    else:
                        setattr(message, field.name, new)


def _replace_inside(
    message: AnyMessage, secrets: Collection[str], mask: str, *, sensitive: bool
) -> Iterator[str]:
    inner = FrozenMessage(message.TypeName(), message.value).message()
    yield from _replace(inner, secrets, mask, sensitive=sensitive)
    message.value = inner.SerializeToString(deterministic=True)


def _replace_map(
    field: Any, value: Any, secrets: Collection[str], mask: str, *, hidden: bool
) -> Iterator[str]:
    kind = field.message_type.fields_by_name["value"]
    for key in value:
        if kind.message_type is not None:
            yield from _replace(value[key], secrets, mask, sensitive=hidden)
        elif kind.cpp_type == kind.CPPTYPE_STRING and (hidden or value[key] in secrets):
            yield str(value[key])
            value[key] = mask


def _repeated(field: Any) -> bool:
    # `label` is gone from protobuf 7, `is_repeated` came with 6.31.
    return bool(
        field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    )


def _is_sensitive(field: Any) -> bool:
    from udpa.annotations.sensitive_pb2 import sensitive

    return bool(field.GetOptions().Extensions[sensitive])
