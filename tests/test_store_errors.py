"""What is wrong in a results folder is told in full: the place, what was found, what to do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_records import grid_of_runs, path_of, record_of
from syrupy.assertion import SnapshotAssertion

from lossbench.columns import HISTORY, RUNS, Column
from lossbench.errors import ResultsError
from lossbench.store import Store, folders
from lossbench.store.records import DamagedRecord, decoded, encoded, id_and_status, write_whole
from lossbench.store.tables import parsed

COLUMNS = (
    Column("name", "text", ""),
    Column("n", "int", ""),
    Column("share", "float", ""),
    Column("done", "bool", ""),
)
DAMAGED = {
    "a merge conflict": "a,1,0.5,true\n<<<<<<< HEAD\n",
    "too few cells": "a,1,0.5\n",
    "too many cells": "a,1,0.5,true,9\n",
    "no number": "a,1,0.5,true\nb,1,half,true\n",
    "no whole number": "a,1,0.5,true\nb,1.5,0.5,true\n",
    "no truth": "a,1,0.5,yes\n",
    "text for a count": "a,many,0.5,true\n",
    "an open quote": 'a,1,0.5,true\n"b,1,0.5,true\n',
    "bytes that are no text": "\udcff,1,0.5,true\n",
}


def table(rows: str) -> bytes:
    """Return a table of ``COLUMNS`` with these rows."""
    return ("name,n,share,done\n" + rows).encode(errors="surrogateescape")


@pytest.mark.parametrize("rows", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_told_with_its_line(rows: str, snapshot: SnapshotAssertion) -> None:
    """The first line that is no row, and how to have the table back."""
    with pytest.raises(ResultsError) as caught:
        parsed(table(rows), COLUMNS, Path("some/runs.csv"))
    assert str(caught.value) == snapshot


def test_what_looks_odd_and_is_whole_is_read() -> None:
    """Quoted commas and line ends, empty cells, Windows' line ends, whole numbers as 3.0."""
    rows = '"a,b",3.0,,\n"c\nd",,0.5,false\n,-1,1e3,true\n'
    read = parsed(table(rows), COLUMNS, Path("runs.csv"))
    assert list(read["name"]) == ["a,b", "c\nd", ""]
    assert read["n"].tolist()[::2] == [3, -1]
    assert read["n"].isna().tolist() == [False, True, False]
    assert read["share"].isna().tolist() == [True, False, False]
    assert read["done"].tolist()[1:] == [False, True]
    windows = parsed(table("a,1,0.5,true\n").replace(b"\n", b"\r\n"), COLUMNS, Path("runs.csv"))
    assert windows.loc[0].tolist() == ["a", 1, 0.5, True]
    assert parsed(b"", COLUMNS, Path("runs.csv")).empty


def test_a_column_that_an_old_table_lacks_is_empty() -> None:
    """And one that this version does not know is left out."""
    read = parsed(b"n,what\n3,x\n", COLUMNS, Path("runs.csv"))
    assert list(read.columns) == [column.name for column in COLUMNS]
    assert read["name"].tolist() == [""]
    assert read[["share", "done"]].isna().all(axis=None)


def test_a_table_that_is_a_folder_is_told(tmp_path: Path) -> None:
    """What the system says is passed on."""
    (tmp_path / "runs.csv").mkdir()
    with pytest.raises(ResultsError) as caught:
        Store(tmp_path).runs()
    assert (caught.value.problem, caught.value.received) == (
        "the table is damaged",
        "Is a directory",
    )


def with_digest(facts: object) -> bytes:
    """Return a record's file that holds these facts and the right checksum."""
    record = replace(record_of(grid_of_runs()[0]), run_id="x")
    raw, body = encoded(record), json.dumps(facts).encode()
    whole = encoded(replace(record, message="y"))
    assert raw != whole
    import hashlib  # noqa: PLC0415 - the format, written out

    digest = hashlib.sha256(body).hexdigest().encode()
    return b'{"sha256": "' + digest + b'",\n"record": ' + body + b"}\n"


RECORDS: dict[str, Callable[[], object]] = {
    "cut": lambda: decoded(encoded(record_of(grid_of_runs()[0]))[:-9], "runs/x.json"),
    "something else": lambda: decoded(with_digest([1]), "runs/x.json"),
    "of another run": lambda: decoded(with_digest({"run_id": "y"}), "runs/x.json"),
    "of another version": lambda: decoded(with_digest({"run_id": "x", "format": 9}), "x.json"),
    "other facts": lambda: decoded(with_digest({"run_id": "x", "format": 1, "z": 1}), "x.json"),
    "status of another run": lambda: id_and_status(with_digest({"run_id": "y"}), "runs/x.json"),
}


@pytest.mark.parametrize("reading", RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_none_is_told_with_its_file(
    reading: Callable[[], object], snapshot: SnapshotAssertion
) -> None:
    """Damage is set aside; a version that is not known is left for the one that wrote it."""
    with pytest.raises(ResultsError) as caught:
        reading()
    assert str(caught.value) == snapshot
    assert isinstance(caught.value, DamagedRecord) == ("version" not in str(caught.value))


def test_what_the_disk_refuses_is_told(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """A write into a folder that is none; a results folder whose place a file has taken."""
    (tmp_path / "file").write_bytes(b"mine")
    told = []
    with pytest.raises(ResultsError) as caught:
        write_whole(tmp_path / "file" / "runs.csv", b"new")
    told.append(str(caught.value))
    with pytest.raises(ResultsError) as caught, Store(tmp_path / "file").locked(pytest.fail):
        pytest.fail("nothing can be locked there")
    told.append(str(caught.value))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "logs").symlink_to("/elsewhere")
    with pytest.raises(ResultsError) as caught, Store(tmp_path / "results").locked(pytest.fail):
        pytest.fail("nothing can be locked there")
    told.append(str(caught.value))
    assert [text.replace(str(tmp_path), "HERE") for text in told] == snapshot
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_where_there_are_no_results_it_is_told_how_to_get_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    """In a folder without tables, and in a place without results."""
    monkeypatch.chdir(tmp_path)
    told = []
    for reading in (Store(Path("results/mine")).runs, folders):
        with pytest.raises(ResultsError) as caught:
            reading()
        told.append(str(caught.value))
    assert told == snapshot


def test_every_results_folder_is_found_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named one is taken as it is, there or not."""
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a", "empty"):
        Path("results", name).mkdir(parents=True)
    for name in ("b", "a"):
        Path("results", name, "runs.csv").touch()
    assert folders() == [Path("results/a"), Path("results/b")]
    assert folders(Path("nowhere")) == [Path("nowhere")]


def test_a_damaged_record_is_left_alone_where_one_only_looks(store: Store) -> None:
    """A report renames nothing; a sweep does."""
    first, second = (record_of(run) for run in grid_of_runs()[:2])
    for record in (first, second):
        store.save(record)
    path_of(store, first).write_bytes(b"torn")
    assert list(store.records(set_aside=False)) == [second]
    assert store.statuses(set_aside=False) == {second.run_id: "ok"}
    assert path_of(store, first).read_bytes() == b"torn"
    assert store.statuses() == {second.run_id: "ok"}
    assert not path_of(store, first).exists()
    assert path_of(store, first).with_suffix(".json.damaged").read_bytes() == b"torn"


def test_what_is_tabulated_is_in_all_of_the_tables(store: Store) -> None:
    """Every run with its status; nothing where one of the tables is missing."""
    assert store.tabulated() == {}
    first, second = grid_of_runs()[:2]
    for record in (record_of(first), record_of(second, "crashed")):
        store.save(record)
    store.rebuild()
    statuses = {first.run_id: "ok", second.run_id: "crashed"}
    assert store.tabulated() == store.statuses() == statuses
    for name in ("runs.csv", "history.csv", "summary.csv"):
        raw = (store.folder / name).read_bytes()
        (store.folder / name).unlink()
        assert store.tabulated() == {}
        (store.folder / name).write_bytes(raw)
    assert store.tabulated() == statuses
    assert {column.name for column in (*RUNS, *HISTORY)} >= set(store.history().columns)
