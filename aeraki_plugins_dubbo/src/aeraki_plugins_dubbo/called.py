"""The calls that a service's filter serves: interfaces, group, version.

The values come from the options of the same names. Names that no call can have are reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from aeraki_core import GenerateContext
from aeraki_plugins_dubbo.codes import BAD_INTERFACE
from aeraki_plugins_dubbo.protocol import GROUP, INTERFACE, VERSION

__all__ = ["ANY", "Called", "called", "interface_problem"]


@dataclass(frozen=True, slots=True)
class Called:
    """Interfaces as Envoy matches them (``*`` any, ``*Suffix``, ``com.prefix.*``).

    An empty group or version matches any.
    """

    interfaces: tuple[str, ...] = ("*",)
    group: str = ""
    version: str = ""


ANY = Called()


def called(context: GenerateContext) -> Called:
    """Return the called names in the service's options. Impossible names are reported."""
    interfaces = []
    for name in context.option(INTERFACE):
        problem = interface_problem(name)
        if problem:
            message = f"{name!r} {problem}; it is left out"
            context.report(BAD_INTERFACE, message, field=context.option_field(INTERFACE))
        else:
            interfaces.append(name)
    # Dubbo writes * for any group or version.
    group, version = ("" if text == "*" else text for text in map(context.option, (GROUP, VERSION)))
    return Called(tuple(interfaces) or ANY.interfaces, group, version)


def interface_problem(name: str) -> str | None:
    """Return why no call can be of that interface; None if one can."""
    if any(char.isspace() or not char.isprintable() for char in name):
        return "holds a space or a control character"
    if "/" in name or ":" in name:
        return "is not an interface's name: group/interface:version are three options"
    if "*" in name[1:-1] or (len(name) > 1 and name[0] == name[-1] == "*"):
        return (
            "has a * where Envoy takes it as a letter: it may stand once, at the start or the end"
        )
    return None
