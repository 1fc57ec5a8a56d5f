"""Base of the models of Kubernetes specs, and the one way from a dictionary to a model.

The result is a frozen pydantic model, or :class:`~aeraki_core.errors.RejectedError` with each
field's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aeraki_core.errors import Problem, RejectedError

__all__ = ["Spec", "check", "field_path", "text_map"]


class Spec(BaseModel):
    """A part of an object, as Kubernetes writes it.

    CamelCase keys, unknown fields ignored (the API server prunes them).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        alias_generator=lambda name: (
            name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:])
        ),
    )


S = TypeVar("S", bound=BaseModel)

# pydantic's errors in the words of YAML, where its own are Python's ("Input should be a valid
# tuple"), by its name of them.
_PLAINLY = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    **dict.fromkeys(
        ("tuple_type", "list_type", "set_type", "frozen_set_type"), "a list belongs here"
    ),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"),
        "a mapping belongs here",
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number belongs here"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number belongs here"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false belongs here"),
    "string_type": "text belongs here; put it in quotes",
}


def field_path(location: tuple[int | str, ...], root: str = "spec") -> str:
    """pydantic's location as users write it: ``("http", 0, "route")`` is ``spec.http[0].route``."""
    path = root
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def check(model: type[S], value: Any, root: str = "spec") -> S:
    """Return the value as that model.

    Raises:
        RejectedError: it does not fit; one problem for each wrong field, without the value itself
        (it may be a secret).
    """
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        raise RejectedError(
            tuple(
                Problem(
                    field_path(detail["loc"], root), _PLAINLY.get(detail["type"], detail["msg"])
                )
                for detail in error.errors(include_url=False, include_input=False)
            )
        ) from None


def text_map(value: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels or annotations.

    What is not text is written as text (YAML reads ``"v": 1`` as a number).

    Raises:
        RejectedError: it is no map.
    """
    if value is not None and not isinstance(value, Mapping):
        raise RejectedError((Problem("metadata", "labels and annotations are maps of text"),))
    return {
        str(key): item if isinstance(item, str) else _as_text(item)
        for key, item in (value or {}).items()
    }


def _as_text(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return "" if item is None else str(item)
