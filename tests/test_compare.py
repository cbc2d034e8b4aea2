"""The compare room: what leaves it, as JSON and as text."""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from made_runs import compared, made_run, printed, seeds_of

from lossbench.comparison import Comparison
from lossbench.words import plain


def _examples() -> list[Comparison]:
    grid = list(itertools.product((0.1, 1.0, 4.0), (16, 64), (2, 8), range(2), ("bce", "mse")))
    whole = [
        [made_run(loss, beta, s, d=d, k=k, kind=kind) for beta, d, k, s, kind in grid]
        for loss in ("blog", "docs")
    ]
    return [
        compared([made_run("blog")], [made_run("docs")]),
        compared(seeds_of("docs", kind="mse"), seeds_of("blog", kind="mse")),
        compared(seeds_of("docs", elbo=None), seeds_of("blog", threshold=None)),
        compared(
            [made_run("docs", a=None, beta_eff=None)], [made_run("blog", b=None, beta_eff=None)]
        ),
        compared(seeds_of("docs"), seeds_of("docs", kind="mse")),
        compared(*whole),
    ]


def test_json_is_whole_and_has_no_nan() -> None:
    """The plain form survives strict JSON and keeps full precision."""
    for comparison in _examples():
        facts = json.loads(json.dumps(told(comparison), allow_nan=False))
        for known, cell in zip(facts["cells"], comparison.cells, strict=True):
            assert known["metrics"]["kl"]["difference"] == cell.metrics["kl"].difference
            assert known["a"]["loss"] == cell.objectives.a.loss
    first = told(_examples()[0])
    assert json.loads(json.dumps(first))["cells"][0]["metrics"]["elbo"]["outcome"] == "one pair"


def test_a_comparison_fits_80_columns_and_cuts_nothing() -> None:
    """No line is longer, no ellipsis stands for a name, and single runs are named whole."""
    for comparison in _examples():
        text = printed(comparison)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert "nan" not in text
        if len(comparison.cells) == 1 == len(comparison.cells[0].pairs):
            assert comparison.cells[0].pairs[0].run_a in text


def test_the_printed_comparison_reads_in_order() -> None:
    """First the algebra, then what differs, then the metrics, then the verdict."""
    text = printed(compared(seeds_of("blog"), seeds_of("docs", gain=1)), width=160)
    parts = ("Different objectives", "loss      blog  docs", "Common: ", "elbo  ", "B is better")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "not comparable" in next(x for x in text.splitlines() if x.startswith("objective"))
    assert "elbo_best_sigma" not in text


def told(comparison: Comparison) -> dict[str, Any]:
    """Return what a program is told of a comparison."""
    facts = plain(comparison)
    assert isinstance(facts, dict)
    return facts


def _loaded(code: str) -> Sequence[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_comparing_loads_neither_tensorflow_nor_scipy_stats() -> None:
    """The command answers at once: nothing heavy is imported."""
    loaded = _loaded("import lossbench.comparison, lossbench.console.comparison")
    assert "lossbench.comparison" in loaded
    assert not {"tensorflow", "keras", "scipy.stats", "distributed"} & set(loaded)


def test_json_has_these_facts_of_a_comparison() -> None:
    """Every key of the plain form, for scripts that read it."""
    failed = made_run("docs", seed=5) | {"status": "nan"}
    facts = told(compared([*seeds_of("docs", 2), failed], seeds_of("blog", 3)))
    assert list(facts) == [
        *("algebra", "common", "differing", "paired_by", "cells"),
        *("unpaired", "failed", "verdict", "notes"),
    ]
    assert facts["differing"] == {"loss": {"a": "docs", "b": "blog"}}
    assert facts["paired_by"] == ["seed"]
    assert facts["failed"] == {"a": [failed["run_id"]], "b": []}
    assert facts["unpaired"] == {"a": [], "b": [made_run("blog", seed=2)["run_id"]]}
    (cell,) = facts["cells"]
    assert list(cell) == [
        *("settings", "reconstruction_loss", "relation", "a", "b", "pairs", "metrics")
    ]
    assert (cell["settings"], cell["relation"]) == ({}, "different")
    assert cell["pairs"][1] == {
        "seed": 1,
        "run_a": made_run("docs", seed=1)["run_id"],
        "run_b": made_run("blog", seed=1)["run_id"],
    }
    assert cell["a"]["optimizer"] == "adam"
    names = {
        *("unit", "comparable", "n", "a", "b", "difference", "low", "high", "p", "p_holm"),
        *("detectable", "seeds_needed"),
    }
    assert set(cell["metrics"]["kl"]) == names
    assert set(cell["metrics"]["elbo"]) == names | {"outcome"}
    assert cell["metrics"]["elbo"]["unit"] == "nats"
    assert cell["metrics"]["iwae"]["difference"] is None
