"""Envoy messages from and to their JSON form, with whatever types their ``Any`` fields hold.

Types are found by name when they are first met, so a filter of any kind can be read without a list
of kinds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from aeraki_core.filters.message_types import import_type, type_names

__all__ = ["to_dict", "to_message"]

M = TypeVar("M", bound=Message)

_MISSING_TYPE = re.compile(
    r"(?:Can not find message descriptor by type_url: |type_url:? ?)([\w./]+)"
)


def to_message(kind: type[M], value: Mapping[str, Any]) -> M:
    """Return the message of a dictionary.

    Raises:
        ValueError: an unknown field, a value of the wrong form, or an unknown ``@type``.
    """
    for name in set(type_names(value)):
        if not import_type(name):
            raise ValueError(f"no installed package defines the type {name}")
    message = kind()
    try:
        ParseDict(dict(value), message)
    except ParseError as error:
        raise ValueError(str(error)) from None
    return message


def to_dict(message: Message) -> dict[str, Any]:
    """Return the message as Envoy's JSON, in snake_case.

    Raises:
        ValueError: it holds an ``Any`` of a type that nothing defines.
    """
    tried: set[str] = set()
    while True:
        try:
            return MessageToDict(message, preserving_proto_field_name=True)
        except TypeError as error:
            missing_type = _MISSING_TYPE.search(str(error))
            name = missing_type.group(1).rpartition("/")[2] if missing_type else ""
            if not name or name in tried or not import_type(name):
                raise ValueError(f"cannot be written as JSON: {error}") from None
            tried.add(name)
