"""The workers of this machine: one-thread processes that end with the sweep."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path

import dask
import distributed
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from lossbench.engine.dispatch import Engine, log_of, silence
from lossbench.errors import RunsFailedError
from lossbench.worker import prepare

_CLOSE_SECONDS = 3.0
_DEVICES = Path("/dev")

dask.config.set(
    {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.daemon": True,
        # A worker that dies again 15 s after its last death would lose its nanny, and be gone.
        "distributed.deploy.lost-worker-timeout": "1000h",
        # Dask's looking after itself takes 13% of a core while it is idle; with these, 1%.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.admin.tick.interval": "10s",
        "distributed.admin.tick.limit": "1h",
        "distributed.comm.timeouts.connect": "60s",
    }
)


class _Prepare(distributed.WorkerPlugin):
    """Loads TensorFlow in every worker as it starts, also after a restart."""

    name = "lossbench-prepare"

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder

    def setup(self, worker: distributed.Worker) -> None:
        prepare(log_of(self._log_folder, worker.name))


def n_cores() -> int:
    """Return the number of cores that this process may use: the workers that pay."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _sees_gpu() -> bool:
    """Tell whether the machine shows this process a GPU; TensorFlow may still not use it."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")
    return shown and any(_DEVICES.glob("nvidia[0-9]*"))


@contextmanager
def workers(n_workers: int, log_folder: Path) -> Iterator[Engine]:
    """Start ``n_workers`` workers of this machine; they listen on 127.0.0.1 alone.

    One is enough where TensorFlow has a GPU.
    """
    silence()
    with suppress(FileNotFoundError):
        for log in log_folder.glob("worker-*.log"):
            log.unlink()
    loop = _deaf_loop()
    cluster = distributed.LocalCluster(
        loop=loop,
        n_workers=1 if _sees_gpu() else n_workers,
        threads_per_worker=1,
        host="127.0.0.1",
        # Dask serves HTTP even without a dashboard, and warns if its own port is taken.
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )
    client = distributed.Client(cluster, loop=loop, set_as_default=False)

    def restart(name: str, _address: str) -> None:
        _kill(cluster.workers[int(name)])

    try:
        _prepare_all(client, log_folder)
        crew = Engine(client, log_folder, restart)
        if crew.device == "CPU" and len(cluster.workers) < n_workers:
            cluster.scale(n_workers)
            client.wait_for_workers(n_workers)
        yield crew
    finally:
        for nanny in cluster.workers.values():
            nanny.auto_restart = False
            _kill(nanny)
        with suppress(Exception):
            cluster.close(timeout=_CLOSE_SECONDS)
            client.close(timeout=_CLOSE_SECONDS)


def _deaf_loop() -> IOLoop:
    """Start the thread that starts the workers, deaf to Ctrl-C: what it starts is deaf, too.

    A terminal sends Ctrl-C to every process of a program; here the parent alone answers. So it
    does to a hangup, which would end the tracker of shared resources before those who use it;
    started later, the tracker would take the loop's deafness away.
    """
    with _deaf_to(signal.SIGHUP):
        resource_tracker.ensure_running()
    with _deaf_to(signal.SIGINT):
        runner = LoopRunner()
        runner.start()
    return runner.loop


@contextmanager
def _deaf_to(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back; whatever is started meanwhile never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(nanny: distributed.Nanny) -> None:
    """End a worker process, which holds nothing: it needs no ceremony, and may be deaf to one."""
    with suppress(ProcessLookupError, AttributeError, TypeError):
        os.kill(nanny.process.pid, signal.SIGKILL)


def _prepare_all(client: distributed.Client, log_folder: Path) -> None:
    """Prepare every worker; ``RunsFailedError`` says why one cannot be."""
    try:
        client.register_plugin(_Prepare(log_folder))
    except Exception as error:
        raise RunsFailedError(
            "the workers cannot start, so nothing was trained",
            where=str(log_folder),
            received=f"{type(error).__name__}: {error}",
            remedy="mend what it says (`make install` installs what lossbench needs), then run "
            "the same command again",
        ) from error
