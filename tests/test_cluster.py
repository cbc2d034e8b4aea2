"""A sweep on a Dask cluster that its own commands started: the same tables, whatever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import TINY, lossbench
from distributed.security import Security

from lossbench import engine
from lossbench.engine import remote
from lossbench.errors import UsageError

TABLES = ("runs.csv", "history.csv", "summary.csv")
GRID = (*TINY[:-1], "12", "--epochs", "30")
TLS = "DASK_DISTRIBUTED__COMM__TLS__"


class Cluster:
    """A scheduler and its workers on this machine, each a process of its own."""

    def __init__(self, folder: Path, *security: str) -> None:
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.security = security
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(json.loads(self.file.read_text("utf-8"))["address"])

    def add_worker(self) -> None:
        """Start one worker of one thread."""
        options = ("--nthreads", "1", "--scheduler-file", str(self.file), "--death-timeout", "20")
        self.workers.append(self._start("worker", *options))

    def kill_worker_process(self) -> None:
        """Kill a process that trains; its nanny starts another."""
        for nanny in self.workers:
            children = Path(f"/proc/{nanny.pid}/task/{nanny.pid}/children").read_text("utf-8")
            for child in children.split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    return

    def _start(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", role, "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *options, *self.security], stdout=log, stderr=log, start_new_session=True
            )

    def close(self) -> None:
        """Kill every process of the cluster."""
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster of two workers."""
    cluster = Cluster(tmp_path)
    cluster.add_worker()
    cluster.add_worker()
    yield cluster
    cluster.close()


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep of the grid."""
    return subprocess.Popen(
        [sys.executable, "-m", "lossbench", "sweep", *GRID, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_record(results: Path) -> None:
    """Wait until a sweep has written a record."""
    deadline = time.monotonic() + 120
    while not list(results.glob("runs/*.json")):
        assert time.monotonic() < deadline, f"{results} never had a record"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_cluster_makes_the_tables_of_one_machine(tmp_path: Path, cluster: Cluster) -> None:
    """A worker is killed and one joins late: every run is done, and the bytes are the same."""
    sweep = started(tmp_path, "--out", "there", "--scheduler-file", str(cluster.file))
    wait_for_record(tmp_path / "there")
    cluster.kill_worker_process()
    cluster.add_worker()
    _, told = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, told
    assert lossbench("sweep", *GRID, "--out", "here", folder=tmp_path).returncode == 0
    for name in TABLES:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.slow
def test_a_dead_scheduler_loses_no_finished_run(tmp_path: Path, cluster: Cluster) -> None:
    """Exit 3 and what to do; the same command elsewhere trains only the rest."""
    sweep = started(tmp_path, "--out", "there", "--scheduler", cluster.address)
    wait_for_record(tmp_path / "there")
    cluster.close()
    _, told = sweep.communicate(timeout=120)
    assert sweep.returncode == 3, told
    assert "the connection to the scheduler is lost" in told
    assert "Traceback" not in told
    done = {path.name: path.read_bytes() for path in (tmp_path / "there/runs").glob("*.json")}
    assert done
    answer = lossbench("sweep", *GRID, "--out", "there", folder=tmp_path)
    assert answer.returncode == 0
    assert f"{len(done)} done" in answer.stderr
    for name, record in done.items():
        assert (tmp_path / "there/runs" / name).read_bytes() == record


@pytest.mark.slow
def test_certificates_of_dasks_configuration_are_used(tmp_path: Path) -> None:
    """A scheduler that speaks TLS alone trains for whoever has the keys, and for nobody else."""
    keys = Security.temporary()
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for name, text in zip(
        files, (keys.tls_ca_file, keys.tls_client_cert, keys.tls_client_key), strict=True
    ):
        files[name].write_text(text, encoding="utf-8")
    options = [f"--tls-{name}={file}" for name, file in files.items() if name != "ca"]
    cluster = Cluster(tmp_path, "--protocol", "tls", f"--tls-ca-file={files['ca']}", *options)
    try:
        cluster.add_worker()
        assert cluster.address.startswith("tls://")
        asked = ("sweep", *TINY, "--out", "there", "--scheduler", cluster.address)
        stranger = lossbench(*asked, folder=tmp_path)
        assert stranger.returncode == 2
        assert "no scheduler answers" in stranger.stderr
        env = {f"{TLS}CA_FILE": str(files["ca"])}
        env |= {f"{TLS}CLIENT__{name.upper()}": str(files[name]) for name in ("cert", "key")}
        known = lossbench(*asked, folder=tmp_path, env=env)
        assert known.returncode == 0, known.stderr
    finally:
        cluster.close()


def test_nobody_at_the_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2: what was tried, and how to start a scheduler."""
    monkeypatch.setattr(remote, "_CONNECT_SECONDS", 1)
    with pytest.raises(UsageError, match="no scheduler answers") as caught:
        remote.join("tcp://127.0.0.1:9").__enter__()
    assert "dask scheduler" in caught.value.remedy
    with pytest.raises(UsageError, match="cannot be read"):
        engine.address_in(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"id": 3}', encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be read"):
        engine.address_in(tmp_path / "other.json")


def test_workers_with_other_versions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of the versions that differ, and nothing is trained; a late one gets no work."""
    with engine.workers(1, tmp_path / "logs") as crew:
        address = crew._client.scheduler.address
        with engine.join(address) as joined:
            assert len(joined._workers()) == 1
        here = remote.versions()
        monkeypatch.setattr(remote, "versions", lambda: here)  # workers answer with their own
        monkeypatch.setattr(
            remote._Roll,
            "_ask",
            lambda roll, workers: roll._there.update(
                dict.fromkeys(workers.values(), here | {"tensorflow": "1.0"})
            ),
        )
        with pytest.raises(UsageError, match="other versions") as caught, engine.join(address):
            pass
        table = caught.value.received.splitlines()
        assert [line.split() for line in table[1:]] == [
            ["here", "0"],
            ["tensorflow", here["tensorflow"], "1.0"],
        ]
        roll = remote._Roll(crew._client)
        assert roll.admitted({"0": "tcp://late"}) == {}
