"""`python -m embedded` from outside: real servers and supervision, with stand-ins for our services."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

STANDIN = Path(__file__).parents[2] / "fakes" / "standin_service.py"
SERVICES = (
    "sandbox/__main__",
    "ingress/__main__",
    "fulfillment/__main__",
    "fulfillment/kinguin",
    "fulfillment/selling",
    "delivery/__main__",
    "delivery/order_page",
    "admin_api/__main__",
    "admin_api/sink",
    "ingress/payments",
)
COMMANDS = ("bitloot/topics", "admin_api/migrate")
FIELDS = {
    *("ingress_url", "admin_url", "delivery_url", "sandbox_url", "kafka", "postgres", "s3_endpoint", "s3_bucket"),
    *("pids", "admin_token", "shop_token", "data_dirs", "log_dir"),
}
NAMES = {
    *("kafka", "postgres", "s3", "sandbox", "ingress", "fulfillment", "kinguin", "delivery", "order-page"),
    *("sink", "admin-api", "seller", "payments"),
}


class CommandLine:
    """One run directory, and modules that shadow our services."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.run_dir = home / "run"
        self.modules = home / "modules"
        for service in SERVICES:
            self.write(service, STANDIN.read_text())
        for command in COMMANDS:
            self.write(command, f"print({command!r})")
        self._environ = os.environ | environ
        self._environ |= {"BITLOOT_RUN_DIR": str(self.run_dir), "PYTHONPATH": str(self.modules)}

    def write(self, module: str, code: str) -> None:
        file = self.modules / f"{module}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(code)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "embedded", *arguments],
            env=self._environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0, **environ: str) -> str:
        """Run to the end; a stack that held on to our pipe would keep this waiting."""
        with self.start(*arguments, **environ) as process:
            said, _ = process.communicate(timeout=120)
        assert process.returncode == code, said
        return said

    @property
    def facts(self) -> dict:
        return json.loads((self.run_dir / "stack.json").read_text())

    def processes(self, name: str) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in self.facts["pids"][name]]

    def all_processes(self) -> list[psutil.Process]:
        supervisor = json.loads((self.run_dir / "supervisor.json").read_text())["pid"]
        return [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def ready(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A stack that the tests below share: they may hurt its processes, it heals."""
    line = CommandLine(
        tmp_path_factory.mktemp("standing"), WORKERS="fulfillment=2", KINGUIN_BASE_URL="https://kinguin.example"
    )
    line.said = line.run("up")
    yield line
    line.run("down")


@pytest.fixture
def line(tmp_path):
    line = CommandLine(tmp_path)
    yield line
    line.run("down")


def test_up_tells_the_way_and_writes_the_facts(standing):
    assert standing.facts.keys() == FIELDS
    assert standing.facts["pids"].keys() == NAMES
    assert set(standing.facts["data_dirs"]) == {"kafka", "tables", "postgres", "s3"}
    assert standing.facts["ingress_url"] in standing.said
    for step in ("Kafka", "topics", "PostgreSQL", "migrations", "S3", "bucket", "ingress-1"):
        assert step in standing.said
    for name in ("ingress_url", "admin_url", "delivery_url", "sandbox_url"):
        url = f"{standing.facts[name]}/readyz"
        eventually(partial(ready, url), seconds=60)  # a test before this one may have killed it


def test_up_again_changes_nothing_and_says_so(standing):
    before = standing.facts
    assert "up already" in standing.run("up")
    assert standing.facts == before


def test_logs_are_in_files(standing):
    logs = {log.stem for log in Path(standing.facts["log_dir"]).glob("*.log")}
    assert logs >= {"kafka", "postgres", "s3", "topics", "migrations", "supervisor", "fulfillment-1", "fulfillment-2"}
    assert (Path(standing.facts["log_dir"]) / "topics.log").read_text() == "bitloot/topics\n"


def test_more_workers_of_a_kind_have_names_and_tables_of_their_own(standing):
    environments = [process.environ() for process in standing.processes("fulfillment")]
    assert [each["SERVICE_INSTANCE"] for each in environments] == ["fulfillment-1", "fulfillment-2"]
    assert (
        len({each["FAUST_DATADIR"] for each in environments}) == len({each["HTTP_PORT"] for each in environments}) == 2
    )
    assert environments[0]["FAUST_DATADIR"].startswith(standing.facts["data_dirs"]["tables"])


def test_the_persons_provider_settings_win(standing):
    (worker,) = standing.processes("kinguin")
    assert worker.environ()["KINGUIN_BASE_URL"] == "https://kinguin.example"


def test_the_private_key_is_known_to_the_delivery_worker_alone(standing):
    holders = {
        name for name in NAMES for process in standing.processes(name) if "SEALING_PRIVATE_KEYS" in process.environ()
    }
    assert holders == {"delivery"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_is_killed_is_started_again_and_the_facts_follow(standing, name):
    before = standing.facts["pids"][name]
    os.kill(before[0], signal.SIGKILL)
    after = eventually(lambda: standing.facts["pids"][name] != before and standing.facts["pids"][name])
    assert after[1:] == before[1:]
    assert psutil.Process(after[0]).is_running()


def test_a_command_gets_the_settings_of_the_stack(standing):
    assert standing.run("exec", "printenv", "SHOP_TOKEN").strip() == standing.facts["shop_token"]
    assert standing.run("exec", "--service", "ingress", "printenv", "SEALING_PRIVATE_KEYS", code=1) == ""


def test_two_ups_start_one_stack_and_down_stops_all_of_it(line):
    assert "not up" in line.run("status", code=3)
    assert "not up" in line.run("exec", "true", code=1)
    with line.start("up") as first, line.start("up") as second:
        said = [first.communicate(timeout=120)[0], second.communicate(timeout=120)[0]]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sum("up already" in each for each in said) == 1  # the second waited for the first
    assert "ingress" in line.run("status")
    processes = line.all_processes()
    assert "BitLoot is down" in line.run("down")
    assert gone(processes)
    assert not (line.run_dir / "stack.json").exists()
    assert "was not up" in line.run("down")


def test_nothing_outlives_a_killed_supervisor_and_up_works_again(line):
    line.run("up")
    supervisor, *children = line.all_processes()
    supervisor.kill()
    eventually(lambda: gone(children))
    assert "not up" in line.run("status", code=3)
    line.run("up")
    assert line.facts["pids"].keys() == NAMES


def test_a_service_that_does_not_start_is_shown_with_its_words(line):
    line.write("ingress/__main__", "import sys; sys.exit('SHOP_TOKEN is missing')")
    said = line.run("up", code=1)
    assert "ingress-1 ended at its start with exit code 1" in said
    assert "SHOP_TOKEN is missing" in said
    assert "Traceback" not in said
    assert "not up" in line.run("status", code=3)


# Its first start finds its port taken, by a program that answers as a ready service would.
ROBBED = """
import os, subprocess, sys, time
from pathlib import Path

marker = Path(os.environ["ROBBED_ONCE"])
if not marker.exists():
    marker.touch()
    thief = subprocess.Popen([sys.executable, os.environ["STANDIN"]], start_new_session=True)
    marker.write_text(str(thief.pid))
    import socket
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(os.environ["HTTP_PORT"]))).close()
            break
        except OSError:
            time.sleep(0.02)
    time.sleep(1)  # for the supervisor to be told by the thief that all is well
exec(Path(os.environ["STANDIN"]).read_text())
"""


def test_a_port_that_somebody_took_meanwhile_is_no_port_of_ours(line, tmp_path):
    line.write("admin_api/__main__", ROBBED)
    marker = tmp_path / "robbed"
    try:
        line.run("up", ROBBED_ONCE=str(marker), STANDIN=str(STANDIN))
        thief = psutil.Process(int(marker.read_text()))
        (ours,) = line.processes("admin-api")
        assert line.facts["admin_url"].endswith(f":{ours.environ()['HTTP_PORT']}")
        assert ours.environ()["HTTP_PORT"] != thief.environ()["HTTP_PORT"]
        assert ours.pid in {each.pid for each in psutil.net_connections("tcp") if _listening_at(each, line)}
        (sandbox,) = line.processes("sandbox")
        assert sandbox.environ()["INGRESS_URL"] == line.facts["ingress_url"]
    finally:
        psutil.Process(int(marker.read_text())).kill()


def _listening_at(connection, line) -> bool:
    port = int(line.facts["admin_url"].rsplit(":", 1)[1])
    return connection.status == psutil.CONN_LISTEN and connection.laddr.port == port


def test_a_command_that_fails_ends_the_start(line):
    line.write("bitloot/topics", "import sys; sys.exit('the broker said no')")
    assert "the broker said no" in line.run("up", code=1)
    assert "not up" in line.run("status", code=3)


@pytest.fixture
def interruptible():
    """A shell starts what it puts in the background deaf to Ctrl-C, and all that comes of it inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_it_starts_leaves_nothing(line):
    line.write("ingress/__main__", "import time; time.sleep(60)")  # never ready
    with line.start("up") as up:
        eventually((line.run_dir / "logs" / "ingress-1.log").exists)
        processes = line.all_processes()
        os.killpg(up.pid, signal.SIGINT)
        said, _ = up.communicate(timeout=60)
    assert up.returncode == 130, said
    assert "Traceback" not in said
    assert gone(processes)


def test_a_missing_jdk_is_one_sentence(line, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    said = line.run("up", code=1, PATH=str(programs), JAVA_HOME="")
    assert said.strip().startswith("Java 17 or newer is needed to run Kafka, and there is none")
    assert len(said.strip().splitlines()) == 1


def test_a_mistake_in_workers_is_one_sentence(line):
    assert line.run("up", code=1, WORKERS="ingres=2").strip().startswith("WORKERS: 'ingres' is none of")
