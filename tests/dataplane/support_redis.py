"""The two resources of Redis as YAML, and what Redis' clients see of a sidecar.

Tests give a ``spec`` as YAML and get the whole object, as a user writes it.
"""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import redis

from tests.peers.processes import Address
from tests.peers.redis import client


def redis_service(spec: str, *, name: str = "rules", namespace: str = "default") -> str:
    """A RedisService."""
    return _object("RedisService", name, namespace, spec)


def redis_destination(spec: str, *, name: str = "rules", namespace: str = "default") -> str:
    """A RedisDestination."""
    return _object("RedisDestination", name, namespace, spec)


def _object(kind: str, name: str, namespace: str, spec: str) -> str:
    head = (
        "apiVersion: redis.aeraki.io/v1alpha1\n"
        f"kind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
    )
    return f"{head}spec:\n{indent(dedent(spec).strip(), '  ')}\n"


def answer(
    address: Address, *command: object, user: str | None = None, password: str | None = None
) -> Any:
    """Return the answer to one command on a connection of its own; an error as its text.

    Unlike the client's own methods it does nothing that depends on the command.
    """
    with client(address, user=user, password=password) as made:
        try:
            connection = made.connection_pool.get_connection()  # gives the password
            connection.send_command(*command)
            return connection.read_response()
        except (redis.ResponseError, redis.AuthenticationError) as error:
            return str(error)
