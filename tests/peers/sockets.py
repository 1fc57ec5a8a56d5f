"""What the servers written here have in common: a thread per connection, abrupt ends at will."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from tests.waiting import wait_until

from .processes import Address, PeerError, free_port

C = TypeVar("C")


class ThreadedServer(Generic[C]):
    """Serves each connection by `serve`, in a thread. A context manager: started, stopped.

    `calls` is what arrived, answered or not; `accepted` counts connections since the first start.
    """

    def __init__(self, name: str, address: Address | None = None) -> None:
        host, port = address or ("127.0.0.1", 0)
        self.name = name
        self.address: Address = (host, port or free_port(host))
        self.accepted = 0
        self.calls: list[C] = []
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def serve(self, connection: socket.socket) -> None:
        """Talk until the client is done; OSError and EOFError end it as well."""
        raise NotImplementedError

    def arrived(self, call: C) -> None:
        """For `serve`: note a call, and return once it may be answered."""
        self.calls.append(call)
        self._may_answer.wait()

    def wait_for_calls(self, count: int, timeout: float = 10.0) -> None:
        """Until so many have arrived in all."""
        what = f"{count} calls at {self.name}"
        wait_until(lambda: len(self.calls) >= count, timeout, what)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Calls that arrive in the block are answered after it."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._connections)

    def start(self) -> Self:
        """Listen (again, after `stop`) on the same address."""
        if self._listener is not None:
            raise PeerError(f"{self.name} runs already")
        self._listener = socket.create_server(self.address, backlog=512)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()
        return self

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.accepted += 1
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self.serve(connection)
        except (OSError, EOFError):
            pass  # The client went, or `stop` or `reset` ended the connection.
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def reset_connections(self) -> None:
        """End every connection with a TCP reset, as a killed process would, and keep listening."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            reset(connection)

    def stop(self) -> None:
        """Stop listening and end every connection, calls in flight or not."""
        if self._listener is None or self._acceptor is None:
            return
        # shutdown, unlike close, wakes the thread in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        self.reset_connections()
        wait_until(lambda: not self.open_connections, 10, f"the connections of {self.name} to end")

    def __enter__(self) -> Self:
        return self if self._listener is not None else self.start()

    def __exit__(self, *_: Any) -> None:
        self.stop()


def reset(connection: socket.socket) -> None:
    """Wake the thread that reads it, and let its close send a reset instead of an orderly end."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # It ended by itself.


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """EOFError when the other side closes first."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise EOFError(f"connection closed after {done} of {size} bytes")
        done += count
    return bytes(data)
