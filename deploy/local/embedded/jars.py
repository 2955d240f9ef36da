"""The jars of Kafka: fetched once by Maven into the cache."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.errors import FetchFailed, MissingTool
from embedded.paths import KAFKA_FILES, cache_dir

OLDEST_JAVA = 17  # Kafka 4 brokers refuse anything older
_HOW = "on Debian or Ubuntu: apt-get install openjdk-17-jre-headless maven"


def kafka_version() -> str:
    """Return the version that pom.xml names, which is the only place that names one."""
    match = re.search(r"<kafka\.version>(.+?)</kafka\.version>", (KAFKA_FILES / "pom.xml").read_text())
    if match is None:
        raise FetchFailed("deploy/local/kafka/pom.xml names no kafka.version")
    return match[1]


def java() -> str:
    """Return the path of a Java that can run Kafka: `$JAVA_HOME`'s, else the first on the path.

    Raises MissingTool.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not os.access(found, os.X_OK):
        raise MissingTool(f"Java {OLDEST_JAVA} or newer is needed to run Kafka, and there is none ({_HOW}).")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', said)
    if match is None or int(match[1]) < OLDEST_JAVA:
        version = match[1] if match else "unknown"
        raise MissingTool(f"Java {OLDEST_JAVA} or newer is needed to run Kafka; {found} is {version} ({_HOW}).")
    return found


def kafka_jars() -> Path:
    """Return the directory with Kafka's jars, fetching them when the cache has none.

    Raises MissingTool without Maven, FetchFailed when Maven cannot fetch. An interrupted fetch leaves
    nothing that could be mistaken for a whole one, and of two processes only one fetches.
    """
    home = cache_dir() / f"kafka-{kafka_version()}"
    libs = home / "libs"
    if libs.is_dir():
        return libs
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not libs.is_dir():
            _fetch(libs)
    return libs


def _fetch(libs: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingTool(f"Maven is needed once, to fetch Kafka, and there is no mvn on the path ({_HOW}).")
    java()  # Maven would fail without it, in words that do not help
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix="fetching-") as scratch:
        command = [maven, "-q", "-B", "-f", str(KAFKA_FILES / "pom.xml"), "dependency:copy-dependencies"]
        result = subprocess.run(
            [*command, f"-DoutputDirectory={scratch}/libs"], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise FetchFailed(f"Maven could not fetch Kafka:\n{(result.stdout + result.stderr)[-2000:].strip()}")
        (Path(scratch) / "libs").rename(libs)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
