"""The command line as a user has it: the real entry point, and a plugin that is found as an installed one."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aeraki_core.cli import main

SITE = Path(__file__).parent / "echo_site"

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
spec:
  clusterIP: 10.96.0.1
  selector: {app: cart}
  ports:
  - {name: tcp-echo, port: 7000, targetPort: 17000}
  - {name: http, port: 80}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: words, namespace: shop}
stringData: {text: hunter2-hunter2}
"""
POLICY = """\
apiVersion: echo.example.com/v1
kind: EchoPolicy
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  secret: words
"""
OUTBOUND = "istio-system/aeraki-outbound-cart.shop.svc.cluster.local-7000"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where the echo plugin is installed, on the import path."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "aeraki_echo.py").write_text((SITE / "aeraki_echo.py").read_text())
    info = folder / "aeraki_echo-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aeraki-echo\nVersion: 1.2\nRequires-Dist: aeraki-core\n")
    (info / "entry_points.txt").write_text("[aeraki.plugins]\necho = aeraki_echo\n")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AERAKI_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AERAKI_PLUGINS", "echo")  # whatever else is installed here


@pytest.fixture
def aeraki(site: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line; the result has the exit code and both streams."""

    def run(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with one Service that speaks echo."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "cart.yaml").write_text(SERVICE)
    return folder


@pytest.fixture
def secretive(shop: Path) -> Path:
    """The same, and its filter holds what a Secret says."""
    (shop / "policy.yaml").write_text(POLICY)
    (shop / "secret.yaml").write_text(SECRET)
    return shop
