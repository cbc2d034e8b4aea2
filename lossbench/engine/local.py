"""The workers of this machine, from both ends: one-thread processes that end with the sweep.

A worker imports nothing of its parent's but lossbench: neither its main module nor its packages.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import distributed
from distributed.system import MEMORY_LIMIT

import lossbench
from lossbench.engine.dispatch import Engine, log_of, silenced
from lossbench.errors import RunsFailedError
from lossbench.worker import prepare

_START_SECONDS = 600.0
_CLOSE_SECONDS = 3.0
_POLL_SECONDS = 0.05
_DEVICES = Path("/dev")
_HERE = "127.0.0.1"
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.daemon": True,
    # Dask's looking after itself takes 13% of a core while it is idle; with these, 1%.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.diagnostics.nvml": False,  # fails where CUDA_VISIBLE_DEVICES hides every GPU
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.tick.limit": "1h",
    "distributed.comm.timeouts.connect": "60s",
}
# A user's own folder is on no worker's path: a random.py in it is not Python's.
_PROGRAM: tuple[str, ...] = (
    "-P",
    "-c",
    f"import sys; sys.path.insert(0, {str(Path(lossbench.__file__).parent.parent)!r}); "
    "from lossbench.engine.local import main; sys.path.pop(0); main(*sys.argv[1:])",
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def n_cores() -> int:
    """Return the number of cores that this process may use: the workers that pay."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Return the bytes of memory that the machine, or its container, gives."""
    limit: int = MEMORY_LIMIT
    return limit


def _sees_gpu() -> bool:
    """Tell whether the machine shows this process a GPU; TensorFlow may still not use it."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")
    return shown and any(_DEVICES.glob("nvidia[0-9]*"))


@contextmanager
def workers(n_workers: int, log_folder: Path) -> Iterator[Engine]:
    """Start ``n_workers`` workers of this machine; they listen on 127.0.0.1 alone.

    One is enough where TensorFlow has a GPU. ``RunsFailedError`` says why one cannot start.
    """
    with suppress(FileNotFoundError):
        for log in log_folder.glob("worker-*.log"):
            log.unlink()
    with silenced(), dask.config.set(_SETTINGS):
        cluster = distributed.LocalCluster(
            n_workers=0,
            host=_HERE,
            # Dask serves HTTP even without a dashboard, and warns if its own port is taken.
            scheduler_kwargs={"dashboard": False, "dashboard_address": f"{_HERE}:0"},
            silence_logs=logging.CRITICAL,
        )
        crew = _Crew(cluster.scheduler_address, log_folder)
        client = None
        try:
            crew.grow(1 if _sees_gpu() else n_workers)
            client = distributed.Client(cluster, set_as_default=False)
            crew.wait(client)
            engine = Engine(client, log_folder, lambda name, _: crew.end(name), crew.tended)
            if engine.device == "CPU" and len(crew) < n_workers:
                crew.grow(n_workers)
                crew.wait(client)
            yield engine
        finally:
            crew.close()
            for each in (cluster, client):
                with suppress(Exception):
                    if each is not None:
                        each.close(timeout=_CLOSE_SECONDS)


class _Crew:
    """The worker processes by their names; what dies is started again under its name."""

    def __init__(self, address: str, log_folder: Path) -> None:
        self._address, self._log_folder = address, log_folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __len__(self) -> int:
        return len(self._processes)

    def grow(self, n_workers: int) -> None:
        """Start workers until there are so many."""
        for number in range(len(self), n_workers):
            self._start(str(number))

    def wait(self, client: distributed.Client) -> None:
        """Wait until all have joined; ``RunsFailedError`` has the last line of one that has not."""
        deadline = time.monotonic() + _START_SECONDS
        while len(client.scheduler_info(n_workers=-1).get("workers", {})) < len(self):
            for name, process in self._processes.items():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise self._cannot_start(name, process.returncode)
            time.sleep(_POLL_SECONDS)

    def tended(self, workers: dict[str, str]) -> dict[str, str]:
        """Start again who has died; return ``workers``, addresses by name, without those."""
        dead = [name for name, process in self._processes.items() if process.poll() is not None]
        for name in dead:
            self._let_go(name)
            self._start(name)
        return {name: address for name, address in workers.items() if name not in dead}

    def end(self, name: str) -> None:
        """End a worker, which holds nothing: it needs no ceremony, and may be deaf to one."""
        self._processes[name].kill()
        self._processes[name].wait()

    def close(self) -> None:
        """End them all."""
        for process in self._processes.values():
            process.kill()
        for name in self._processes:
            self._let_go(name)

    def _start(self, name: str) -> None:
        """Start a worker that is deaf to Ctrl-C, which a terminal sends to every process.

        It ends when its standard input does: with this process, whatever happens to it.
        """
        log = log_of(self._log_folder, name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file, _deaf_to(signal.SIGINT):
            self._processes[name] = subprocess.Popen(
                [sys.executable, *_PROGRAM, self._address, name],
                env=_ONE_THREAD | os.environ,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
            )

    def _let_go(self, name: str) -> None:
        process = self._processes[name]
        if process.stdin:
            process.stdin.close()
        process.wait()

    def _cannot_start(self, name: str, code: int | None) -> RunsFailedError:
        log = log_of(self._log_folder, name)
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        why = f"no answer in {_START_SECONDS:g} s" if code is None else f"exit code {code}"
        last = next((line for line in reversed(lines) if line.strip()), why)
        return RunsFailedError(
            "the workers cannot start, so nothing was trained",
            where=str(self._log_folder),
            received=last,
            remedy="mend what it says (`make install` installs what lossbench needs), then run "
            "the same command again",
        )


@contextmanager
def _deaf_to(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back; whatever is started meanwhile never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(address: str, name: str) -> None:
    """Work for the scheduler at ``address`` until the parent ends: what a worker process runs."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
    with dask.config.set(_SETTINGS):
        asyncio.run(_work(address, name))


async def _work(address: str, name: str) -> None:
    worker = await distributed.Worker(
        address, name=name, nthreads=1, host=_HERE, dashboard=False, memory_limit=0
    )
    await worker.finished()


def _end_with_parent() -> None:
    """End this process, whatever it does, when its parent's end of standard input is closed."""
    while os.read(0, 1):
        pass
    os._exit(0)
