"""Thrift: a server and a client in every flavour, on the `thrift` library, without generated code.

Any method of any arguments (str, bool, int, float) is answered with JSON that says who answered and
what arrived: server, service, method, args, headers. These methods do more:

echo(value)     returns the value itself, as its own Thrift type
payload(size)   so many characters more in the JSON
pause(seconds)  answers later
fail(text)      throws a declared exception (`Declared` at the client)
crash(text)     throws a TApplicationException of type INTERNAL_ERROR
close()         resets the connection, without an answer
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport, TTransportException

from .processes import Address
from .sockets import ThreadedServer, reset


class Flavour(NamedTuple):
    transport: Literal["framed", "unframed", "header"] = "framed"
    protocol: Literal["binary", "compact"] = "binary"

    def __str__(self) -> str:
        return f"{self.transport}-{self.protocol}"

    def over(self, wire: TSocket) -> Any:
        """A protocol of this flavour."""
        if self.transport == "header":
            inner = getattr(THeaderSubprotocolID, self.protocol.upper())
            return THeaderProtocol(wire, (THeaderClientType.HEADERS,), inner)
        framing = TFramedTransport if self.transport == "framed" else TBufferedTransport
        return (TBinaryProtocol if self.protocol == "binary" else TCompactProtocol)(framing(wire))


FRAMED_BINARY = Flavour()
FLAVOURS = [
    Flavour(transport, protocol)
    for transport in ("framed", "unframed", "header")
    for protocol in ("binary", "compact")
]


@dataclass(frozen=True)
class Call:
    service: str
    method: str
    args: tuple[object, ...]
    headers: Mapping[str, str]
    one_way: bool


class Declared(Exception):
    """The exception that `fail` declares."""


class Closing(Exception):
    """The server's own way out of a call to `close`."""


def _write_value(to: Any, field_id: int, value: object) -> None:
    match value:
        case bool():
            kind, write = TType.BOOL, to.writeBool
        case int():
            fits = -(2**31) <= value < 2**31
            kind, write = (TType.I32, to.writeI32) if fits else (TType.I64, to.writeI64)
        case float():
            kind, write = TType.DOUBLE, to.writeDouble
        case _:
            kind, write = TType.STRING, to.writeString
    to.writeFieldBegin("", kind, field_id)
    write(value)
    to.writeFieldEnd()


def _write_fields(to: Any, fields: Mapping[int, object]) -> None:
    to.writeStructBegin("")
    for field_id, value in fields.items():
        _write_value(to, field_id, value)
    to.writeFieldStop()
    to.writeStructEnd()


def _read_fields(source: Any) -> dict[int, Any]:
    """The fields of a struct by their ids; a struct within is a dict of the same kind."""
    readers = {
        TType.BOOL: source.readBool,
        TType.BYTE: source.readByte,
        TType.I16: source.readI16,
        TType.I32: source.readI32,
        TType.I64: source.readI64,
        TType.DOUBLE: source.readDouble,
        TType.STRING: source.readString,
        TType.STRUCT: lambda: _read_fields(source),
    }
    fields: dict[int, Any] = {}
    source.readStructBegin()
    while True:
        _, kind, field_id = source.readFieldBegin()
        if kind == TType.STOP:
            break
        fields[field_id] = readers[kind]()
        source.readFieldEnd()
    source.readStructEnd()
    return fields


def _headers(protocol: Any) -> dict[str, str]:
    if not isinstance(protocol, THeaderProtocol):
        return {}
    return {key.decode(): value.decode() for key, value in protocol.get_headers().items()}


def _set_headers(protocol: Any, headers: Mapping[str, str]) -> None:
    if headers and not isinstance(protocol, THeaderProtocol):
        raise ValueError("only the header transport has headers")
    for key, value in headers.items():
        protocol.set_header(key.encode(), value.encode())


class ThriftClient:
    """One connection. With `service`, its calls are multiplexed: as service:method on the wire."""

    def __init__(
        self,
        address: Address,
        flavour: Flavour = FRAMED_BINARY,
        *,
        service: str = "",
        timeout: float = 10.0,
    ) -> None:
        self._socket = TSocket(*address)
        self._socket.setTimeout(timeout * 1000)
        self._socket.open()
        self._protocol = flavour.over(self._socket)
        self._out = TMultiplexedProtocol(self._protocol, service) if service else self._protocol
        self._ids = itertools.count(1)
        self.headers: dict[str, str] = {}  # of the last answer

    def call(self, method: str, *args: object, headers: Mapping[str, str] | None = None) -> Any:
        """The result; Declared, TApplicationException or TTransportException without one."""
        seqid = self._send(TMessageType.CALL, method, args, headers or {})
        _, kind, answered = self._protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            exception = TApplicationException()
            exception.read(self._protocol)
            self._protocol.readMessageEnd()
            raise exception
        fields = _read_fields(self._protocol)
        self._protocol.readMessageEnd()
        self.headers = _headers(self._protocol)
        assert answered == seqid, f"the answer to {answered} came for {seqid}"
        if 1 in fields:
            raise Declared(fields[1][1])
        value = fields[0]
        return json.loads(value) if isinstance(value, str) and value.startswith("{") else value

    def one_way(self, method: str, *args: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(TMessageType.ONEWAY, method, args, headers or {})

    def _send(
        self, kind: int, method: str, args: Sequence[object], headers: Mapping[str, str]
    ) -> int:
        seqid = next(self._ids)
        _set_headers(self._protocol, headers)
        self._out.writeMessageBegin(method, kind, seqid)
        _write_fields(self._out, dict(enumerate(args, start=1)))
        self._out.writeMessageEnd()
        self._out.trans.flush()
        return seqid

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class ThriftServer(ThreadedServer[Call]):
    """Serves one flavour: the named services multiplexed, and calls that name none."""

    def __init__(
        self,
        name: str,
        flavour: Flavour = FRAMED_BINARY,
        address: Address | None = None,
        *,
        services: Sequence[str] = (),
    ) -> None:
        super().__init__(name, address)
        self.flavour = flavour
        self.services = services

    def serve(self, connection: socket.socket) -> None:
        wire = TSocket()
        wire.setHandle(connection)
        protocol = self.flavour.over(wire)
        processor = TMultiplexedProcessor()
        processor.registerDefault(_Service(self, "", protocol))
        for service in self.services:
            processor.registerProcessor(service, _Service(self, service, protocol))
        try:
            while True:
                processor.process(protocol, protocol)
        except (TTransportException, TProtocolException):
            pass  # The client went, or named no service of ours: Thrift's own servers hang up too.
        except Closing:
            reset(connection)


class _Service:
    """What TMultiplexedProcessor wants of a processor."""

    def __init__(self, server: ThriftServer, name: str, protocol: Any) -> None:
        self._server = server
        self._name = name
        self._protocol = protocol

    def process(self, source: Any, to: Any) -> None:
        method, kind, seqid = source.readMessageBegin()
        args = tuple(_read_fields(source).values())
        source.readMessageEnd()
        one_way = kind == TMessageType.ONEWAY
        call = Call(self._name, method, args, _headers(self._protocol), one_way)
        self._server.arrived(call)
        if call.one_way:
            return
        if method == "close":
            raise Closing
        if isinstance(to, THeaderProtocol):
            _set_headers(to, {"server": self._server.name})
        reply = TMessageType.EXCEPTION if method == "crash" else TMessageType.REPLY
        to.writeMessageBegin(method, reply, seqid)
        match method:
            case "crash":
                TApplicationException(TApplicationException.INTERNAL_ERROR, str(args[0])).write(to)
            case "fail":
                to.writeStructBegin("")
                to.writeFieldBegin("", TType.STRUCT, 1)
                _write_fields(to, {1: args[0]})
                to.writeFieldEnd()
                to.writeFieldStop()
                to.writeStructEnd()
            case "echo":
                _write_fields(to, {0: args[0]})
            case _:
                _write_fields(to, {0: self._describe(call)})
        to.writeMessageEnd()
        to.trans.flush()

    def _describe(self, call: Call) -> str:
        reply = {
            "server": self._server.name,
            "service": call.service,
            "method": call.method,
            "args": call.args,
            "headers": call.headers,
        }
        if call.method == "payload":
            reply["payload"] = "x" * int(str(call.args[0]))
        if call.method == "pause":
            threading.Event().wait(float(str(call.args[0])))
        return json.dumps(reply)
