"""Tables of one's own: what is read, and what is refused with its place."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from image_files import refusal_of

from lossbench.data import load, tables
from lossbench.errors import DataError

pytestmark = pytest.mark.usefixtures("nothing_given")

_ROWS = ((0.5, 0.25), (1.0, 0.0), (0.125, 0.75), (0.0, 1.0), (0.5, 0.5))


def _table(tmp_path: Path, content: str | bytes, name: str = "mine.csv") -> str:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def _written(separator: str = ",", decimal: str = ".", header: str = "a{}b\n") -> str:
    lines = [separator.join(f"{x:g}".replace(".", decimal) for x in row) for row in _ROWS]
    return header.format(separator) + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (_written(), "mine.csv"),
        (_written(header=""), "mine.csv"),
        (_written(";"), "mine.csv"),
        (_written(";", ","), "mine.csv"),
        (_written(";", ",", ""), "mine.csv"),
        (_written("\t"), "mine.csv"),
        (_written("\t"), "mine.TSV"),
        (_written("\t", ","), "mine.tsv"),
        (b"\xef\xbb\xbf" + _written().encode(), "mine.csv"),
        (b"\xef\xbb\xbf" + _written(header="").encode(), "mine.csv"),
        (_written().replace("\n", "\r\n"), "mine.csv"),
        (_written(", "), "mine.csv"),
        (_written(header='"a, or so"{}"b"\n'), "mine.csv"),
        (_written().removesuffix("\n"), "mine.csv"),
    ],
)
def test_every_way_to_write_a_table_gives_the_same_rows(
    tmp_path: Path, content: str | bytes, name: str
) -> None:
    """Separators, decimal commas, byte order marks, line ends and headers."""
    data = load(_table(tmp_path, content, name), None)
    order = np.random.default_rng(0).permutation(5)
    rows = np.array(_ROWS, np.float32)[order]
    np.testing.assert_array_equal(data.train, rows[:4])
    np.testing.assert_array_equal(data.test, rows[4:])


def test_integers_are_divided_by_the_largest_of_the_table(tmp_path: Path) -> None:
    """The rule of integer arrays; bool columns are black and white."""
    data = load(_table(tmp_path, "a,b\n0,4\n2,1\n4,3\n8,0\n1,1\n"), None)
    assert {*data.train.flat, *data.test.flat} <= {np.float32(x / 8) for x in range(9)}
    data = load(_table(tmp_path, "a,b\n" + "True,False\nFalse,True\n" * 3, "b.csv"), None)
    assert {*data.train.flat} == {0, 1}


def test_a_table_is_flat_whatever_its_number_of_columns(tmp_path: Path) -> None:
    """Four columns are no image of 2 x 2, and have no smaller d."""
    path = _table(tmp_path, "a,b,c,d\n" + "0,1,0,1\n1,0,1,1\n" * 5)
    assert load(path, None).d == 4
    assert "cannot be given at d = 1" in refusal_of(path, 1)


@pytest.mark.parametrize(
    ("chosen", "columns"),
    [(":a", [0]), (":c+a", [2, 0]), (":-b", [0, 2]), (":-b+a", [2])],
)
def test_columns_are_chosen_and_left_out_by_name(
    tmp_path: Path, chosen: str, columns: list[int]
) -> None:
    """A column of text that is left out is no hindrance, and a choice is data of its own."""
    path = _table(tmp_path, "a,b,c\n0,0,8\n2,1,4\n4,0,3\n8,1,0\n1,0,1\n")
    whole, data = load(path, None), load(path + chosen, None)
    np.testing.assert_array_equal(data.train, whole.train[:, columns])
    assert data.name == path + chosen
    assert load(_table(tmp_path, "a,t\n" + "1,x\n0,y\n" * 5) + ":-t", None).d == 1


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a,b\n1,2\n3,four\n", ["text", "row 2, column 'b'", "'four'", "mine.csv:-b"]),
        ("a,b\n1,2\n3,\n", ["missing", "row 2, column 'b'"]),
        ("a,b\n1,2\n3\n", ["missing", "row 2, column 'b'"]),
        ("a,b\n1,2\nnan,3\nNA,3\n", ["missing", "row 2, column 'a'", "1 more"]),
        ("a,b\n1,2\n3,inf\n", ["not finite", "row 2, column 'b'"]),
        ("a,b\n0.1,0.2\n0.3,1.5\n0,0\n", ["out of range", "row 2, column 'b'", "1.5"]),
        ("a,b\n1,-2\n3,4\n5,6\n", ["out of range", "row 1, column 'b'", "-2"]),
        ('a,b\n"0,5",1\n', ["text", "row 1, column 'a'", "decimal point"]),
        ("a,b\n1,2,3\n1,2,3\n", ["more fields"]),
        ("a,b\n1,2\n1,2,3\n", ["cannot be read"]),
        ("a\n0,5\n0,25\n", ["more fields"]),
        (",a\n0,1\n1,0\n2,1\n3,1\n", ["counts the rows", "mine.csv:-column 1"]),
        ("", ["an empty file"]),
        ("\n\n", ["an empty file"]),
        ("a,b\n", ["0 rows"]),
        ("a,b\n1,2\n", ["too few"]),
        (b"a,b\n1,\xff\n2,3\n", ["cannot be read"]),
        ("a,b\n1,2\n".encode("utf-16"), ["no text in UTF-8"]),
        ('a,b\n1,"2\n3,4\n', ["mine.csv"]),
        ("a,a\n", ["0 rows"]),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, parts: list[str]
) -> None:
    """What is wrong, where, and what to do."""
    message = refusal_of(_table(tmp_path, content))
    assert all(part in message for part in parts), message


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the columns that are, and the one that was meant."""
    path = _table(tmp_path, "age,height\n" + "1,2\n2,3\n" * 5)
    assert "did you mean" in refusal_of(path + ":-heigth").lower()
    assert "age, height" in refusal_of(path + ":nothing")
    assert "named twice" in refusal_of(path + ":age+age")
    assert "does not exist" in refusal_of(str(tmp_path / "none.csv") + ":age")
    assert "no images" in refusal_of(_folder(tmp_path))


def _folder(tmp_path: Path) -> str:
    (tmp_path / "folder.csv").mkdir()
    return str(tmp_path / "folder.csv")


@pytest.mark.slow
def test_damaged_tables_never_end_in_a_traceback(tmp_path: Path) -> None:
    """2,000 tables with bytes changed, cut or repeated are read or refused."""
    rng = np.random.default_rng(0)
    seeds = [_written(s, d).encode() for s, d in (",.", ";.", ";,", "\t.", "\t,")]
    pieces = [b'"', b";", b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"1e999", b"nan"]
    pieces += [b"=cmd()", b"9" * 400, b"\t", b"-", b"0x1", b"True", b"\xe2\x80\xa8", b"a", b" "]
    read = 0
    for case in range(2_000):
        content = seeds[case % len(seeds)]
        for _ in range(rng.integers(1, 5)):
            place = int(rng.integers(len(content) + 1))
            cut = int(rng.integers(4))
            piece = pieces[int(rng.integers(len(pieces)))] if rng.random() < 0.8 else b""
            content = content[:place] + piece + content[place + cut :]
        if rng.random() < 0.1:
            content = content[: int(rng.integers(len(content) + 1))]
        path = _table(tmp_path, content, f"{case}.{'tsv' if case % 7 == 0 else 'csv'}")
        with contextlib.suppress(DataError):
            data = load(path, None)
            assert np.isfinite(data.train).all()
            assert data.train.min() >= 0
            assert data.train.max() <= 1
            read += 1
    assert read > 100


@pytest.mark.slow
def test_a_large_table_is_read_in_seconds(tmp_path: Path) -> None:
    """100,000 rows of 100 columns: 3 s on an idle machine, 10 where others work too."""
    rows = np.random.default_rng(0).random((1_000, 100)).round(6)
    block = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    header = ",".join(f"c{i}" for i in range(100))
    path = _table(tmp_path, header + "\n" + "\n".join([block] * 100) + "\n")
    start = time.perf_counter()
    assert load(path, None).train.shape == (80_000, 100)
    print(f"{time.perf_counter() - start:.2f} s")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("chosen", "remedy"),
    [
        ("", ":-name"),
        (":-name", ":-name+height"),
        (":-colour+name", ":-colour+name+height"),
        (":age+height", ":age"),
        (":height", ":-height"),
    ],
)
def test_a_column_is_left_out_beside_those_that_are(
    tmp_path: Path, chosen: str, remedy: str
) -> None:
    """What to try keeps what was chosen, and works from the folder that one is in."""
    table = tmp_path / "t.csv"
    table.write_text("name,age,height,colour\np,1,,2\nq,2,1,3\nr,3,2,4\ns,4,5,5\n")
    with pytest.raises(DataError) as refused:
        tables.read(f"{table}{chosen}")
    assert f"'{table}{remedy}'" in refused.value.remedy
