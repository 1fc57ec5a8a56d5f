"""How istiod merges one message into another (MERGE and MERGE_AND_REPLACE_LIST).

Unlike protobuf's own merge, a Duration is replaced as a whole: protobuf would keep the old
nanoseconds beside the new seconds. Lists are appended to, or replaced where the operation says so;
a map's entries are replaced one by one; ``Any`` values are replaced, except where a caller merges
what is in them (:func:`merge_any`). Istio source: pkg/proto/merge/merge.go.
"""

from __future__ import annotations

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from aeraki_core.filters.message_types import import_type
from aeraki_core.filters.patch import pack

__all__ = ["merge", "merge_any"]

_DURATION = "google.protobuf.Duration"


def merge(target: Message, source: Message, *, replace_lists: bool = False) -> None:
    """Merge ``source`` into ``target``, which is of the same type."""
    for field, value in source.ListFields():
        name = field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries = getattr(target, name)
            holds_messages = field.message_type.fields_by_name["value"].message_type is not None
            for key, item in value.items():
                if holds_messages:
                    entries[key].CopyFrom(item)
                else:
                    entries[key] = item
        elif isinstance(value, Message):
            inner = getattr(target, name)
            if value.DESCRIPTOR.full_name == _DURATION:
                inner.CopyFrom(value)
            else:
                inner.SetInParent()
                merge(inner, value, replace_lists=replace_lists)
        elif hasattr(value, "extend"):
            if replace_lists:
                target.ClearField(name)
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)


def merge_any(target: AnyMessage, source: AnyMessage) -> None:
    """Merge the message in ``source`` into the one in ``target``.

    Raises:
        ValueError: they hold different types, or one that nothing defines; istiod merges neither.
    """
    if target.TypeName() != source.TypeName():
        raise ValueError(f"a {source.TypeName()} cannot be merged into a {target.TypeName()}")
    if not import_type(target.TypeName()):
        raise ValueError(f"no installed package defines the type {target.TypeName()}")
    kind = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(target.TypeName())
    )
    old, new = kind(), kind()
    old.ParseFromString(target.value)
    new.ParseFromString(source.value)
    merge(old, new)
    target.CopyFrom(pack(old))
