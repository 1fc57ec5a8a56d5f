"""A small Dubbo 2 client and server with Hessian 2, for speed and for odd frames.

The server answers every method of every interface with JSON (a Java String, so Java consumers can
read it) that says who answered and what arrived: server, interface, group, version, method, args,
attachments. The provider of `apache_dubbo.py` answers alike.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .hessian import Decoder, Long, Object, encode
from .processes import Address
from .sockets import ThreadedServer, read_exactly, reset

HELLO = "org.aeraki.peers.Hello"
OTHER = "org.aeraki.peers.Other"

OK = 20
REQUEST, TWO_WAY, EVENT, HESSIAN2 = 0x80, 0x40, 0x20, 0x02
# The type of an answer's body; _ATTACHED is added to it where attachments follow.
_WITH_EXCEPTION, _VALUE, _NULL, _ATTACHED = 0, 1, 2, 3


@dataclass(frozen=True)
class Frame:
    flags: int
    status: int
    id: int
    body: bytes

    def encode(self) -> bytes:
        head = struct.pack(">HBBqI", 0xDABB, self.flags, self.status, self.id, len(self.body))
        return head + self.body

    @classmethod
    def read(cls, connection: socket.socket) -> Self:
        head = read_exactly(connection, 16)
        magic, flags, status, request_id, size = struct.unpack(">HBBqI", head)
        if magic != 0xDABB:
            raise ValueError(f"not a Dubbo frame: {head.hex()}")
        return cls(flags, status, request_id, read_exactly(connection, size))

    @property
    def is_request(self) -> bool:
        return bool(self.flags & REQUEST)

    @property
    def is_event(self) -> bool:
        return bool(self.flags & EVENT)


@dataclass(frozen=True)
class Call:
    """A request. Interface, group and version travel as attachments too, as Java's clients do."""

    method: str
    args: tuple[object, ...] = ()
    attachments: Mapping[str, str] = field(default_factory=dict)
    interface: str = HELLO
    group: str = ""
    version: str = ""

    def encode(self) -> bytes:
        attachments = {"path": self.interface, "interface": self.interface}
        if self.group:
            attachments["group"] = self.group
        if self.version:
            attachments["version"] = self.version
        values: list[object] = ["2.0.2", self.interface, self.version or "0.0.0", self.method]
        values += ["".join(map(_descriptor, self.args)), *self.args]
        return b"".join(map(encode, [*values, attachments | dict(self.attachments)]))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Decoder(body)
        read.string()
        interface, version, method = read.string(), read.string(), read.string()
        args = tuple(read.decode() for _ in range(_count(read.string())))
        attachments = {key: str(value) for key, value in read.mapping().items()}
        group = attachments.get("group", "")
        version = "" if version == "0.0.0" else version
        return cls(method, args, attachments, interface, group, version)


def _descriptor(value: object) -> str:
    """The JVM's name of the type that `encode` gives a value."""
    match value:
        case bool():
            return "Z"
        case Long():
            return "J"
        case int():
            return "I" if -(2**31) <= value < 2**31 else "J"
        case float():
            return "D"
        case bytes():
            return "[B"
        case list() | tuple():
            return "Ljava/util/List;"
        case dict():
            return "Ljava/util/Map;"
    return "Ljava/lang/String;"


def _count(descriptors: str) -> int:
    """How many types a method's descriptor names."""
    count, at = 0, 0
    while at < len(descriptors):
        while descriptors[at] == "[":
            at += 1
        at = descriptors.index(";", at) + 1 if descriptors[at] == "L" else at + 1
        count += 1
    return count


@dataclass(frozen=True)
class Answer:
    status: int
    value: Any = None  # the JSON of a peer, decoded; else what was sent
    exception: str = ""  # what the provider's method threw
    error: str = ""  # the text of a status other than OK
    attachments: Mapping[str, object] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """Who answered."""
        if self.status != OK or self.exception:
            raise AssertionError(f"no answer but {self}")
        return str(self.value["server"])

    @classmethod
    def decode(cls, frame: Frame) -> Self:
        read = Decoder(frame.body)
        if frame.status != OK:
            values = []
            while not read.done:  # Java sends the text only, Envoy a body's type before it.
                values.append(read.decode())
            return cls(frame.status, error=str(values[-1]) if values else "")
        kind = read.integer()
        value = None if kind in (_NULL, _NULL + _ATTACHED) else read.decode()
        attachments = read.mapping() if kind >= _ATTACHED else {}
        if kind in (_WITH_EXCEPTION, _WITH_EXCEPTION + _ATTACHED):
            detail = value.fields.get("detailMessage") if isinstance(value, Object) else value
            return cls(OK, exception=str(detail), attachments=attachments)
        if isinstance(value, str) and value.startswith("{"):
            value = json.loads(value)
        return cls(OK, value=value, attachments=attachments)


class DubboClient:
    """One connection. `call` sends and receives; `send` and `receive` keep several in flight.

    `to` is another interface, group or version than the client's.
    """

    def __init__(
        self,
        address: Address,
        *,
        interface: str = HELLO,
        group: str = "",
        version: str = "",
        timeout: float = 10.0,
    ) -> None:
        self._defaults = {"interface": interface, "group": group, "version": version}
        self._ids = itertools.count(1)
        self._early: dict[int, Frame] = {}
        self.connection = socket.create_connection(address, timeout=timeout)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(
        self, method: str, *args: object, attachments: Mapping[str, str] | None = None, **to: str
    ) -> Answer:
        return self.receive(self.send(method, *args, attachments=attachments, **to))

    def send(
        self, method: str, *args: object, attachments: Mapping[str, str] | None = None, **to: str
    ) -> int:
        """Returns what `receive` wants."""
        call = Call(method, args, attachments or {}, **(self._defaults | to))
        return self._request(TWO_WAY, call.encode())

    def one_way(
        self, method: str, *args: object, attachments: Mapping[str, str] | None = None, **to: str
    ) -> None:
        call = Call(method, args, attachments or {}, **(self._defaults | to))
        self._request(0, call.encode())

    def receive(self, request_id: int) -> Answer:
        """EOFError or ConnectionError when the connection ends, TimeoutError when nothing comes."""
        return Answer.decode(self._frame(request_id))

    def has_early(self, request_id: int) -> bool:
        """Whether its answer came while another one was awaited."""
        return request_id in self._early

    def heartbeat(self) -> None:
        """Send one and await its answer."""
        frame = self._frame(self._request(TWO_WAY | EVENT, encode(None)))
        assert (frame.is_event, frame.status) == (True, OK), frame

    def _request(self, flags: int, body: bytes) -> int:
        request_id = next(self._ids)
        self.send_raw(Frame(REQUEST | HESSIAN2 | flags, 0, request_id, body).encode())
        return request_id

    def send_raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def _frame(self, request_id: int) -> Frame:
        while request_id not in self._early:
            frame = Frame.read(self.connection)
            if not frame.is_request:
                self._early[frame.id] = frame
            elif frame.is_event and frame.flags & TWO_WAY:
                self.send_raw(Frame(EVENT | HESSIAN2, OK, frame.id, encode(None)).encode())
        return self._early.pop(request_id)

    def close(self) -> None:
        self.connection.close()

    def reset(self) -> None:
        """End the connection as a killed client would."""
        reset(self.connection)
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class DubboServer(ThreadedServer[Call]):
    """Answers as the module says. A call's attachments can ask for more.

    peer-payload: N     N characters more in the answer
    peer-pause: S       S seconds before the answer
    peer-gate: any      no answer before ``gate`` is set
    peer-status: N      an answer of this status
    peer-throw: text    a Java exception
    peer-close: any     the connection reset, without an answer
    """

    def __init__(self, name: str, address: Address | None = None) -> None:
        super().__init__(name, address)
        self.heartbeats = 0
        self.gate = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        writing = threading.Lock()
        while True:
            frame = Frame.read(connection)
            if frame.is_event:
                self.heartbeats += 1
                self._write(connection, writing, Frame(EVENT | HESSIAN2, OK, frame.id, b"N"))
                continue
            # Calls of one connection run side by side, as in Java: a slow one holds up no other.
            arguments = (connection, writing, frame, Call.decode(frame.body))
            threading.Thread(target=self._answer, args=arguments, daemon=True).start()

    def _answer(
        self, connection: socket.socket, writing: threading.Lock, frame: Frame, call: Call
    ) -> None:
        self.arrived(call)
        wish = call.attachments.get
        if pause := wish("peer-pause"):
            threading.Event().wait(float(pause))
        if wish("peer-gate"):
            self.gate.wait()
        if wish("peer-close"):
            reset(connection)
        elif frame.flags & TWO_WAY:
            status = int(wish("peer-status", str(OK)))
            body = self._body(call) if status == OK else encode(f"{self.name}: as asked")
            self._write(connection, writing, Frame(HESSIAN2, status, frame.id, body))

    def _body(self, call: Call) -> bytes:
        if text := call.attachments.get("peer-throw"):
            thrown = Object("java.lang.IllegalStateException", {"detailMessage": text})
            return encode(_WITH_EXCEPTION) + encode(thrown)
        reply = {
            "server": self.name,
            "interface": call.interface,
            "group": call.group,
            "version": call.version,
            "method": call.method,
            "args": call.args,
            "attachments": dict(call.attachments),
        }
        if size := call.attachments.get("peer-payload"):
            reply["payload"] = "x" * int(size)
        value = json.dumps(reply, default=repr)
        return encode(_VALUE + _ATTACHED) + encode(value) + encode({"server": self.name})

    @staticmethod
    def _write(connection: socket.socket, writing: threading.Lock, frame: Frame) -> None:
        try:
            with writing:
                connection.sendall(frame.encode())
        except OSError:
            pass  # The client did not wait for the answer.
