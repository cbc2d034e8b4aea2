"""Train a part of the committed experiments again and hold it against the committed tables.

Every run is trained at its full settings in a scratch folder, and must agree as ``agreement`` says.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from agreement import agrees
from lossbench.store import Store

_HERE = Path(__file__).parent
_RESULTS = _HERE.parent / "results"


@dataclass(frozen=True)
class Part:
    """A part of an experiment: its name and the options that choose its runs."""

    experiment: str
    options: tuple[str, ...]
    needs_files: bool = False


PARTS = (
    Part("digits", ("--beta", "1", "--d", "16,64", "--k", "2,8", "--seeds", "0,1")),
    Part("patches", ("--beta", "1", "--d", "64,256", "--seeds", "0,")),
    Part("mnist", ("--loss", "docs", "--beta", "1", "--seeds", "0,"), needs_files=True),
)


def main() -> int:
    """Reproduce every part whose data is at hand; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the committed tables")
    results = parser.parse_args().results
    n_different = 0
    for part in PARTS:
        if part.needs_files and "LOSSBENCH_DATA_DIR" not in os.environ:
            print(f"{part.experiment}: left out, LOSSBENCH_DATA_DIR is not set")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            _sweep(part, Path(scratch))
            n_different += _compared(part, Store(Path(scratch)).runs(), results)
    print("reproduced" if n_different == 0 else f"{n_different} runs differ")
    return 1 if n_different else 0


def _sweep(part: Part, scratch: Path) -> None:
    command = [sys.executable, "-m", "lossbench", "sweep", f"{_HERE / part.experiment}.toml"]
    subprocess.run([*command, *part.options, "--out", str(scratch)], check=True)


def _compared(part: Part, again: pd.DataFrame, results: Path) -> int:
    """Print how far each run is from the committed table; return how many are too far."""
    committed = Store(results / part.experiment).runs().set_index("run_id")
    n_different = 0
    for run in again.to_dict(orient="records"):
        if run["run_id"] not in committed.index:
            print(f"{part.experiment}: {run['run_id']} is not in the committed table")
            n_different += 1
            continue
        before = committed.loc[run["run_id"]]
        elbo, kl = run["elbo"] - before["elbo"], run["kl"] - before["kl"]
        is_same = agrees(before, run)
        n_different += not is_same
        verdict = "agrees" if is_same else "DIFFERS"
        print(f"{verdict} {run['run_id']}: elbo {elbo:+.4f}, kl {kl:+.4f}")
    return n_different


if __name__ == "__main__":
    sys.exit(main())
