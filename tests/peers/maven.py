"""Builds the Java peers with Maven, once for each version and source, outside the checkout.

The cache is $AERAKI_TEST_CACHE, else aeraki-tests in the user's cache folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path

from .processes import PeerError

logger = logging.getLogger(__name__)

# A goal with its version: what a build does must not depend on the day.
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

# Quick to start and small; these servers live for seconds.
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true"]


def cache() -> Path:
    if folder := os.environ.get("AERAKI_TEST_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aeraki-tests"


def build(project: Path, **properties: str) -> Path:
    """The folder with the jars of a Maven project and of all that it needs.

    `properties` are Maven's; `_` stands for `.`.
    """
    chosen = {name.replace("_", "."): value for name, value in properties.items()}
    sources = sorted(path for path in project.rglob("*") if path.suffix in (".java", ".xml"))
    digest = hashlib.sha256(repr(chosen).encode())
    for path in sources:
        digest.update(f"{path.relative_to(project)}\0".encode() + path.read_bytes())
    name = "-".join([project.name, *chosen.values(), digest.hexdigest()[:12]])
    built = cache() / name
    if not built.exists():
        cache().mkdir(parents=True, exist_ok=True)
        with (cache() / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built.exists():
                begin = time.monotonic()
                logger.info("Maven builds %s, which takes up to a minute", built.name)
                _build(project, sources, chosen, built)
                logger.info("%s is built, after %.0f s", built.name, time.monotonic() - begin)
    return built


def _build(project: Path, sources: list[Path], properties: dict[str, str], built: Path) -> None:
    work = built.with_suffix(".building")
    shutil.rmtree(work, ignore_errors=True)
    for path in sources:
        copy = work / path.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    command = ["mvn", "-q", "-B", "-ntp", *(f"-D{k}={v}" for k, v in properties.items())]
    command += ["package", _COPY, "-DincludeScope=runtime", "-DoutputDirectory=jars"]
    for last in (False, True):  # Twice: repositories fail now and then.
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode == 0:
            break
        if last:
            raise PeerError(f"{' '.join(command)}\n{done.stdout[-8000:]}{done.stderr[-2000:]}")
    for jar in (work / "target").glob("*.jar"):
        shutil.copy(jar, work / "jars")
    (work / "jars").rename(built)
    shutil.rmtree(work)
