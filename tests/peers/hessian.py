"""Hessian 2, as much of it as Dubbo's requests and answers use.

Java's objects, exceptions among them, are `Object` here. A Python int travels as a Java int where
it fits; `Long` says that a Java long is meant.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_CHUNK = 0x8000


class Long(int):
    """A Java long."""


@dataclass
class Object:
    type: str
    fields: dict[str, object] = field(default_factory=dict)


def encode(value: object) -> bytes:
    """Only what needs no reference or class table across values, so parts may be joined."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"T" if value else b"F"
        case Long():
            return _long(value)
        case int():
            return _int(value) if -(2**31) <= value < 2**31 else _long(value)
        case float():
            return b"D" + struct.pack(">d", value)
        case str():
            return _string(value)
        case bytes():
            return _chunks(value, b"A", b"B")
        case list() | tuple():
            return b"\x58" + _int(len(value)) + b"".join(map(encode, value))
        case dict():
            return b"H" + b"".join(encode(k) + encode(v) for k, v in value.items()) + b"Z"
        case Object():
            names = b"".join(map(_string, value.fields))
            definition = b"C" + _string(value.type) + _int(len(value.fields)) + names
            return definition + b"\x60" + b"".join(map(encode, value.fields.values()))
    raise TypeError(f"no Hessian for {type(value).__name__}")


def _int(value: int) -> bytes:
    if -16 <= value <= 47:
        return bytes([0x90 + value])
    return b"I" + struct.pack(">i", value)


def _long(value: int) -> bytes:
    if -8 <= value <= 15:
        return bytes([0xE0 + value])
    return b"L" + struct.pack(">q", value)


def _string(value: str) -> bytes:
    if not value.isascii():
        # Java's characters are UTF-16 units: lengths count those, and each is encoded by itself.
        units = value.encode("utf-16-be", "surrogatepass")
        value = "".join(chr(unit) for (unit,) in struct.iter_unpack(">H", units))
    if len(value) < 32:
        return bytes([len(value)]) + value.encode("utf-8", "surrogatepass")
    parts = [value[at : at + _CHUNK] for at in range(0, len(value), _CHUNK)]
    encoded = [
        (b"S" if part is parts[-1] else b"R")
        + struct.pack(">H", len(part))
        + part.encode("utf-8", "surrogatepass")
        for part in parts
    ]
    return b"".join(encoded)


def _chunks(value: bytes, more: bytes, last: bytes) -> bytes:
    parts = [value[at : at + _CHUNK] for at in range(0, len(value), _CHUNK)] or [b""]
    heads = [more] * (len(parts) - 1) + [last]
    return b"".join(h + struct.pack(">H", len(p)) + p for h, p in zip(heads, parts, strict=True))


class Decoder:
    """Reads value after value; references and classes hold across them, as for Java's writer."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._types: list[str] = []
        self._classes: list[tuple[str, list[str]]] = []
        self._references: list[object] = []

    @property
    def done(self) -> bool:
        return self.at >= len(self.data)

    def _take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) < size:
            raise ValueError("Hessian data ends within a value")
        self.at += size
        return taken

    def _number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(value)

    def string(self) -> str:
        value = self.decode()
        if not isinstance(value, str):
            raise ValueError(f"a string expected, got {value!r}")
        return value

    def integer(self) -> int:
        value = self.decode()
        if not isinstance(value, int):
            raise ValueError(f"an int expected, got {value!r}")
        return value

    def mapping(self) -> dict[str, object]:
        value = self.decode()
        return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}

    def decode(self) -> object:
        tag = self._take(1)[0]
        if tag < 0x20 or 0x30 <= tag <= 0x33 or tag in b"SR":
            return self._read_string(tag)
        if 0x20 <= tag <= 0x2F or 0x34 <= tag <= 0x37 or tag in b"AB":
            return self._read_bytes(tag)
        if 0x80 <= tag <= 0xD7 or tag == 0x49:
            return self._read_int(tag)
        if tag >= 0xD8 or tag in (0x4C, 0x59) or 0x38 <= tag <= 0x3F:
            return Long(self._read_long(tag))
        if tag == 0x44 or 0x5B <= tag <= 0x5F:
            return self._read_double(tag)
        if 0x55 <= tag <= 0x58 or 0x70 <= tag <= 0x7F:
            return self._read_list(tag)
        if tag == 0x4F or 0x60 <= tag <= 0x6F:
            return self._read_object(tag)
        match chr(tag):
            case "N":
                return None
            case "T" | "F":
                return tag == 0x54
            case "H" | "M":
                return self._read_map(tag)
            case "C":
                name = self.string()
                self._classes.append((name, [self.string() for _ in range(self.integer())]))
                return self.decode()
            case "Q":
                return self._references[self.integer()]
            case "J":
                return self._number(">q")
            case "K":
                return self._number(">i") * 60_000
        raise ValueError(f"no Hessian value starts with {tag:#x} (at {self.at - 1})")

    def _read_int(self, tag: int) -> int:
        if tag == 0x49:
            return self._number(">i")
        if tag <= 0xBF:
            return tag - 0x90
        if tag <= 0xCF:
            return ((tag - 0xC8) << 8) + self._number(">B")
        return ((tag - 0xD4) << 16) + self._number(">H")

    def _read_long(self, tag: int) -> int:
        if tag == 0x4C:
            return self._number(">q")
        if tag == 0x59:
            return self._number(">i")
        if tag <= 0x3F:
            return ((tag - 0x3C) << 16) + self._number(">H")
        if tag <= 0xEF:
            return tag - 0xE0
        return ((tag - 0xF8) << 8) + self._number(">B")

    def _read_double(self, tag: int) -> float:
        match tag:
            case 0x5B | 0x5C:
                return float(tag - 0x5B)
            case 0x5D:
                return float(self._number(">b"))
            case 0x5E:
                return float(self._number(">h"))
            case 0x5F:
                return self._number(">i") * 0.001
        (value,) = struct.unpack(">d", self._take(8))
        return float(value)

    def _read_string(self, tag: int) -> str:
        parts = []
        while True:
            if tag in b"SR":
                size = self._number(">H")
            else:
                size = tag if tag < 0x20 else ((tag - 0x30) << 8) + self._number(">B")
            parts.append(self._characters(size))
            if tag != 0x52:
                break
            tag = self._take(1)[0]
        text = "".join(parts)
        if text.isascii():
            return text
        return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")

    def _characters(self, count: int) -> str:
        end = self.at + count
        if not self.data[self.at : end].isascii():
            end = self.at
            for _ in range(count):
                lead = self.data[end]
                end += 1 if lead < 0x80 else 2 if lead < 0xE0 else 3
        return self._take(end - self.at).decode("utf-8", "surrogatepass")

    def _read_bytes(self, tag: int) -> bytes:
        data = b""
        while tag == 0x41:
            data += self._take(self._number(">H"))
            tag = self._take(1)[0]
        if tag == 0x42:
            return data + self._take(self._number(">H"))
        if tag <= 0x2F:
            return data + self._take(tag - 0x20)
        return data + self._take(((tag - 0x34) << 8) + self._number(">B"))

    def _type(self) -> str:
        name = self.decode()
        if isinstance(name, int):
            return self._types[name]
        self._types.append(str(name))
        return str(name)

    def _read_list(self, tag: int) -> list[object]:
        values: list[object] = []
        self._references.append(values)
        if tag in (0x55, 0x56) or 0x70 <= tag <= 0x77:
            self._type()
        if tag in (0x55, 0x57):
            while self.data[self.at] != 0x5A:
                values.append(self.decode())
            self.at += 1
            return values
        size = self.integer() if tag in (0x56, 0x58) else tag & 0x07
        values.extend(self.decode() for _ in range(size))
        return values

    def _read_map(self, tag: int) -> dict[object, object]:
        values: dict[object, object] = {}
        self._references.append(values)
        if tag == 0x4D:
            self._type()
        while self.data[self.at] != 0x5A:
            key = self.decode()
            values[key] = self.decode()
        self.at += 1
        return values

    def _read_object(self, tag: int) -> Object:
        name, names = self._classes[self.integer() if tag == 0x4F else tag - 0x60]
        value = Object(name)
        self._references.append(value)
        for each in names:
            value.fields[each] = self.decode()
        return value
