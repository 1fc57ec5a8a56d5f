"""The command line as a user has it: the real entry point, and an installed plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run, clean_environment, runner

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
BROKEN = "kind: Service\nspec: : x\n"
"""Not YAML, in line 2."""
OUTBOUND = "istio-system/aeraki-outbound-cart.shop.svc.cluster.local-7000"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the echo plugin is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "aeraki_echo.py").write_text((SITE / "aeraki_echo.py").read_text())
    info = folder / "aeraki_echo-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: aeraki-echo\nVersion: 1.2\nRequires-Dist: aeraki-core\n"
    )
    (info / "entry_points.txt").write_text("[aeraki.plugins]\necho = aeraki_echo\n")
    return folder


@pytest.fixture(autouse=True)
def only_echo(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the other installed plugins, and put the folder on the path for one test."""
    monkeypatch.syspath_prepend(site)
    clean_environment(monkeypatch)
    monkeypatch.setenv("AERAKI_PLUGINS", "echo")


@pytest.fixture
def aeraki(site: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line; the result has the exit code and both streams."""
    return runner(capfd, monkeypatch)


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
