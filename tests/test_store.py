"""The store: whole records or none, tables that follow from them, one writer at a time."""

import contextlib
import errno
import hashlib
import io
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faults import STEPS, FaultyOs
from rich.console import Console
from scipy.stats import t

from lossbench.console.summary import summary_tables
from lossbench.errors import ResultsError
from lossbench.experiment import RunSettings, read
from lossbench.schema import FORMAT_VERSION, HISTORY, METRIC_COLUMNS, RUNS, TIMINGS, Status
from lossbench.store import TABLES, Record, Store, folders, records
from lossbench.store.records import DamagedRecord, decoded, encoded, id_and_status, write_whole
from lossbench.store.tables import cell

_HISTORY = ("elbo", "reconstruction", "kl", "active_units", "objective")
_FILES = (*TABLES, "timings.csv")


def _runs(**overrides: str) -> tuple[RunSettings, ...]:
    """Return the runs of a small grid: two losses and three seeds."""
    single = {"reconstruction_loss": "bce", "beta": "1", "d": "64", "k": "2"}
    return read(overrides=single | overrides).runs()


def _record(run: RunSettings, status: Any = "ok", elbo: float | None = None) -> Record:
    """Return a record whose numbers follow from the run's id."""
    random_number = random.Random(run.run_id).random  # noqa: S311 - nothing is kept secret
    metrics: dict[str, Any] = {name: random_number() for name in METRIC_COLUMNS}
    metrics |= {"elbo": -25 - random_number() if elbo is None else elbo}
    metrics |= {"active_units": 2, "collapsed": False}
    failed = status in ("crashed", "timeout")
    return Record(
        run_id=run.run_id,
        status=status,
        settings={**run.identity(), "hidden": list(run.hidden)},
        derived={
            "a": run.a,
            "b": run.b,
            "beta_eff": run.beta_eff,
            "threshold": 3.32115419,
            "predicted_active_units": 2,
            "implied_sigma": None,
        },
        metrics={} if failed else metrics,
        history={}
        if failed
        else {"epoch": [100, 200]}
        | {name: [random_number(), -1.5] for name in _HISTORY}
        | {"active_units": [1, 2]},
        provenance={"python": "3.11.7", "threads": 1},
        timing={} if failed else {"wall_seconds": 0.25, "stack_members": 3, "host": "é"},
        message="line one\nline two" if failed else "",
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a locked store in an empty folder."""
    store = Store(tmp_path / "results" / "tiny")
    with store.locked(pytest.fail):
        yield store


def _path(store: Store, record: Record) -> Path:
    return store.folder / "runs" / f"{record.run_id}.json"


def _tables(store: Store) -> dict[str, bytes]:
    return {name: (store.folder / name).read_bytes() for name in _FILES}


# Records.


@pytest.mark.parametrize("status", ["ok", "nan", "crashed", "timeout"])
def test_a_record_reads_back_as_it_was_written(store: Store, status: str) -> None:
    """Settings, metrics, history, provenance, timing and message survive the disk."""
    record = _record(_runs()[0], status)
    store.save(record, {})
    assert list(store.records()) == [record]
    assert store.statuses() == {record.run_id: status}


def test_numbers_that_are_not_finite_are_stored_as_unknown(store: Store) -> None:
    """JSON has no NaN: None comes back, and the file is JSON for every reader."""
    record = _record(_runs()[0], "nan")
    broken = replace(
        record,
        metrics=record.metrics | {"elbo": math.nan, "kl": math.inf},
        history=record.history | {"elbo": [-1.0, -math.inf]},
    )
    store.save(broken, {})
    (found,) = store.records()
    assert (found.metrics["elbo"], found.metrics["kl"]) == (None, None)
    assert found.history["elbo"] == [-1.0, None]


def test_arrays_lie_beside_the_record(store: Store) -> None:
    """The .npz has the arrays as they were, and no pickle in it."""
    record = _record(_runs()[0])
    means = np.arange(6, dtype=np.float32).reshape(3, 2)
    store.save(record, {"latent_means": means})
    with np.load(_path(store, record).with_suffix(".npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["latent_means"], means)
        assert arrays["latent_means"].dtype == np.float32


def test_saving_again_replaces_a_record(store: Store) -> None:
    """A run that crashed and is trained again has one record, the new one."""
    run = _runs()[0]
    store.save(_record(run, "crashed"), {})
    store.save(_record(run), {})
    assert store.statuses() == {run.run_id: "ok"}


def test_any_changed_byte_is_noticed() -> None:
    """Whichever byte of a record's file is flipped, the record is damaged."""
    record = _record(_runs()[0])
    path = f"{record.run_id}.json"
    raw = encoded(record)
    assert decoded(raw, path) == record
    for place in range(len(raw)):
        for bit in (1, 128):
            flipped = raw[:place] + bytes([raw[place] ^ bit]) + raw[place + 1 :]
            for reading in (decoded, id_and_status):
                with pytest.raises(DamagedRecord):
                    reading(flipped, path)


@pytest.mark.parametrize("status", ["ok", "nan", "crashed", "timeout"])
def test_a_status_is_read_without_the_rest(status: Status) -> None:
    """The short way says what the long way does, and also whose record it is not."""
    record = replace(_record(_runs()[0]), status=status)
    raw = encoded(record)
    assert id_and_status(raw, f"runs/{record.run_id}.json") == (record.run_id, status)
    with pytest.raises(DamagedRecord):
        id_and_status(raw, "runs/another.json")
    with pytest.raises(ResultsError, match="format"):
        id_and_status(encoded(replace(record, format=99)), f"{record.run_id}.json")


def test_any_truncation_or_addition_is_noticed() -> None:
    """Whichever prefix of a record's file is left, or whatever is added, it is damaged."""
    record = _record(_runs()[0])
    raw = encoded(record)
    for damaged in (*(raw[:length] for length in range(len(raw))), raw + b"\n", b" " + raw):
        with pytest.raises(DamagedRecord):
            decoded(damaged, f"{record.run_id}.json")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_record_is_set_aside_and_kept(store: Store, damage: str) -> None:
    """It counts as missing, is renamed and never deleted; the others are read on."""
    first, second, third = map(_record, _runs()[:3])
    for record in (first, second, third):
        store.save(record, {})
    raw, other = _path(store, first).read_bytes(), _path(store, second).read_bytes()
    damaged = {"flip": raw[:200] + b"~" + raw[201:], "cut": raw[:-1], "empty": b"", "swap": other}
    _path(store, first).write_bytes(damaged[damage])
    expected = [second, third]
    if damage == "swap":
        _path(store, second).write_bytes(raw)
        expected = [third]
    assert list(store.records()) == sorted(expected, key=lambda record: record.run_id)
    aside = _path(store, first).with_name(f"{first.run_id}.json.damaged")
    assert aside.read_bytes() == damaged[damage]
    assert not _path(store, first).exists()
    store.save(first, {})
    assert store.statuses()[first.run_id] == "ok"


def test_a_record_of_another_version_is_not_called_damaged(store: Store) -> None:
    """A format that this version does not know is an error, and the record stays where it is."""
    record = replace(_record(_runs()[0]), format=2)
    store.save(record, {})
    with pytest.raises(ResultsError, match="use the version of lossbench that wrote it"):
        store.statuses()
    assert _path(store, record).exists()


# Whole or not at all.


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_refuses_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    """Old bytes or new ones stand, no temporary is left, and the error names path and remedy."""
    path = tmp_path / "runs.csv"
    write_whole(path, b"old")

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(records, "os", FaultyOs(STEPS.index(step) + 1, refuse))
        with pytest.raises(ResultsError, match=os.strerror(code)) as caught:
            write_whole(path, b"new")
    assert caught.value.where == str(path)
    assert "free some space" in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_is_killed_leaves_the_old_file_whole(tmp_path: Path, step: str) -> None:
    """A process that dies in a step of a write leaves a stray, which the lock sweeps up."""
    store = Store(tmp_path)
    with store.locked(pytest.fail):
        store.save(_record(_runs()[0]), {})
    path = _path(store, _record(_runs()[0]))
    old = path.read_bytes()
    code = (
        "import os, sys; from pathlib import Path; from lossbench.store import records;"
        "from faults import STEPS, FaultyOs;"
        "records.os = FaultyOs(STEPS.index(sys.argv[2]) + 1, lambda: os.kill(os.getpid(), 9));"
        "records.write_whole(Path(sys.argv[1]), b'new')"
    )
    command = [sys.executable, "-c", code, path, step]
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": here})
    assert died.returncode == -signal.SIGKILL
    assert path.read_bytes() == old
    assert len(list(path.parent.iterdir())) == (1 if step == "open" else 2)
    with store.locked(pytest.fail):
        assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in the place of the folder is a clear error with --out to use."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResultsError, match="--out"),
        Store(tmp_path / "file" / "tiny").locked(pytest.fail),
    ):
        pytest.fail("nothing can be locked there")


# Tables.


def test_a_table_has_its_columns_and_a_row_a_run(store: Store) -> None:
    """runs.csv, history.csv and timings.csv carry what the records say, in the order of schema."""
    runs = _runs()
    for run in runs:
        store.save(_record(run), {})
    store.rebuild()
    table = pd.read_csv(store.folder / "runs.csv", keep_default_na=False, dtype=str)
    assert list(table.columns) == [column.name for column in RUNS]
    assert sorted(table["run_id"]) == sorted(run.run_id for run in runs)
    for row in table.itertuples():
        record = next(record for record in store.records() if record.run_id == row.run_id)
        assert float(row.elbo) == record.metrics["elbo"]
        assert (row.hidden, row.status, row.collapsed) == ("64", "ok", "false")
        assert float(row.beta_eff) == record.derived["beta_eff"]
    history = store.history()
    assert list(history.columns) == [column.name for column in HISTORY]
    assert len(history) == 2 * len(runs)
    timings = pd.read_csv(store.folder / "timings.csv")
    assert list(timings.columns) == [column.name for column in TIMINGS]
    assert set(timings["wall_seconds"]) == {0.25}


def test_an_unknown_cell_is_empty_and_never_0(store: Store) -> None:
    """A crashed run has no metrics, an unset sigma no number, a missing metric no value."""
    crashed, unknown = _runs()[:2]
    store.save(_record(crashed, "crashed"), {})
    record = _record(unknown, "nan")
    store.save(replace(record, metrics=record.metrics | {"elbo": math.nan}), {})
    store.rebuild()
    table = pd.read_csv(store.folder / "runs.csv", keep_default_na=False, dtype=str)
    rows = table.set_index("run_id")
    assert (rows.loc[crashed.run_id, list(METRIC_COLUMNS)] == "").all()
    assert rows.loc[unknown.run_id, "elbo"] == ""
    assert rows.loc[unknown.run_id, "kl"] != ""
    assert (rows["implied_sigma"] == "").all()
    typed = store.runs().set_index("run_id")
    assert typed.loc[crashed.run_id, list(METRIC_COLUMNS)].isna().all()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (-math.inf, ""),
        (0, "0"),
        (0.0, "0.0"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        (True, "true"),
        (False, "false"),
        ("blog", "blog"),
    ],
)
def test_a_cell_says_what_is_known_and_no_more(value: object, text: str) -> None:
    """Unknown and 0 are different cells; a float is written so that it reads back exactly."""
    assert cell(value) == text


def test_a_rebuild_changes_nothing_the_second_time(store: Store) -> None:
    """Tables are byte-identical, and files that stay the same are not even touched."""
    for run in _runs():
        store.save(_record(run), {})
    store.rebuild()
    before = _tables(store)
    stamps = {name: (store.folder / name).stat().st_mtime_ns for name in _FILES}
    store.rebuild()
    assert _tables(store) == before
    assert stamps == {name: (store.folder / name).stat().st_mtime_ns for name in _FILES}


@pytest.mark.parametrize("seed", range(3))
def test_tables_do_not_depend_on_the_order_of_training(tmp_path: Path, seed: int) -> None:
    """However the runs came in, and however often the sweep was interrupted, the bytes agree."""
    records = [
        _record(run, "nan" if number % 5 == 0 else "ok")
        for number, run in enumerate(_runs(beta="0.1,1", hidden="64,linear"))
    ]
    shuffled = random.Random(seed).sample(records, len(records))  # noqa: S311 - as above
    found = []
    for name, order in (("once", records), ("interrupted", shuffled)):
        store = Store(tmp_path / name)
        with store.locked(pytest.fail):
            for number, record in enumerate(order):
                store.save(record, {})
                if name == "interrupted" and number % 7 == 0:
                    store.rebuild()
            store.rebuild()
        found.append(_tables(store))
    assert found[0] == found[1]


def test_a_rebuild_keeps_rows_that_have_no_record(store: Store) -> None:
    """The tables are committed and the records are not: a clone loses nothing by a rebuild."""
    runs = _runs()
    for run in runs:
        store.save(_record(run), {})
    store.rebuild()
    before = _tables(store)
    for run in runs[::2]:
        (store.folder / "runs" / f"{run.run_id}.json").unlink()
    store.rebuild()
    assert _tables(store) == before
    more = _runs(seeds="4")
    for run in more:
        if run not in runs:
            store.save(_record(run), {})
    store.rebuild()
    assert sorted(store.runs()["run_id"]) == sorted(run.run_id for run in more)


def test_a_rebuild_takes_the_record_over_the_row(store: Store) -> None:
    """A run that was trained again has its new numbers in the tables."""
    run = _runs()[0]
    store.save(_record(run, "crashed"), {})
    store.rebuild()
    store.save(_record(run, elbo=-7.25), {})
    store.rebuild()
    assert store.runs()["elbo"].tolist() == [-7.25]
    assert store.runs()["status"].tolist() == ["ok"]


@pytest.mark.parametrize(
    "line", ["<<<<<<< HEAD", "a,b", ",".join(["x"] * 80), ",".join(["x"] * len(RUNS)), 'x,"y']
)
def test_a_table_that_was_damaged_by_hand_is_refused(store: Store, line: str) -> None:
    """A merge conflict in a committed table is an error that names it, and nothing is lost."""
    store.save(_record(_runs()[0]), {})
    store.rebuild()
    path = store.folder / "runs.csv"
    path.write_text(path.read_text() + line + "\n")
    before = path.read_bytes()
    with pytest.raises(ResultsError) as caught:
        store.rebuild()
    assert str(path) in caught.value.where
    assert path.read_bytes() == before


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    """The message says what a results folder is and how to get one."""
    with pytest.raises(ResultsError, match="lossbench sweep"):
        Store(tmp_path).runs()


def test_results_folders_are_those_with_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every folder under results/ that holds a runs.csv is found, in order."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResultsError, match="there are no results yet"):
        folders()
    for name in ("b", "a", "empty"):
        (tmp_path / "results" / name).mkdir(parents=True)
    for name in ("b", "a"):
        (tmp_path / "results" / name / "runs.csv").write_text("run_id\n")
    assert folders() == [Path("results/a"), Path("results/b")]
    assert folders(Path("elsewhere")) == [Path("elsewhere")]


# The summary.


def _summary(store: Store, records: Sequence[Record]) -> pd.DataFrame:
    for record in records:
        store.save(record, {})
    store.rebuild()
    written = pd.read_csv(store.folder / "summary.csv")
    assert list(written.columns) == list(store.summary().columns)
    return written


def test_the_summary_has_a_t_interval_over_seeds(store: Store) -> None:
    """Mean and half width of three seeds are those of scipy's t distribution."""
    values = [-25.0, -25.5, -24.2]
    runs = _runs(loss="docs")
    (row,) = _summary(
        store, [_record(run, elbo=elbo) for run, elbo in zip(runs, values, strict=True)]
    ).to_dict("records")
    low, high = t.interval(
        0.95, df=2, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(3)
    )
    assert row["n_seeds"] == 3
    assert row["elbo"] == pytest.approx(np.mean(values), rel=1e-12)
    assert row["elbo_ci95"] == pytest.approx((high - low) / 2, rel=1e-9)
    assert (row["loss"], row["beta_eff"], row["threshold"]) == ("docs", 1.0, 3.32115419)
    assert "seed" not in row


def test_one_seed_has_a_mean_and_no_interval(store: Store) -> None:
    """With n_seeds 1 every half width is empty."""
    table = _summary(store, [_record(_runs(loss="docs")[0], elbo=-25.0)])
    (row,) = table.to_dict("records")
    assert (row["n_seeds"], row["elbo"]) == (1, -25.0)
    assert all(math.isnan(row[f"{name}_ci95"]) for name in METRIC_COLUMNS)
    assert b",nan" not in (store.folder / "summary.csv").read_bytes().lower()


@pytest.mark.parametrize("status", ["nan", "crashed", "timeout"])
def test_a_run_that_failed_is_counted_out(store: Store, status: str) -> None:
    """Two good seeds of three are the mean of two, with the interval of two."""
    first, second, third = _runs(loss="docs")
    table = _summary(
        store,
        [_record(first, elbo=-24.0), _record(second, elbo=-26.0), _record(third, status, -9e9)],
    )
    (row,) = table.to_dict("records")
    assert (row["n_seeds"], row["elbo"]) == (2, -25.0)
    half_width = t.ppf(0.975, df=1) * math.sqrt(2) / math.sqrt(2)
    assert row["elbo_ci95"] == pytest.approx(half_width, rel=1e-9)


def test_a_setting_of_which_every_run_failed_is_empty(store: Store) -> None:
    """It stays in the summary with n_seeds 0 and no number."""
    table = _summary(store, [_record(run, "nan") for run in _runs(loss="docs")])
    (row,) = table.to_dict("records")
    assert row["n_seeds"] == 0
    assert all(math.isnan(row[name]) for name in METRIC_COLUMNS)
    assert math.isnan(row["still_improving"])


def test_the_summary_has_a_row_a_setting(store: Store) -> None:
    """Settings are never mixed: every axis but the seed makes a row, collapse is a share."""
    runs = _runs(beta="0.1,1", hidden="64,linear", learning_rate="0.001,0.01", epsilon="1e-7,1e-8")
    records = [_record(run) for run in runs]
    records = [
        replace(record, metrics=record.metrics | {"collapsed": run.seed == 1})
        for run, record in zip(runs, records, strict=True)
    ]
    table = _summary(store, records)
    assert len(table) == 2 * 2 * 2 * 2 * 2
    assert set(table["n_seeds"]) == {3}
    np.testing.assert_allclose(table["collapsed"], 1 / 3)


@pytest.mark.parametrize(("gain", "expected"), [(0.3, True), (0.05, False), (-1.0, False)])
def test_a_setting_that_was_still_improving_is_marked(
    store: Store, gain: float, expected: bool
) -> None:
    """The mark is for a mean ELBO that rose by more than 0.1 nats in the last tenth."""
    records = []
    for run in _runs(loss="docs"):
        record = _record(run)
        elbo = [-90.0, -30.0, -30.0 + gain * 0.9, -30.0 + gain]
        history = {name: [1.0] * 4 for name in _HISTORY} | {"elbo": elbo}
        records.append(replace(record, history=history | {"epoch": [100, 180, 190, 200]}))
    (row,) = _summary(store, records).to_dict("records")
    assert row["still_improving"] is expected


# The frozen experiment.


def test_the_frozen_experiment_comes_back_with_its_data(store: Store) -> None:
    """A folder knows what it holds: the runs and the hashes of the data they were trained on."""
    asked = read(overrides={"d": "64"}).resolved(lambda _: (64, 1437))
    assert store.frozen() is None
    store.freeze(replace(asked, data_sha256={"digits at d=64": "ab" * 32}))
    frozen = store.frozen()
    assert frozen is not None
    assert frozen.data_sha256 == {"digits at d=64": "ab" * 32}
    assert frozen.runs() == asked.runs()


# One writer at a time.

_HOLD = """
import sys
from pathlib import Path
from lossbench.store import Store
with Store(Path(sys.argv[1])).locked(lambda holder: print("waits for", holder, flush=True)):
    print("holds", Path(sys.argv[1], "released").exists(), flush=True)
    sys.stdin.readline()
"""


def _process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_told_who_holds_the_folder_and_waits(tmp_path: Path) -> None:
    """It names user, host and process, and goes on only once the first has let go."""
    with contextlib.ExitStack() as lock:
        lock.enter_context(Store(tmp_path).locked(pytest.fail))
        with _process(tmp_path) as second:
            told = _line(second)
            assert told.startswith("waits for ")
            assert told.endswith(f"process {os.getpid()}")
            (tmp_path / "released").touch()
            lock.close()
            assert _line(second) == "holds True"
            second.communicate("\n")


def test_a_holder_that_was_killed_blocks_nobody(tmp_path: Path) -> None:
    """The lock dies with its process, whatever stands in its file."""
    with _process(tmp_path) as holder:
        assert _line(holder) == "holds False"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert f"process {holder.pid}" in (tmp_path / ".lock").read_text()
        with Store(tmp_path).locked(pytest.fail):
            assert f"process {os.getpid()}" in (tmp_path / ".lock").read_text()


def test_a_waiter_is_never_told_of_a_holder_who_has_gone(tmp_path: Path) -> None:
    """Whoever lets go takes the name off the door."""
    with Store(tmp_path).locked(pytest.fail):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert (tmp_path / ".lock").read_text().strip() == ""


@pytest.mark.parametrize("name", ["runs", "logs", ".lock"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """A results folder from somebody else cannot have us write elsewhere."""
    folder, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / name).symlink_to(elsewhere / "file" if name == ".lock" else elsewhere)
    with pytest.raises(ResultsError, match="link"), Store(folder).locked(pytest.fail):
        pytest.fail("nothing can be locked there")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["experiment.toml", "runs.csv", "runs/x.json"])
def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path, name: str) -> None:
    """What a link leads to keeps its bytes."""
    (tmp_path / "runs").mkdir()
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / name).symlink_to(target)
    write_whole(tmp_path / name, b"new")
    assert target.read_bytes() == b"mine"
    assert (tmp_path / name).read_bytes() == b"new"


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"[" * 100_000, b'{"run_id": "x", "y": 1}'])
def test_a_record_made_up_by_somebody_is_damaged(body: bytes) -> None:
    """A right checksum alone makes no record."""
    digest = hashlib.sha256(body).hexdigest().encode()
    raw = b'{"sha256": "' + digest + b'",\n"record": ' + body + b"}\n"
    with pytest.raises(ResultsError):
        decoded(raw, "x.json")


# Results of every version of the format.


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_old_results_stay_readable(tmp_path: Path, version: int) -> None:
    """Records and tables of a kept folder read as they did, and a rebuild keeps every cell."""
    folder = tmp_path / "old"
    shutil.copytree(Path(__file__).with_name(f"results-format-{version}"), folder)
    store = Store(folder)
    assert list(store.statuses().values()) == ["ok"] * 4
    frozen = store.frozen()
    assert frozen is not None
    assert {run.run_id for run in frozen.runs()} == set(store.statuses())
    before = {name: pd.read_csv(folder / name) for name in _FILES}
    with store.locked(pytest.fail):
        store.rebuild()
    for name, table in before.items():
        after = pd.read_csv(folder / name)
        pd.testing.assert_frame_equal(after[list(table.columns)], table)
    assert not list(folder.rglob("*.damaged"))


def test_a_long_summary_shows_its_beginning_and_says_where_the_rest_is(store: Store) -> None:
    """Of 500 settings 400 are laid out, and none is lost without a word."""
    betas = ",".join(str(1 + number / 1000) for number in range(500))
    for run in _runs(loss="docs", seeds="0,", beta=betas):
        store.save(_record(run), {})
    store.rebuild()
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(summary_tables(store.summary(), [], console))
    text = console.export_text()
    assert sum(line.startswith("docs") for line in text.splitlines()) == 400
    assert "100 more settings are in summary.csv" in text
