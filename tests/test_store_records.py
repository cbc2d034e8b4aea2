"""A record is whole, and damage is noticed."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from made_records import grid_of_runs, path_of, record_of

from lossbench.columns import Status
from lossbench.errors import ResultsError
from lossbench.store import Store
from lossbench.store.records import DamagedRecord, decoded, encoded, id_and_status


@pytest.mark.parametrize("status", ["ok", "nan", "crashed", "timeout"])
def test_a_record_reads_back_as_it_was_written(store: Store, status: str) -> None:
    """Settings, metrics, history, provenance, timing and message survive the disk."""
    record = record_of(grid_of_runs()[0], status)
    store.save(record)
    assert list(store.records()) == [record]
    assert store.statuses() == {record.run_id: status}


def test_numbers_that_are_not_finite_are_stored_as_unknown(store: Store) -> None:
    """JSON has no NaN: None comes back, and the file is JSON for every reader."""
    record = record_of(grid_of_runs()[0], "nan")
    broken = replace(
        record,
        metrics=record.metrics | {"elbo": math.nan, "kl": math.inf},
        history=record.history | {"elbo": [-1.0, -math.inf]},
    )
    store.save(broken)
    (found,) = store.records()
    assert (found.metrics["elbo"], found.metrics["kl"]) == (None, None)
    assert found.history["elbo"] == [-1.0, None]


def test_arrays_lie_beside_the_record(store: Store) -> None:
    """The .npz has the arrays as they were, and no pickle in it."""
    record = record_of(grid_of_runs()[0])
    means = np.arange(6, dtype=np.float32).reshape(3, 2)
    store.save(replace(record, arrays={"latent_means": means}))
    with np.load(path_of(store, record).with_suffix(".npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["latent_means"], means)
        assert arrays["latent_means"].dtype == np.float32


def test_saving_again_replaces_a_record(store: Store) -> None:
    """A run that crashed and is trained again has one record, the new one."""
    run = grid_of_runs()[0]
    store.save(record_of(run, "crashed"))
    store.save(record_of(run))
    assert store.statuses() == {run.run_id: "ok"}


def test_any_changed_byte_is_noticed() -> None:
    """Whichever byte of a record's file is flipped, the record is damaged."""
    record = record_of(grid_of_runs()[0])
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
    record = replace(record_of(grid_of_runs()[0]), status=status)
    raw = encoded(record)
    assert id_and_status(raw, f"runs/{record.run_id}.json") == (record.run_id, status)
    with pytest.raises(DamagedRecord):
        id_and_status(raw, "runs/another.json")
    with pytest.raises(ResultsError, match="format"):
        id_and_status(encoded(replace(record, format=99)), f"{record.run_id}.json")


def test_any_truncation_or_addition_is_noticed() -> None:
    """Whichever prefix of a record's file is left, or whatever is added, it is damaged."""
    record = record_of(grid_of_runs()[0])
    raw = encoded(record)
    for damaged in (*(raw[:length] for length in range(len(raw))), raw + b"\n", b" " + raw):
        with pytest.raises(DamagedRecord):
            decoded(damaged, f"{record.run_id}.json")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_record_is_set_aside_and_kept(store: Store, damage: str) -> None:
    """It counts as missing, is renamed and never deleted; the others are read on."""
    first, second, third = map(record_of, grid_of_runs()[:3])
    for record in (first, second, third):
        store.save(record)
    raw, other = path_of(store, first).read_bytes(), path_of(store, second).read_bytes()
    damaged = {"flip": raw[:200] + b"~" + raw[201:], "cut": raw[:-1], "empty": b"", "swap": other}
    path_of(store, first).write_bytes(damaged[damage])
    expected = [second, third]
    if damage == "swap":
        path_of(store, second).write_bytes(raw)
        expected = [third]
    assert list(store.records()) == sorted(expected, key=lambda record: record.run_id)
    aside = path_of(store, first).with_name(f"{first.run_id}.json.damaged")
    assert aside.read_bytes() == damaged[damage]
    assert not path_of(store, first).exists()
    store.save(first)
    assert store.statuses()[first.run_id] == "ok"


def test_a_record_of_another_version_is_not_called_damaged(store: Store) -> None:
    """A format that this version does not know is an error, and the record stays where it is."""
    record = replace(record_of(grid_of_runs()[0]), format=2)
    store.save(record)
    with pytest.raises(ResultsError, match="use the version of lossbench that wrote it"):
        store.statuses()
    assert path_of(store, record).exists()


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"[" * 100_000, b'{"run_id": "x", "y": 1}'])
def test_a_record_made_up_by_somebody_is_damaged(body: bytes) -> None:
    """A right checksum alone makes no record."""
    digest = hashlib.sha256(body).hexdigest().encode()
    raw = b'{"sha256": "' + digest + b'",\n"record": ' + body + b"}\n"
    with pytest.raises(ResultsError):
        decoded(raw, "x.json")
