"""Any grid and any text: distinct ids, or a refusal with its place."""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomli_w
from asked import OTHER_SETTINGS, Write
from conftest import Note, trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossbench.errors import UsageError
from lossbench.experiment import TEMPLATE, read, text_of

_N_EXAMPLES = trials(100, 2_500)  # of each of the four kinds of input
_READING = settings(
    max_examples=_N_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

_GRIDS = st.fixed_dictionaries(
    {"d": st.lists(st.integers(1, 10**6), min_size=1, max_size=3, unique=True)},
    optional={
        "loss": st.lists(st.sampled_from(["blog", "docs"]), min_size=1, max_size=2, unique=True),
        "reconstruction_loss": st.lists(
            st.sampled_from(["bce", "mse"]), min_size=1, max_size=2, unique=True
        ),
        "beta": st.lists(
            st.floats(0, 1e11, allow_subnormal=False).map(lambda x: float(f"{x:.11g}")),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        "k": st.lists(st.integers(1, 10**6), min_size=1, max_size=2, unique=True),
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
        "hidden": st.lists(
            st.lists(st.integers(1, 65536), max_size=3), min_size=1, max_size=2, unique_by=tuple
        ),
        "learning_rate": st.lists(
            st.floats(1e-6, 10).map(lambda x: float(f"{x:.11g}")),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "epochs": st.lists(st.integers(1, 10**6), min_size=1, max_size=2, unique=True),
        "optimizer": st.lists(
            st.sampled_from(["adam", "sgd", "rmsprop"]), min_size=1, max_size=2, unique=True
        ),
    },
)


@_READING
@given(grid=_GRIDS, random_order=st.randoms(use_true_random=False))
def test_any_valid_grid_has_distinct_ids_that_no_permutation_changes(
    write: Write, grid: dict[str, list[Any]], random_order: random.Random
) -> None:
    """One id a combination, the same ones whatever the order of keys and values."""
    n_runs = 1
    for values in ({"loss": [1, 2], "seeds": [1, 2, 3]} | grid).values():
        n_runs *= len(values)
    runs = read(write(tomli_w.dumps({"sweep": grid}))).runs()
    assert len({run.run_id for run in runs}) == len(runs) == n_runs
    names = list(grid)
    random_order.shuffle(names)
    shuffled = {name: random_order.sample(grid[name], len(grid[name])) for name in names}
    assert read(write(tomli_w.dumps({"sweep": shuffled}))).runs() == runs


_VALID = TEMPLATE.read_text(encoding="utf-8") + 'dataset = ["digits", "a.npz"]\nd = [16, 64]\n'
_PIECES = st.sampled_from(
    [
        *"[]{}=,.#\"'\n\t\\-+_0x",
        "[sweep]",
        "[[sweep]]",
        "[frozen]",
        "format = 1",
        "n_images = {digits = true}",
        "beta_eff = 1",
        "nan",
        "-inf",
        "1e400",
        "9" * 5000,
        "true",
        "2026-01-01",
        "'''",
        "\ufeff",
        "\x00",
        "é",
        "[[[[",
        "seeds",
        "hidden",
    ]
)


@contextlib.contextmanager
def _read_or_refused(where: str) -> Iterator[None]:
    """Let pass what is read, and what is refused as the user's to mend, with its place."""
    refusal = None
    try:
        yield
    except UsageError as error:
        refusal = error
    if refusal is not None:
        assert refusal.exit_code == 2
        assert re.fullmatch(rf"{where}(, line [1-9][0-9]*)?", refusal.where), refusal


def _fuzzed(note: Note, kind: str, examples: Callable[[], None]) -> None:
    """Run all the examples of a kind of input, and note whether every one held."""
    n_held = 0
    try:
        examples()
        n_held = _N_EXAMPLES
    finally:
        figure = "read, or refused with exit code 2 and its place"
        note(f"settings are fuzzed: {kind}", _N_EXAMPLES, n_held, figure, "by hypothesis")


def test_a_mutated_file_is_read_or_refused(write: Write, note: Note) -> None:
    """Whatever is cut out of a valid file or put into it; what is read has one canonical form."""
    edits = st.tuples(st.integers(0, len(_VALID)), st.integers(0, 20), _PIECES)

    @_READING
    @given(st.lists(edits, min_size=1, max_size=4))
    def examples(edits: list[tuple[int, int, str]]) -> None:
        text = _VALID
        for start, length, piece in edits:
            text = text[:start] + piece + text[start + length :]
        path = write(text)
        with _read_or_refused(re.escape(str(path))):
            asked = read(path).resolved(lambda _: (64, 1437, ()))
            runs = asked.runs()
            assert read(write(text_of(asked))).runs() == runs

    _fuzzed(note, "mutated files", examples)


def test_any_bytes_are_read_or_refused(tmp_path: Path, note: Note) -> None:
    """No bytes make the reader fail in another way."""
    path = tmp_path / "asked.toml"

    @_READING
    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
    def examples(raw: bytes) -> None:
        path.write_bytes(raw)
        with _read_or_refused(re.escape(str(path))):
            read(path)

    _fuzzed(note, "raw bytes", examples)


_ITEMS = st.recursive(
    st.none().map(lambda _: "x")
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_NAMES = st.sampled_from(["dataset", "hidden", "noise_std", "epochs", "loss", "beta", "d", "seeds"])
_SECTIONS = st.sampled_from(["data", "model", "training", "sweep", "frozen"])


def test_any_toml_document_is_read_or_refused(write: Write, note: Note) -> None:
    """Values of every type in every place are a grid or an error that names them."""

    @_READING
    @given(st.dictionaries(_SECTIONS, _ITEMS | st.dictionaries(_NAMES, _ITEMS, max_size=3)))
    def examples(document: dict[str, Any]) -> None:
        path = write(tomli_w.dumps(document))
        with _read_or_refused(re.escape(str(path))):
            read(path).resolved(lambda _: (64, 1437, ())).runs()

    _fuzzed(note, "TOML of any values", examples)


def test_any_options_are_read_or_refused(note: Note) -> None:
    """No text of an option makes it fail in another way."""
    names = st.sampled_from([*OTHER_SETTINGS, "beta_eff", "seeds", "time_limit", "what"])
    text = st.text(alphabet="0123456789.,-+ex nainf_blogdcsm\x00é", max_size=12)

    @_READING
    @given(st.dictionaries(names, text, max_size=3))
    def examples(overrides: dict[str, str]) -> None:
        with _read_or_refused("--[a-z-]+"):
            read(overrides=overrides).resolved(lambda _: (64, 1437, ())).runs()

    _fuzzed(note, "options", examples)
