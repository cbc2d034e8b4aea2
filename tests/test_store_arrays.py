"""Arrays and weights beside a record: kept apart, in their order, and none where they are not."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_records import grid_of_runs, path_of, record_of

from lossbench.store import Store
from lossbench.store import arrays as arrays_room
from lossbench.store.arrays import array_bytes, read_arrays

ARRAYS = {"z": np.arange(6.0).reshape(2, 3), "a": np.ones(2, np.float32)}
WEIGHTS = (np.zeros(3), np.full((2, 2), 7.0))


def test_arrays_and_weights_are_two_files(store: Store) -> None:
    """Each comes back as it was, in its order; without any there is no file."""
    both, without = (record_of(run) for run in grid_of_runs()[:2])
    with_both = replace(both, arrays=ARRAYS, weights=WEIGHTS)
    store.save(with_both)
    store.save(without)
    arrays, weights = store.arrays(with_both.run_id), store.weights(with_both.run_id)
    assert list(arrays) == list(ARRAYS)
    for found, expected in zip(
        (*arrays.values(), *weights), (*ARRAYS.values(), *WEIGHTS), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert store.has_weights(with_both.run_id)
    assert not store.has_weights(without.run_id)
    assert (store.arrays(without.run_id), store.weights(without.run_id)) == ({}, ())
    names = {path.name for path in path_of(store, without).parent.iterdir()}
    ends = {name.removeprefix(with_both.run_id) for name in names if with_both.run_id in name}
    assert ends == {".json", ".npz", ".weights.npz"}
    assert len(names) == 4


def test_what_is_missing_damaged_or_a_pickle_is_none(tmp_path: Path) -> None:
    """A figure is left out rather than a report lost, and nothing is ever unpickled."""
    whole = array_bytes(ARRAYS)
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    for name in ("missing", "cut", "text", "pickle"):
        assert read_arrays(tmp_path / f"{name}.npz") == {}


def test_an_archive_larger_than_anything_a_run_leaves_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The declared sizes count, all together; one that is just as large as allowed is read."""
    path = tmp_path / "a.npz"
    path.write_bytes(array_bytes(ARRAYS))
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    monkeypatch.setattr(arrays_room, "_MOST_BYTES", size)
    assert list(read_arrays(path)) == list(ARRAYS)
    monkeypatch.setattr(arrays_room, "_MOST_BYTES", size - 1)
    assert read_arrays(path) == {}
