"""A running controller, asked over HTTP for what commands show without PATHs.

The answers are the JSON of console/describe.py. Inside the controller's pod the settings say where
it listens, so that `kubectl exec ... -- aeraki status` needs no address.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import click

from aeraki_core.console.targets import NotThereError
from aeraki_core.errors import AerakiError
from aeraki_core.settings import Settings

__all__ = ["controller_option", "explanation_of", "status_of"]

_DEFAULT = "http://127.0.0.1:8080"
_TIMEOUT = 30.0  # seconds
F = TypeVar("F", bound=Callable[..., Any])


def controller_option(function: F) -> F:
    """The flag ``--controller``."""
    option = click.option(
        "--controller",
        metavar="URL",
        help="Ask a running controller.  [default without PATHs: "
        f"{_DEFAULT}, or as --http-address of its pod says]",
    )
    return option(function)


def status_of(settings: Settings, url: str | None, example: str) -> dict[str, Any]:
    """What a controller says of all service ports; ``example`` is how to do without one.

    Raises:
        AerakiError: it cannot be asked, or is busy.
        click.UsageError: no controller was named, and there is none where one would be.
    """
    return _get(settings, url, "/status", example)


def explanation_of(
    settings: Settings, url: str | None, target: str, example: str
) -> dict[str, Any]:
    """Return a controller's answer about one service.

    Raises:
        NotThereError: it has no such service or port.
        AerakiError: it cannot be reached, or is busy.
        click.UsageError: no controller was named, and there is none at the default address.
    """
    return _get(settings, url, f"/explain?target={quote(target)}", example)


def _get(settings: Settings, url: str | None, path: str, example: str) -> dict[str, Any]:
    base = (url or _of_the_pod(settings)).rstrip("/")
    base = base if "://" in base else f"http://{base}"
    # No proxy: it would not know this host's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{base}{path}", timeout=_TIMEOUT) as response:
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


def _of_the_pod(settings: Settings) -> str:
    """Where the controller with the same settings listens, as seen from its own pod."""
    address: str = settings.http_address
    if not address:
        return _DEFAULT
    host, _, port = address.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"
