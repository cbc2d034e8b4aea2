"""A sweep as a function: what a Python caller gets of it, and how often it reads what is there."""

import signal
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drill import Drill, train_here

from lossbench.errors import RunsFailedError
from lossbench.experiment import read
from lossbench.run import Record
from lossbench.store import TABLES, Store, folder
from lossbench.sweeping import Begun, Event, Held, Plan, plan, sweep

AXES = {
    **{"loss": "blog,docs", "reconstruction_loss": "bce", "beta": "1", "d": "16", "k": "2"},
    **{"hidden": "8", "epochs": "2"},
}


@pytest.fixture(autouse=True)
def _drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process, in no time."""
    monkeypatch.chdir(tmp_path)
    train_here(monkeypatch)


def planned(n_seeds: int = 2, **options: Any) -> Plan:
    """Return the plan of a sweep of two runs a seed."""
    return plan(read(None, AXES | {"seeds": str(n_seeds)}), Path("made"), **options)


def failing(monkeypatch: pytest.MonkeyPatch, **faults: str) -> None:
    """Have the runs of some seeds fail."""
    seeds = {name.removeprefix("seed"): fault for name, fault in faults.items()}
    for name, text in Drill(faults=seeds).environment().items():
        monkeypatch.setenv(name, text)


def test_a_sweep_tells_its_caller_what_happens_and_nobody_else(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The missing runs, then each record once it is written; nothing is printed, nothing caught."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    events: list[Event] = []
    store = Store(Path("made"))
    asked = planned()

    def told(event: Event) -> None:
        events.append(event)
        if isinstance(event, Record):
            assert event.run_id in store.statuses()

    swept = sweep(asked, progress=told)
    begun, *records = events
    assert begun == Begun(asked.runs)
    told_of = [record for record in records if isinstance(record, Record)]
    assert sorted(told_of, key=lambda record: record.run_id) == list(store.records())
    assert len(records) == 4
    assert swept.statuses == store.statuses() == {run.run_id: "ok" for run in asked.runs}
    assert swept.failed == {}
    assert all((store.folder / name).exists() for name in TABLES)
    assert tuple(capfd.readouterr()) == ("", "")
    assert handlers == {number: signal.getsignal(number) for number in signal.valid_signals()}


def test_a_second_sweep_has_nothing_to_do() -> None:
    """Also without anybody to tell."""
    first = sweep(planned())
    events: list[Event] = []
    assert sweep(planned(), progress=events.append).statuses == first.statuses
    assert events == [Begun(())]


def test_each_record_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that the sweep wrote itself; each old one once, whatever there is to do with it."""
    times = Counter[str]()

    def opened(path: str, *arguments: Any, **options: Any) -> Any:
        times[Path(path).stem] += 1
        return open(path, *arguments, **options)  # noqa: PTH123

    def read_by(asked: Plan) -> dict[str, int]:
        times.clear()
        sweep(asked)
        return dict(times)

    monkeypatch.setattr(folder, "open", opened, raising=False)
    assert read_by(planned(2)) == {}
    old = dict.fromkeys((run.run_id for run in planned(2).runs), 1)
    assert read_by(planned(2)) == old
    assert read_by(planned(3)) == old
    old = dict.fromkeys((run.run_id for run in planned(3).runs), 1)
    Path("made/summary.csv").unlink()
    assert read_by(planned(3)) == old
    failing(monkeypatch, seed3="raise")
    assert read_by(planned(4)) == old
    old = dict.fromkeys((run.run_id for run in planned(4).runs), 1)
    assert read_by(planned(4)) == old


def test_tables_do_not_depend_on_how_a_record_came() -> None:
    """Read from the disk, or just trained: the same bytes as when all are read again."""
    sweep(planned(2))
    sweep(planned(4))
    store = Store(Path("made"))
    before = [(store.folder / name).read_bytes() for name in (*TABLES, "timings.csv")]
    for name in (*TABLES, "timings.csv"):
        (store.folder / name).unlink()
    store.rebuild()
    assert before == [(store.folder / name).read_bytes() for name in (*TABLES, "timings.csv")]


def test_what_is_raised_while_it_is_told_ends_a_sweep_that_can_go_on() -> None:
    """The run that was told of is kept, nothing else is; the next sweep trains the rest."""
    stop = KeyboardInterrupt()

    def told(event: Event) -> None:
        if isinstance(event, Record):
            raise stop

    with pytest.raises(KeyboardInterrupt) as caught:
        sweep(planned(), progress=told)
    assert caught.value is stop
    kept = Store(Path("made")).statuses()
    assert len(kept) == 1
    events: list[Event] = []
    sweep(planned(), progress=events.append)
    assert events[0] == Begun(tuple(run for run in planned().runs if run.run_id not in kept))
    assert len(Store(Path("made")).runs()) == 4


def test_failures_are_values_with_their_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that never ended is tried again, one that was not finite only if that is asked for."""
    failing(monkeypatch, seed1="nan")
    swept = sweep(planned())
    bad = {run.run_id: "nan" for run in planned().runs if run.seed == 1}
    assert swept.failed == bad
    assert sweep(planned()).failed == bad
    events: list[Event] = []
    sweep(planned(retry_failed=True), progress=events.append)
    assert [event.run_id for event in events if isinstance(event, Record)] == list(bad)
    failing(monkeypatch)
    assert sweep(planned(retry_failed=True)).failed == {}


def test_a_sweep_that_stops_leaves_tables_of_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five stacks without one success; the sixth is never trained."""
    failing(monkeypatch, **{f"seed{seed}": "raise" for seed in range(8)})
    asked = plan(read(None, AXES | {"k": "1,2,3,4,5,6", "seeds": "4"}), Path("made"))
    with pytest.raises(RunsFailedError, match="stopped: 5 stacks in a row") as caught:
        sweep(asked)
    assert caught.value.where == "made"
    assert list(Store(Path("made")).runs()["status"]) == ["crashed"] * 40


def test_who_waits_for_a_folder_is_told_who_holds_it() -> None:
    """And finds it free, in the end."""
    held, free, events = threading.Event(), threading.Event(), list[Event]()

    def hold() -> None:
        with Store(Path("made")).locked(pytest.fail):
            held.set()
            free.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)

    def told(event: Event) -> None:
        events.append(event)
        free.set()

    sweep(replace(planned(), runs=()), progress=told)
    holder.join()
    first, second = events
    assert isinstance(first, Held)
    assert "process" in first.holder
    assert second == Begun(())
