"""A way to train in processes of its own: one with every core, or one a core at the same time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.size import Size

_SECONDS = 2.0  # that one timing takes
_SETTLE_SECONDS = 0.3  # after a process was stopped
_END_SECONDS = 10.0
_EXPERIMENTS = Path(__file__).parent.parent
_LOG_CHARACTERS = 2000

Setting = Mapping[str, object]


@dataclass(frozen=True)
class Variant:
    """One way in one variant, such as PyTorch at its best.

    ``module`` of ``bench`` prepares it with one of ``settings``; the fastest of them counts.
    ``one_a_core``: a process on each core, which all train at the same time. ``environment``:
    variables of the processes. ``n_epochs``: of one timing, if they are not to be chosen from
    the time that one takes.
    """

    way: str
    variant: str
    module: str
    settings: tuple[Setting, ...]
    one_a_core: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    n_epochs: int | None = None


class Team:
    """The warm processes of one variant with one setting; made by ``fastest``.

    They are stopped while they are not timed, so that they disturb no other: an idle cluster
    takes a tenth of a core.
    """

    def __init__(self, variant: Variant, setting: Setting, size: Size, log: Path) -> None:
        self.setting = setting
        self._log = log
        places = cores() if variant.one_a_core else [None]
        with log.open("w", encoding="utf-8") as errors:
            self._processes = [
                subprocess.Popen(
                    _command(variant.module, size, setting, core),
                    cwd=_EXPERIMENTS,
                    env=os.environ | variant.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
                for core in places
            ]
        ready = [self._answer(process) for process in self._processes]
        self.n_models = sum(n_models for _, n_models in ready)
        seconds = max(seconds for seconds, _ in ready)
        self._n_epochs = variant.n_epochs or max(1, round(_SECONDS / seconds))
        self._signal(signal.SIGSTOP)

    def milliseconds(self) -> float:
        """Return milliseconds per model and epoch, until the last process is done."""
        self._signal(signal.SIGCONT)
        time.sleep(_SETTLE_SECONDS)
        for process in self._processes:
            print(self._n_epochs, file=process.stdin, flush=True)
        seconds = max(self._answer(process)[0] for process in self._processes)
        self._signal(signal.SIGSTOP)
        return 1000 * seconds / (self.n_models * self._n_epochs)

    def close(self) -> None:
        """End the processes, those that are stopped too."""
        self._signal(signal.SIGCONT)
        for process in self._processes:
            try:
                process.communicate(timeout=_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to every process and to those that it has started."""
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                for member in (parent, *parent.children(recursive=True)):
                    member.send_signal(number)

    def _answer(self, process: "subprocess.Popen[str]") -> tuple[float, ...]:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            self.close()
            raise RuntimeError(self._log.read_text("utf-8")[-_LOG_CHARACTERS:])
        return tuple(map(float, line.split()))


def _command(module: str, size: Size, setting: Setting, core: int | None) -> Sequence[str]:
    task = {"size": size.name, "setting": setting, "core": core}
    return [sys.executable, "-m", "bench.child", module, json.dumps(task)]


def fastest(variant: Variant, size: Size, log: Path) -> Team:
    """Return a variant's processes with the setting that is fastest at one size."""
    first, *others = variant.settings
    best = Team(variant, first, size, log)
    least = best.milliseconds() if others else 0.0
    for setting in others:
        team = Team(variant, setting, size, log)
        milliseconds = team.milliseconds()
        slower, best, least = (
            (best, team, milliseconds) if milliseconds < least else (team, best, least)
        )
        slower.close()
    return best


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
