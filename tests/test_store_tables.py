"""The tables follow from the records."""

import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_records import FILES, grid_of_runs, record_of, tables_of

from lossbench.columns import HISTORY, METRIC_COLUMNS, RUNS, TIMINGS
from lossbench.errors import ResultsError
from lossbench.store import Store
from lossbench.store.tables import cell


def test_a_table_has_its_columns_and_a_row_a_run(store: Store) -> None:
    """runs.csv, history.csv and timings.csv carry what the records say, column by column."""
    runs = grid_of_runs()
    for run in runs:
        store.save(record_of(run))
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
    crashed, unknown = grid_of_runs()[:2]
    store.save(record_of(crashed, "crashed"))
    record = record_of(unknown, "nan")
    store.save(replace(record, metrics=record.metrics | {"elbo": math.nan}))
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
    for run in grid_of_runs():
        store.save(record_of(run))
    store.rebuild()
    before = tables_of(store)
    stamps = {name: (store.folder / name).stat().st_mtime_ns for name in FILES}
    store.rebuild()
    assert tables_of(store) == before
    assert stamps == {name: (store.folder / name).stat().st_mtime_ns for name in FILES}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_tables_do_not_depend_on_the_order_of_training(tmp_path: Path, seed: int) -> None:
    """However the runs came in, and however often the sweep was interrupted, the bytes agree."""
    records = [
        record_of(run, "nan" if number % 5 == 0 else "ok")
        for number, run in enumerate(grid_of_runs(beta="0.1,1", hidden="64,linear"))
    ]
    shuffled = random.Random(seed).sample(records, len(records))  # noqa: S311 - as above
    found = []
    for name, order in (("once", records), ("interrupted", shuffled)):
        store = Store(tmp_path / name)
        with store.locked(pytest.fail):
            for number, record in enumerate(order):
                store.save(record)
                if name == "interrupted" and number % 7 == 0:
                    store.rebuild()
            store.rebuild()
        found.append(tables_of(store))
    assert found[0] == found[1]


def test_a_rebuild_keeps_rows_that_have_no_record(store: Store) -> None:
    """The tables are committed and the records are not: a clone loses nothing by a rebuild."""
    runs = grid_of_runs()
    for run in runs:
        store.save(record_of(run))
    store.rebuild()
    before = tables_of(store)
    for run in runs[::2]:
        (store.folder / "runs" / f"{run.run_id}.json").unlink()
    store.rebuild()
    assert tables_of(store) == before
    more = grid_of_runs(seeds="4")
    for run in more:
        if run not in runs:
            store.save(record_of(run))
    store.rebuild()
    assert sorted(store.runs()["run_id"]) == sorted(run.run_id for run in more)


def test_a_rebuild_without_timings_keeps_the_rows(store: Store) -> None:
    """Timings are not committed: a clone has none, and a rebuild makes none up."""
    for run in grid_of_runs():
        store.save(record_of(run))
    store.rebuild()
    before = tables_of(store)
    shutil.rmtree(store.folder / "runs")
    (store.folder / "timings.csv").unlink()
    store.rebuild()
    after = tables_of(store)
    assert after.pop("timings.csv") == before.pop("timings.csv").partition(b"\n")[0] + b"\n"
    assert after == before


def test_rows_are_in_the_order_of_their_settings(store: Store) -> None:
    """Numbers by their size, not by their digits; what a record does not know comes first."""
    runs = grid_of_runs(loss="docs", beta="2,10,0.5", seeds="10,2")
    old = record_of(runs[0])
    old.settings.pop("optimizer")
    old.settings.pop("epsilon")
    for record in (*map(record_of, runs[1:]), old):
        store.save(record)
    store.rebuild()
    found = store.runs()
    seeds = [(run.beta, run.seed) for run in sorted(runs[1:], key=lambda r: (r.beta, r.seed))]
    rest = found[found["run_id"] != old.run_id]
    assert list(zip(rest["beta"], rest["seed"], strict=True)) == seeds
    of_beta = found[found["beta"] == runs[0].beta]["run_id"].tolist()
    assert of_beta[0] == old.run_id


def test_a_rebuild_takes_the_record_over_the_row(store: Store) -> None:
    """A run that was trained again has its new numbers in the tables."""
    run = grid_of_runs()[0]
    store.save(record_of(run, "crashed"))
    store.rebuild()
    store.save(record_of(run, elbo=-7.25))
    store.rebuild()
    assert store.runs()["elbo"].tolist() == [-7.25]
    assert store.runs()["status"].tolist() == ["ok"]


@pytest.mark.parametrize(
    "line", ["<<<<<<< HEAD", "a,b", ",".join(["x"] * 80), ",".join(["x"] * len(RUNS)), 'x,"y']
)
def test_a_table_that_was_damaged_by_hand_is_refused(store: Store, line: str) -> None:
    """A merge conflict in a committed table is an error that names it, and nothing is lost."""
    store.save(record_of(grid_of_runs()[0]))
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
