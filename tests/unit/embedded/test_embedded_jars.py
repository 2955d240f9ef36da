"""Fetching Kafka, with programs of our own in place of java and mvn."""

import asyncio

import pytest

from embedded.errors import FetchFailed, MissingTool
from embedded.jars import java, kafka_jars, kafka_version

JAVA = """#!/bin/sh
echo 'openjdk version "{version}" 2025-01-01' >&2
"""
# Writes one jar into the directory that -DoutputDirectory names, and a line into a journal.
MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) target=${argument#*=};; esac; done
echo fetched >> {journal}
mkdir -p "$target" && echo jar > "$target/kafka.jar"
exit {code}
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty cache, and a path with nothing but what the test installs and /bin's mkdir."""

    class Machine:
        cache = tmp_path / "cache"
        journal = tmp_path / "journal"
        programs = tmp_path / "bin"

        def install(self, name: str, text: str) -> None:
            program = self.programs / name
            program.write_text(text)
            program.chmod(0o755)

        def install_java(self, version: str = "17.0.1") -> None:
            self.install("java", JAVA.replace("{version}", version))

        def install_maven(self, code: int = 0) -> None:
            self.install("mvn", MAVEN.replace("{journal}", str(self.journal)).replace("{code}", str(code)))

    machine = Machine()
    machine.programs.mkdir()
    (machine.programs / "mkdir").symlink_to("/bin/mkdir")
    monkeypatch.setenv("PATH", str(machine.programs))
    monkeypatch.setenv("BITLOOT_CACHE", str(machine.cache))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return machine


def test_without_java_one_sentence_says_so(machine):
    with pytest.raises(MissingTool, match=r"^Java 17 or newer is needed to run Kafka, and there is none .*apt-get"):
        java()


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_an_old_java_is_named(machine, version):
    machine.install_java(version)
    with pytest.raises(
        MissingTool, match=rf"Java 17 or newer is needed to run Kafka; .*/java is {version.split('.')[0]}"
    ):
        java()


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea"])
def test_a_newer_java_will_do(machine, version):
    machine.install_java(version)
    assert java() == str(machine.programs / "java")


def test_java_home_comes_before_the_path(machine, tmp_path, monkeypatch):
    machine.install_java("11")
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (machine.programs / "java").rename(home / "bin" / "java")
    machine.install_java("17")
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(MissingTool, match="is 11"):
        java()


def test_without_maven_one_sentence_says_so(machine):
    machine.install_java()
    with pytest.raises(MissingTool, match="Maven is needed once, to fetch Kafka"):
        kafka_jars()


def test_jars_are_fetched_once(machine):
    machine.install_java()
    machine.install_maven()
    libs = kafka_jars()
    assert libs == machine.cache / f"kafka-{kafka_version()}" / "libs"
    assert [jar.name for jar in libs.iterdir()] == ["kafka.jar"]
    (machine.programs / "mvn").unlink()
    assert kafka_jars() == libs


def test_a_fetch_that_failed_halfway_is_not_taken_for_a_whole_one(machine):
    machine.install_java()
    machine.install_maven(code=1)
    with pytest.raises(FetchFailed, match="Maven could not fetch Kafka"):
        kafka_jars()
    machine.install_maven()
    assert (kafka_jars() / "kafka.jar").exists()
    assert not list(kafka_jars().parent.glob("fetching-*"))


async def test_of_two_at_once_only_one_fetches(machine):
    machine.install_java()
    machine.install_maven()
    one, other = await asyncio.gather(asyncio.to_thread(kafka_jars), asyncio.to_thread(kafka_jars))
    assert one == other
    assert machine.journal.read_text() == "fetched\n"


def test_the_version_is_the_one_of_the_pom():
    assert kafka_version() == "4.3.1"
