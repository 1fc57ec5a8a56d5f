"""A running controller, asked over HTTP for what commands show without PATHs.

The answers are the JSON of console/describe.py. Inside the controller's pod the settings say where
it listens, so that `kubectl exec ... -- aeraki status` needs no address.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from aeraki_core.console.targets import NotThereError
from aeraki_core.errors import AerakiError
from aeraki_core.settings import Settings

__all__ = ["Asked", "controller_options", "explanation_of", "status_of"]

_DEFAULT = "http://127.0.0.1:8080"
_TIMEOUT = 30.0  # seconds
_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """The controller to ask. ``url`` None: the one of this pod. ``token``: the file of a token."""

    url: str | None = None
    token: str | None = None


def controller_options(function: F) -> F:
    """The flags ``--controller`` and ``--controller-token``."""
    address = click.option(
        "--controller",
        metavar="URL",
        help="Ask a running controller.  [default without PATHs: "
        f"{_DEFAULT}, or as --http-address of its pod says]",
    )
    token = click.option(
        "--controller-token",
        metavar="FILE",
        help="A token for a controller with --http-authentication.  "
        "[default in its pod: the pod's own]",
    )
    return address(token(function))


def status_of(settings: Settings, asked: Asked, example: str) -> dict[str, Any]:
    """What a controller says of all service ports; ``example`` is how to do without one.

    Raises:
        AerakiError: it cannot be asked, or is busy.
        click.UsageError: no controller was named, and there is none where one would be.
    """
    return _get(settings, asked, "/status", example)


def explanation_of(settings: Settings, asked: Asked, target: str, example: str) -> dict[str, Any]:
    """Return a controller's answer about one service.

    Raises:
        NotThereError: it has no such service or port.
        AerakiError: it cannot be reached, or is busy.
        click.UsageError: no controller was named, and there is none at the default address.
    """
    return _get(settings, asked, f"/explain?target={quote(target)}", example)


def _get(settings: Settings, asked: Asked, path: str, example: str) -> dict[str, Any]:
    url = asked.url
    base = (url or _of_the_pod(settings)).rstrip("/")
    base = base if "://" in base else f"http://{base}"
    # No proxy: it would not know this host's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(f"{base}{path}", headers=_login(settings, asked))  # noqa: S310 the user names it
        with opener.open(request, timeout=_TIMEOUT) as response:
            content = json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace").strip()
        if error.code == 404 and path.startswith("/explain"):
            raise NotThereError(text) from None
        raise AerakiError(f"{base} answers {error.code}: {text}") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        reason = getattr(cause, "strerror", None) or cause
        if url is not None:
            raise AerakiError(f"--controller: {base} gives no answer: {reason}") from None
        raise click.UsageError(
            "nothing to read; name files or directories with -f, "
            f"or a running controller with --controller URL ({base}: {reason}):\n"
            "\n"
            f"  {example}"
        ) from None
    if not isinstance(content, dict) or "ports" not in content:
        raise AerakiError(f"{base} is not a controller of Aeraki")
    return content


def _login(settings: Settings, asked: Asked) -> dict[str, str]:
    """The header that says who asks; none without a token.

    Raises:
        AerakiError: the file of the token cannot be read.
    """
    path = Path(asked.token) if asked.token else None
    if path is None and asked.url is None and settings.http_authentication and _MOUNTED.exists():
        path = _MOUNTED
    if path is None:
        return {}
    try:
        return {"Authorization": f"Bearer {path.read_text().strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AerakiError(f"--controller-token: {path}: {reason}") from None


def _of_the_pod(settings: Settings) -> str:
    """Where the controller with the same settings listens, as seen from its own pod."""
    address: str = settings.http_address
    if not address:
        return _DEFAULT
    host, _, port = address.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"
