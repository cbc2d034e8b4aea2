"""The process that runs a user's code: it ends in time, leaves nothing, and cannot answer back."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from lossbench.auditing import Target, inspection, read_options
from lossbench.auditing.child import Child, child
from lossbench.auditing.probe import Probe
from lossbench.auditing.records import Stopped

AUDITED = Path(__file__).parent / "audited"
PROBE = Probe(12, 3, 5, 5, 1000, (12,), mean=1.0, low=-1.0, high=0.5)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a copy of the hostile file, beside the neighbour that it imports."""
    shutil.copy(AUDITED / "hostile.py", tmp_path / "hostile.py")
    shutil.copy(AUDITED / "bugs.py", tmp_path / "audited_by_neighbour.py")
    return tmp_path / "hostile.py"


@contextmanager
def loaded(file: Path, name: str, limit: float = 30) -> Iterator[Child]:
    """Have a child with a loss in it."""
    with child(limit) as asked:
        asked.load(file, name, {}, {}, 30)
        yield asked


def stopped(asked: Child) -> Stopped:
    """Return why a child does not answer a probe."""
    with pytest.raises(Stopped) as stop:
        asked(PROBE)
    return stop.value


def test_answers_cross_the_pipe_whole(hostile: Path) -> None:
    """From a file that reads its command line and its stdin, and prints."""
    with loaded(hostile, "counts_its_inputs") as asked:
        answer = asked(PROBE)
        assert answer.failure is None
        assert np.isfinite(answer.outputs[0].mean)
        assert asked.found().arguments["x_hat"] == "x_hat"


@pytest.mark.parametrize(
    ("name", "said"),
    [("sends_code", "posix.system"), ("sends_another_record", "an answer of another kind")],
)
def test_what_is_no_record_of_ours_is_never_read(hostile: Path, name: str, said: str) -> None:
    """A pickle that would run a command runs none, and ends the audit."""
    with loaded(hostile, name) as asked:
        failure = stopped(asked).failure
    assert failure.stage == "call crash"
    assert said in failure.message
    assert not (hostile.parent / "planted").exists()


def test_the_limit_is_for_all_answers_together(hostile: Path) -> None:
    """Loading does not count; each answer in time, the whole ends at its deadline."""
    with loaded(hostile, "slow", limit=1.0) as asked:
        started = time.monotonic()
        assert asked(PROBE).failure is None
        failure = stopped_in_a_row(asked)
        assert time.monotonic() - started == pytest.approx(1.0, abs=0.5)
    assert (failure.failure.stage, failure.failure.message) == ("call time", "1")
    assert failure.failure.line.endswith("slow, slow")


def stopped_in_a_row(asked: Child) -> Stopped:
    """Ask until there is no answer any more."""
    try:
        for _ in range(50):
            asked(PROBE)
    except Stopped as stop:
        return stop
    raise AssertionError("it answered to the end")


def test_a_file_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """By the limit of loading, which is its own."""
    file = tmp_path / "endless.py"
    file.write_text("import time\nprint('still here', flush=True)\ntime.sleep(600)\n", "utf-8")
    started = time.monotonic()
    with child(60) as asked, pytest.raises(Stopped) as stop:
        asked.load(file, "loss", {}, {}, 1.0)
    assert time.monotonic() - started < 20
    failure = stop.value.failure
    assert (failure.stage, failure.message, failure.line) == ("load time", "1", "still here")


def test_what_the_users_code_started_ends_with_it(hostile: Path) -> None:
    """The whole group of processes is killed."""
    with loaded(hostile, "leaves_a_process") as asked:
        assert asked(PROBE).failure is None
        pid = int((hostile.parent / "pid").read_text("utf-8"))
        assert psutil.pid_exists(pid)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_callers_script_is_not_run_again(tmp_path: Path) -> None:
    """An audit from a script without a guard for ``__main__`` prints once."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from lossbench.auditing.child import child\n"
        "from lossbench.auditing.probe import Probe\n"
        "print('once')\n"
        "with child(30) as asked:\n"
        f"    asked.load(Path({str(AUDITED / 'bugs.py')!r}), 'right', {{}}, {{}}, 30)\n"
        "    print(asked(Probe(12, 3, 5, 5, 9, (12,))).failure)\n",
        "utf-8",
    )
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (run.stdout, run.stderr) == ("once\nNone\n", "")


def test_an_import_that_takes_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of the file, while it goes on."""
    monkeypatch.setattr(inspection, "_PATIENCE_SECONDS", 0.0)
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.1)\n", encoding="utf-8")
    heard: list[str] = []
    where = Target(tmp_path / "slow.py", "f")
    options = read_options(where, 12, 3, 8, 100, None, None, (), (), None, 20.0)
    told = inspection.attempt(where, options, heard.append)
    assert str(told) == "there is no f"
    assert heard == ["importing slow.py"]
