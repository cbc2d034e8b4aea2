"""Damaged data files through the commands: read or refused, never a traceback, memory bounded.

``LOSSBENCH_FUZZ=10000 pytest -m slow tests/test_data_fuzz.py`` makes as many cases.
"""

import gzip
import io
import os
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from image_files import idx_bytes, random_images
from PIL import Image
from test_cli import run

from lossbench.data import folders
from lossbench.loss import LIKELIHOODS, Scale

pytestmark = pytest.mark.usefixtures("nothing_given")

_MOST_MEMORY = 2**20  # KiB that all cases together may add
_PIECES = [b'"', b";", b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"1e999", b"nan"]
_PIECES += [b"=cmd()", b"9" * 400, b"\t", b"-", b"0x1", b"True", b"\xe2\x80\xa8", b"a", b" "]
_PIECES += [b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x80", b"1e300", b"-1e38", b"1e-320", b"(", b"|O"]


def _table(separator: str, decimal: str, values: str) -> Callable[[np.random.Generator], bytes]:
    def content(rng: np.random.Generator) -> bytes:
        rows = {
            "shares": lambda: rng.random((8, 3)).round(3),
            "counts": lambda: rng.integers(0, 9, (8, 3)),
            "any": lambda: rng.normal(size=(8, 3)) * 10.0 ** rng.integers(-30, 39),
            "choices": lambda: np.eye(3, dtype=int)[rng.integers(0, 3, 8)],
        }[values]()
        lines = [separator.join(map(str, row)).replace(".", decimal) for row in rows.tolist()]
        return (separator.join("abc") + "\n" + "\n".join(lines) + "\n").encode()

    return content


def _array(rng: np.random.Generator) -> np.ndarray:
    """Return a small array of one of many types, shapes and ranges."""
    shape = ((8, 4), (8, 3), (8, 2, 2), (8, 2, 2, 3), (8,), (), (0, 4), (8, 1), (1, 4), (8, 0))[
        int(rng.choice(10, p=[0.2, 0.15, 0.15, 0.1, 0.05, 0.05, 0.05, 0.15, 0.05, 0.05]))
    ]
    kind = ("f4", "f8", "f2", "u1", "u2", "i4", "i8", ">f4", "?", "u8", "c8", "U2", "f16")[
        int(rng.integers(13))
    ]
    numbers = rng.random(shape) * float(rng.choice([1, 1, 1, 9, 1e5, 1e38, 1e-40, -3]))
    if rng.random() < 0.1 and numbers.size:
        numbers.flat[int(rng.integers(numbers.size))] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(all="ignore"):
        return numbers.astype(kind)


def _npy(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    array = _array(rng)
    np.save(stream, np.asfortranarray(array) if rng.random() < 0.2 else array)
    return stream.getvalue()


def _npz(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    arrays = {"x_train": _array(rng), "x_test": _array(rng)} if rng.random() < 0.5 else {}
    save = np.savez_compressed if rng.random() < 0.5 else np.savez
    save(stream, **(arrays or {"x": _array(rng)}))
    if rng.random() < 0.1:
        with zipfile.ZipFile(stream, "a") as archive:
            archive.writestr("../out.npy", b"x")
    return stream.getvalue()


def _idx(rng: np.random.Generator) -> bytes:
    content = idx_bytes(random_images(8, 2, 2, seed=int(rng.integers(99))))
    return gzip.compress(content) if rng.random() < 0.3 else content


def _image(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    mode = str(rng.choice(["L", "RGB", "RGBA", "1", "P", "LA", "I;16"]))
    side = 3 if rng.random() < 0.95 else 4
    pixels = rng.integers(0, 256, (side, side), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    elif mode != "L":
        picture = picture.convert(mode)
    if mode in ("L", "RGB") and rng.random() < 0.3:
        picture.save(stream, "JPEG")
    else:
        picture.save(stream, "PNG")
    return stream.getvalue()


_FORMATS: tuple[tuple[str, Callable[[np.random.Generator], bytes]], ...] = (
    *(
        (f"x.{'tsv' if separator == '	' else 'csv'}", _table(separator, decimal, values))
        for separator, decimal in (",.", ";.", ";,", "\t.", "\t,")
        for values in ("shares", "counts", "any", "choices")
    ),
    *(("x.npy", _npy),) * 10,
    *(("x.npz", _npz),) * 10,
    *(("x-idx3-ubyte", _idx),) * 4,
    *(("folder", _image),) * 4,
)


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with some changed, cut or repeated; half of the time as they are."""
    if rng.random() < 0.5:
        return content
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(content) + 1))
        if rng.random() < 0.3:
            place = min(place, int(rng.integers(140)))  # headers decide more than what follows
        piece = _PIECES[int(rng.integers(len(_PIECES)))] if rng.random() < 0.7 else b""
        piece = rng.bytes(1) if rng.random() < 0.3 else piece
        content = content[:place] + piece + content[place + int(rng.integers(5)) :]
    return content[: int(rng.integers(len(content) + 1))] if rng.random() < 0.1 else content


def _written(place: Path, case: int, rng: np.random.Generator) -> str:
    """Write one damaged data set; return its path."""
    name, content = _FORMATS[case % len(_FORMATS)]
    place.mkdir()
    path = place / name
    if name != "folder":
        path.write_bytes(_damaged(content(rng), rng))
        chosen = (":a", ":-b", ":c+a", ":-a+b+c", ":x", ":-")
        ending = name.endswith("sv") and rng.random() < 0.1
        return str(path) + (str(rng.choice(chosen)) if ending else "")
    path.mkdir()
    first = content(rng)
    for number in range(6):
        each = first if rng.random() < 0.3 else content(rng)
        each = _damaged(each, rng) if rng.random() < 0.15 else each
        (path / f"{number}.{'png' if number % 2 else 'jpg'}").write_bytes(each)
    return str(path) + (":4" if rng.random() < 0.3 else "")


def _asked(dataset: str, rng: np.random.Generator) -> list[str]:
    """Return what is asked of it: either command, any scale, any likelihood."""
    scale = str(rng.choice([*get_args(Scale), "default"]))
    scaled = [] if scale == "default" else ["--scale", scale]
    json = ["--json"] if rng.random() < 0.2 else []
    if rng.random() < 0.4:
        return ["data", dataset, *scaled, *json]
    kind = str(rng.choice(list(LIKELIHOODS)))
    asked = ["predict", "--dataset", dataset, "--loss", "docs", "--reconstruction-loss", kind]
    if kind == "gaussian":
        asked += ["--sigma", str(rng.choice(["0.1", "learned", "learned_per_input", "optimal"]))]
    if kind == "categorical":
        asked += ["--groups", str(rng.choice(["1", "2", "3", "4", "1-2+3-3", "1-1+2-4"]))]
    return [*asked, *scaled, *json]


@pytest.mark.slow
def test_damaged_data_are_read_or_refused_by_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0 or 2, and one error that says where; a few hundred cases, or as many as asked."""
    monkeypatch.setenv(folders.CACHE, str(tmp_path / "cache"))
    rng = np.random.default_rng(int(os.environ.get("LOSSBENCH_FUZZ_SEED", "0")))
    before = 0
    codes = []
    failed = []
    for case in range(int(os.environ.get("LOSSBENCH_FUZZ", "480"))):
        place = tmp_path / str(case)
        asked = _asked(_written(place, case, rng), rng)
        code, out, err = run(capsys, *asked)
        told = code == 0 or (err.startswith("error: ") and not out)
        if code not in (0, 2) or not told or "Traceback" in err + out or "Warning" in err:
            failed.append(f"{asked}: {code}\n{out[-300:]}{err[-1500:]}")
            kept = os.environ.get("LOSSBENCH_FUZZ_KEEP")
            if kept:
                shutil.copytree(place, Path(kept) / str(case), dirs_exist_ok=True)
        codes.append(code)
        shutil.rmtree(place)
        if case == 99:  # what is imported is in memory
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    kinds = {text.rstrip().splitlines()[-2:-1][0].strip(): text for text in failed}
    with capsys.disabled():
        print(*kinds.values(), sep="\n\n")
    print(f"{len(codes)} cases, {codes.count(0)} read, {grown} KiB more")
    assert not failed, f"{len(failed)} failed: " + "\n".join(failed[:3])
    assert 0.1 < codes.count(0) / len(codes) < 0.9
    assert grown < _MOST_MEMORY
