"""deploy/Dockerfile, really built without Docker: by Buildah, as root, without a daemon.

It takes the checkout and build arguments, and makes an image as a folder, with its configuration.
The registry of the Dockerfile's base image may be unreachable. A minimal Debian with the same
Python, made by mmdebstrap once, gets its name. pip installs from the index that is configured on
this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.render_deploy import ROOT
from tests.rig import build
from tests.rig.errors import RigUnavailableError
from tests.rig.processes import find_tool, run

from . import cache, dockerfile
from .pod import Image

SUITE = "trixie"
"""The Debian whose Python is the Dockerfile's ``PYTHON_VERSION``."""

REMEDY = "run tests/deploy/setup.sh as root"
_PACKAGES = "python3,python-is-python3,python3-pip,ca-certificates"
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PIP_SETTINGS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
)
_BUILD_TIMEOUT = 900.0  # seconds; it fetches some 30 MB


class Builder:
    """Images in a storage of its own, a folder; made by `builder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # It chooses how to store layers: by overlays, or where the file system cannot, by copies.
        self._buildah = [
            _tool("buildah"),
            "--root",
            str(folder / "storage"),
            "--runroot",
            str(folder / "run"),
        ]
        container = self._run("from", "scratch").strip()
        self._run("add", container, str(_base()), "/")
        self._run(
            "config",
            "--env",
            "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            container,
        )
        self._run("commit", "--rm", container, f"localhost/{dockerfile.base()}")

    def build(self, **arguments: str) -> Image:
        """Builds the Dockerfile with these build arguments and unpacks the result.

        Raises:
            RigError: a step failed; the message holds what it printed.
        """
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        pip = self._folder / "pip.conf"
        pip.write_text(_pip_settings(), encoding="utf-8")
        trusted = (
            os.environ.get("SSL_CERT_FILE")
            or ssl.get_default_verify_paths().cafile
            or _CERTIFICATES
        )
        lent = [f"--volume={trusted}:{_CERTIFICATES}:ro", f"--volume={pip}:/etc/pip.conf:ro"]
        files = [
            f"--file={dockerfile.DOCKERFILE}",
            f"--ignorefile={dockerfile.IGNORED}",
            "--tag=localhost/built",
        ]
        self._run("build", "--isolation=chroot", "--pull-never", *lent, *given, *files, str(ROOT))
        return self._unpacked("localhost/built")

    def base(self) -> Image:
        """What the Dockerfile's last stage begins with."""
        return self._unpacked(f"localhost/{dockerfile.base()}")

    def close(self) -> None:
        """Remove what is unpacked."""
        self._run("rm", "--all")

    def _unpacked(self, name: str) -> Image:
        said = json.loads(self._run("inspect", "--type=image", name))["OCIv1"]["config"]
        variables = [item.partition("=") for item in said["Env"]]
        config = dockerfile.ImageConfig(
            said.get("User", ""),
            tuple(said.get("Entrypoint", ())),
            tuple(said.get("Cmd", ())),
            {name: value for name, _, value in variables},
        )
        container = self._run("from", "--pull-never", name).strip()
        return Image(Path(self._run("mount", container).strip()), config)

    def _run(self, *arguments: str) -> str:
        return run([*self._buildah, *arguments], timeout=_BUILD_TIMEOUT)


@contextmanager
def builder(folder: Path) -> Iterator[Builder]:
    """Images in that folder, which is gone afterwards: they take more than a gigabyte.

    Raises:
        RigUnavailableError: this machine cannot build any; the message says why.
    """
    try:
        found = Builder(folder)
        yield found
        found.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """An archive of the base image's stand-in, which is made if need be: about a minute."""

    def make(made: Path, work: Path) -> None:
        left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        options = ["--quiet", "--variant=essential", f"--include={_PACKAGES}", *left_out]
        run([_tool("mmdebstrap"), *options, SUITE, str(made)], timeout=_BUILD_TIMEOUT)

    return cache.ensure(build.cache_dir() / f"base-{SUITE}" / "base.tar", make)


def _pip_settings() -> str:
    """Where this machine's pip looks for packages, as a file for the one in the build."""
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    found = re.findall(r"^[^\s=]+\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    lines = [f"{key} = {value}" for key, value in dict(found).items() if key in _PIP_SETTINGS]
    return "\n".join(["[global]", *lines, ""])


def _tool(name: str) -> str:
    if os.geteuid() != 0:
        raise RigUnavailableError("images are built as root")
    try:
        return find_tool(name)
    except RigUnavailableError:
        raise RigUnavailableError(f"the program `{name}` is missing: {REMEDY}") from None
