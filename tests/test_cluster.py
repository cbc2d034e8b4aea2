"""A sweep on a Dask cluster that its own commands started: the same tables, whatever dies."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import TINY, Note, lossbench, trials, unkept
from distributed.security import Security
from drill import Drill
from test_kills import finished, ids, noted
from test_kills import tables as tables_of

from lossbench import engine
from lossbench.engine import remote
from lossbench.errors import UsageError
from lossbench.store import Store

NETS = Path(__file__).parent.parent / "experiments" / "nets.py"
TABLES = ("runs.csv", "history.csv", "summary.csv")
GRID = (*TINY[:-1], "12", "--epochs", "30")
TLS = "DASK_DISTRIBUTED__COMM__TLS__"


class Cluster:
    """A scheduler and its workers on this machine, each a process of its own.

    With a ``drill`` the workers train as it says, else as they always do.
    """

    def __init__(self, folder: Path, *security: str, drill: Drill | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.security = security
        self.drill = drill
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
        preload = ("--preload", "drill") if self.drill else ()
        self.workers.append(self._start("worker", *options, *preload))

    def kill_worker_process(self) -> None:
        """Kill a process that trains; its nanny starts another."""
        for nanny in random.sample(self.workers, len(self.workers)):
            children = Path(f"/proc/{nanny.pid}/task/{nanny.pid}/children").read_text("utf-8")
            for child in children.split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    return

    def _start(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", role, "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *options, *self.security],
                env=self.drill.environment() if self.drill else None,
                stdout=log,
                stderr=log,
                start_new_session=True,
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


def started(folder: Path, *arguments: str, grid: tuple[str, ...] = GRID) -> subprocess.Popen[str]:
    """Start a sweep of the grid."""
    return subprocess.Popen(
        [sys.executable, "-m", "lossbench", "sweep", *grid, *arguments],
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
def test_an_own_network_travels_to_a_cluster(tmp_path: Path, cluster: Cluster) -> None:
    """Its file is gone and the process that had read it is killed: the bytes are the same."""
    file = tmp_path / "nets.py"
    file.write_bytes(NETS.read_bytes())
    grid = ("--network", "nets.py:normalised", "--d", "64", "--k", "2,3", "--beta", "1")
    grid += ("--loss", "docs", "--reconstruction-loss", "bce", "--epochs", "30", "--seeds", "3")
    assert lossbench("sweep", *grid, "--out", "here", folder=tmp_path).returncode == 0
    to = ("--out", "there", "--scheduler-file", str(cluster.file))
    sweep = started(tmp_path, *to, grid=grid)
    wait_for_record(tmp_path / "there")
    file.unlink()
    cluster.kill_worker_process()
    _, told = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, told
    for name in TABLES:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def ended(sweep: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a sweep; return its exit code and its messages."""
    _, told = sweep.communicate(timeout=300)
    return sweep.returncode, told


def drilled_grid(n_stacks: int, n_seeds: int = 8) -> tuple[str, ...]:
    """Return the options of a grid of so many stacks, each of a run a seed."""
    latents = ",".join(str(k) for k in range(1, n_stacks + 1))
    return (
        *("--d", "16", "--k", latents, "--hidden", "8", "--epochs", "2", "--beta", "1"),
        *("--loss", "docs", "--reconstruction-loss", "bce", "--seeds", str(n_seeds)),
    )


@pytest.mark.slow
def test_workers_die_every_two_seconds(tmp_path: Path, note: Note) -> None:
    """Three workers, one of them killed again and again: every run is done, the bytes the same."""
    n_stacks, n_kills = trials(8, 40), 0
    grid = drilled_grid(n_stacks, trials(8, 16))
    cluster = Cluster(tmp_path / "cluster", drill=Drill(seconds=0.25))
    try:
        for _ in range(3):
            cluster.add_worker()
        sweep = started(
            tmp_path, "--out", "there", "--scheduler-file", str(cluster.file), grid=grid
        )
        wait_for_record(tmp_path / "there")
        until = time.monotonic() + 60
        while sweep.poll() is None and time.monotonic() < until:
            cluster.kill_worker_process()
            n_kills += 1
            with suppress(subprocess.TimeoutExpired):
                sweep.wait(2)
        code, told = ended(sweep)
    finally:
        cluster.close()
    assert n_kills >= trials(2, 25)
    assert finished(tmp_path, Drill(), "--out", "here", grid=grid)[0] == 0
    equal = tables_of(tmp_path / "there") == tables_of(tmp_path / "here")
    ok = Store(tmp_path / "there").runs().groupby("k")["status"].agg(lambda s: (s == "ok").all())
    same = "byte-identical to" if equal else "other than those of"
    note(
        "workers of a cluster die",
        n_kills,
        n_kills if code == 0 and equal else 0,
        f"{ok.sum()} of {n_stacks} stacks done, tables {same} a local sweep",
        "kill -9 of a random one of 3 workers every 2 s until the sweep is done, at most a minute",
    )
    assert code == 0, told
    assert equal


@pytest.mark.slow
def test_a_dead_scheduler_loses_no_finished_run(tmp_path: Path, note: Note) -> None:
    """Exit 3 and what to do; the same command elsewhere trains only the rest."""
    n_trials, broken, n_done, n_lost = trials(1, 10), [], [], 0
    grid, rng = drilled_grid(4), random.Random(4)  # noqa: S311 - nothing is kept secret
    assert finished(tmp_path, Drill(), "--out", "whole", grid=grid)[0] == 0
    for number in range(n_trials):
        out, log = tmp_path / f"there-{number}", tmp_path / "log"
        cluster = Cluster(tmp_path / f"cluster-{number}", drill=Drill(seconds=0.1, log=str(log)))
        try:
            cluster.add_worker()
            sweep = started(tmp_path, "--out", str(out), "--scheduler", cluster.address, grid=grid)
            wait_for_record(out)
            time.sleep(rng.uniform(0, 2))  # of the 2.4 s that the other three stacks take
            cluster.close()
            code, told = ended(sweep)
        finally:
            cluster.close()
        failed = unkept(
            exit_code=code == 3,
            no_traceback="Traceback" not in told,
            why_is_told="the connection to the scheduler is lost" in told,
        )
        done = {path: path.read_bytes() for path in out.glob("runs/*.json")}
        n_done.append(len(done))
        noted(log)
        code, told = finished(tmp_path, Drill(log=str(log)), "--out", str(out), grid=grid)
        n_lost += sum(not path.exists() for path in done)
        rest = ids(out) - {path.stem for path in done}
        failed += unkept(
            some_are_done=len(done) > 0,
            done_runs_are_told=f"{len(done)} done" in told,
            exit_code_of_the_second=code == 0,
            only_the_rest_is_trained=set(noted(log)) == rest,
            no_finished_run_is_lost=all(path.exists() for path in done),
            equal_records={p: p.read_bytes() for p in done if p.exists()} == done,
            equal_tables=tables_of(out) == tables_of(tmp_path / "whole"),
        )
        broken += [(failed, number, code, told)] if failed else []
    note(
        "the scheduler of a cluster dies",
        n_trials,
        n_trials - len(broken),
        f"{n_lost} completed runs lost ({min(n_done)} to {max(n_done)} of 32 were done)",
        "kill -9 at a random moment; exit 3; the same command trains the rest",
    )
    assert broken == []


@pytest.mark.slow
def test_a_client_of_a_cluster_and_a_local_one_share_a_folder(tmp_path: Path, note: Note) -> None:
    """Whoever comes first trains, the other waits and finds nothing to do."""
    n_trials, broken, grid, log = trials(1, 5), [], drilled_grid(3), tmp_path / "log"
    cluster = Cluster(tmp_path / "cluster", drill=Drill(seconds=0.02, log=str(log)))
    try:
        cluster.add_worker()
        for number in range(n_trials):
            out = tmp_path / f"shared-{number}"
            there = ("--out", str(out), "--scheduler-file", str(cluster.file))
            sweep = started(tmp_path, *there, grid=grid)
            if number % 2:
                wait_for_record(out)  # else both start at once
            local = finished(
                tmp_path, Drill(seconds=0.02, log=str(log)), "--out", str(out), grid=grid
            )
            answers = [ended(sweep), local]
            trained = noted(log)
            failed = unkept(
                exit_codes=[code for code, _ in answers] == [0, 0],
                one_has_nothing_to_do=sum("24 runs, 24 done\n" in t for _, t in answers) == 1,
                no_run_is_trained_twice=len(trained) == 24,
                every_run_is_trained=set(trained) == ids(out),
            )
            broken += [(failed, number, answers, trained)] if failed else []
    finally:
        cluster.close()
    note(
        "two clients, one folder",
        n_trials,
        n_trials - len(broken),
        "one local and one of a cluster; every run trained once",
    )
    assert broken == []


@pytest.mark.slow
def test_all_workers_may_be_gone_for_a_while(tmp_path: Path, note: Note) -> None:
    """The sweep waits for others; an interrupted client keeps its runs and leaves the workers."""
    grid, gone = drilled_grid(3), trials(5, 60)
    cluster = Cluster(tmp_path / "cluster", drill=Drill(seconds=0.1))
    options = ("--out", "there", "--scheduler-file", str(cluster.file))
    try:
        cluster.add_worker()
        sweep = started(tmp_path, *options, grid=grid)
        wait_for_record(tmp_path / "there")
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(sweep.communicate(timeout=gone))
        cluster.add_worker()
        code, told = ended(sweep)
        assert code == 0, told
        wider = (*grid[:-1], "16")
        sweep = started(tmp_path, *options, grid=wider)
        deadline = time.monotonic() + 60
        while len(ids(tmp_path / "there")) == 24 and time.monotonic() < deadline:
            time.sleep(0.02)
        sweep.send_signal(signal.SIGINT)
        code, told = ended(sweep)
        assert (code, "finished runs are kept" in told) == (130, True), told
        assert 24 < len(ids(tmp_path / "there")) < 48
        assert cluster.workers[1].poll() is None
        code, told = ended(started(tmp_path, *options, grid=wider))
        assert code == 0, told
    finally:
        cluster.close()
    assert len(ids(tmp_path / "there")) == 48
    note("all workers of a cluster are gone", 1, 1, f"for {gone} s; every run done")


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
    secured = ("--protocol", "tls", f"--tls-ca-file={files['ca']}", *options)
    cluster = Cluster(tmp_path, *secured, drill=Drill())
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


@pytest.mark.slow
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
