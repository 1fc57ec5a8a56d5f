"""Reading a file that anybody may have put there, without ever waiting for it.

A folder of manifests can hold anything: a named pipe, a socket, a device, or a link to one. To open
a device can have effects, and to read a pipe or ``/proc/kmsg`` can wait for ever. So only plain
files are opened, and only if they have a size: that leaves out the kernel's own files, which have
none.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable

__all__ = [
    "STREAM_PATIENCE",
    "NotAFileError",
    "Signature",
    "TooLargeError",
    "identity_of",
    "read_file_or_pipe",
    "read_plain_file",
    "read_standard_input",
    "read_stream",
    "signature_of",
    "size_of",
    "type_of",
]

STREAM_PATIENCE = 300.0
"""Seconds without a byte after which a pipe or standard input counts as unreadable."""

Signature = tuple[int, ...]
"""Device, inode, size, modification and change time: differs when the content may differ."""

_PIECE = 1 << 20


class NotAFileError(OSError):
    """There is no plain file under the path."""


class TooLargeError(OSError):
    """The file holds more bytes than allowed."""


def signature_of(status: os.stat_result) -> Signature:
    """Return the values that change with a file."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def size_of(signature: Signature) -> int:
    """Return how many bytes a file of that signature has."""
    return signature[2]


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """Return what distinguishes one file or folder from another."""
    return (status.st_dev, status.st_ino)


def type_of(mode: int) -> str:
    """Return the kind of a path in a user's words."""
    names = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    return names.get(stat.S_IFMT(mode), "device")


def read_plain_file(path: str, limit: int) -> tuple[bytes, Signature]:
    """Read a file's bytes, and the signature that it had then.

    Raises:
        TooLargeError: it holds more than ``limit`` bytes.
        OSError: it cannot be read, or is not a plain file.
    """
    status = os.stat(path)  # noqa: PTH116 -- pathlib refuses names that the system allows
    _expect_plain(status)
    if status.st_size > limit:
        raise TooLargeError
    if status.st_size == 0:
        return b"", signature_of(status)
    # Without O_NONBLOCK, opening blocks if a pipe has just replaced the file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _expect_plain(status)
        data = _gather(lambda size: os.read(descriptor, size), limit)
        return data, signature_of(status)
    except BlockingIOError:
        raise NotAFileError(0, "it makes its reader wait, so it is not a plain file") from None
    finally:
        os.close(descriptor)


def read_file_or_pipe(path: str, limit: int) -> bytes:
    """Read a file that the user names, which may be the pipe of a shell's ``<(...)``.

    Raises:
        TooLargeError: it holds more than ``limit`` bytes.
        OSError: it cannot be read, or is neither.
    """
    if stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
        return read_stream(path, limit)
    return read_plain_file(path, limit)[0]


def read_stream(path: str, limit: int, patience: float = STREAM_PATIENCE) -> bytes:
    """Read a named pipe until its writers close it.

    Raises:
        TooLargeError: it brings more than ``limit`` bytes.
        OSError: it cannot be read, or nothing came for ``patience`` seconds.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise NotAFileError(0, "it is not a pipe")

        def piece(size: int) -> bytes:
            while True:
                try:
                    return os.read(descriptor, size)
                except BlockingIOError:  # somebody holds the pipe open and has not written yet
                    _wait(descriptor, patience)

        return _gather(piece, limit)
    finally:
        os.close(descriptor)


def read_standard_input(limit: int, patience: float = STREAM_PATIENCE) -> bytes:
    """Read all of standard input.

    Raises:
        TooLargeError: it brings more than ``limit`` bytes.
        OSError: it cannot be read, or nothing came for ``patience`` seconds.
    """
    stream = sys.stdin.buffer
    try:
        descriptor = stream.fileno()
    except OSError:  # it is not the system's
        return _gather(stream.read, limit)

    def piece(size: int) -> bytes:
        _wait(descriptor, patience)
        return os.read(descriptor, size)

    return _gather(piece, limit)


def _wait(descriptor: int, patience: float) -> None:
    if not select.select([descriptor], [], [], patience)[0]:
        raise TimeoutError(0, f"nothing came for {patience:g} seconds")


def _expect_plain(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(0, f"it is a {type_of(status.st_mode)}, not a file")


def _gather(piece: Callable[[int], bytes], limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left > 0 and (part := piece(min(left, _PIECE))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise TooLargeError
    return b"".join(parts)
