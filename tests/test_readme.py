"""The README cannot drift: its commands run, its columns are the tables'."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import lossbench
from test_report import tables_of
from test_terminal import on_terminal

from bench import table
from lossbench.api import compare
from lossbench.auditing import Audit
from lossbench.cli import main
from lossbench.cli.app import app
from lossbench.columns import HISTORY, RUNS, SUMMARY, TIMINGS
from lossbench.comparison import Comparison
from lossbench.experiment import TEMPLATE_NETS
from lossbench.explanation import Derivation, Equivalent
from lossbench.measurement import Measurement
from lossbench.prediction import Prediction
from lossbench.store import THRESHOLD_COLUMNS, Summary
from lossbench.sweeping import Swept

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("lossbench ")
]

(MY_VAE,) = re.findall(r"```python\n(# my_vae.py\n.*?)```", README, re.DOTALL)


def test_the_readme_has_commands_to_test() -> None:
    """Every command of the program is shown at least once."""
    shown = {command.split()[1] for command in COMMANDS}
    assert sorted(shown) == sorted(str(command.name) for command in app.registered_commands)


SWEPT_FIRST = next(command for command in COMMANDS if "--save-weights" in command)
WRITES = ("audit", "export", "init", "measure", "report")
LONG = ("export", "report")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(c, marks=pytest.mark.slow if c.split()[1] in LONG or "mine.py" in c else ())
        for c in COMMANDS
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_a_command_of_the_readme_runs(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sweep shows its plan; everything else runs as it stands there."""
    arguments = shlex.split(command)
    if arguments[1] == "sweep" and "--dry-run" not in arguments:
        arguments.append("--dry-run")
    is_written = arguments[1] in WRITES or "my_vae.py" in command or "mine.py" in command
    monkeypatch.chdir(tmp_path if is_written else REPOSITORY)
    (tmp_path / "my_vae.py").write_text(MY_VAE, encoding="utf-8")
    if "mine.py" in command:
        (tmp_path / "mine.py").write_text(TEMPLATE_NETS.read_text("utf-8"), encoding="utf-8")
    if arguments[1] == "report":
        for name in (Path(part).name for part in arguments[2:]):
            tables_of(name, tmp_path / "results")
    if arguments[1] == "measure":
        x = np.random.default_rng(0).random((20, 3))
        arrays = {"x": x, "x_hat": 0.5 + 0 * x, "z_mean": x, "z_log_var": 0 * x}
        np.savez(tmp_path / arguments[2], **arrays)
    if arguments[1] == "export":
        first = lossbench(*shlex.split(SWEPT_FIRST)[1:], "--epochs", "1", folder=tmp_path)
        assert first.returncode == 0, first.stderr
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None), capsys.readouterr().err


(ASK,) = re.findall(r"```python\n(# ask.py\n.*?)```", README, re.DOTALL)


def test_records_have_tables_as_the_readme_says() -> None:
    """All but those of two functions."""
    tabular = (Comparison, Measurement, Prediction, Summary, Swept)
    assert all(hasattr(record, "to_frame") for record in tabular)
    assert not any(hasattr(record, "to_frame") for record in (Audit, Derivation, Equivalent))
    assert "`to_frame()` but for those of `audit` and `explain`" in " ".join(README.split())


@pytest.mark.slow
def test_the_script_of_the_readme_runs(tmp_path: Path) -> None:
    """It asks, trains and compares, unguarded as it is."""
    (tmp_path / "my_vae.py").write_text(MY_VAE, encoding="utf-8")
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "ask.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    first, *_ = answer.stdout.splitlines()
    assert first.split() == ["392", "d/k"]
    assert answer.stdout.count("4 4") == 1
    (told,) = [line for line in answer.stdout.splitlines() if "B is worse" in line]
    assert not told.startswith("(")


COLUMNS = {column.name for column in (*RUNS, *HISTORY, *SUMMARY, *TIMINGS)} | {*THRESHOLD_COLUMNS}
EXPLAINED = {
    name
    for row in re.findall(r"^\| (`[^|]*) \| [^|]+ \|$", README, re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", row)
}


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_the_readme_tells_what_a_column_means(column: str) -> None:
    """Whoever opens a table finds every column of it explained, in a table of the README."""
    if column.endswith("_ci95"):
        assert column.removesuffix("_ci95") in EXPLAINED
        column = "..._ci95"
    assert column in EXPLAINED


def test_the_figures_of_the_readme_exist() -> None:
    """Every image is in the repository, and has a text for those who do not see it."""
    images = re.findall(r"<img ([^>]*)>", README)
    assert len(images) >= 2
    for image in images:
        source = re.search(r'src="([^"]+)"', image)
        assert source is not None
        assert (REPOSITORY / source[1]).stat().st_size < 150_000
        assert re.search(r'alt="[^"]{20,}"', image)


def test_the_make_targets_of_the_readme_exist() -> None:
    """``make X`` in the README is a target of the Makefile."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z][a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


PRINTED = [
    block.splitlines()
    for block in re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    if block.startswith(("digits,", "Different objectives"))
]
SHOWN = [
    ["show", "results/digits"],
    next(shlex.split(command)[1:] for command in COMMANDS if " compare " in command),
]


@pytest.mark.parametrize(("arguments", "printed"), [*zip(SHOWN, PRINTED, strict=True)])
def test_what_the_readme_prints_is_what_the_command_prints(
    arguments: list[str], printed: list[str]
) -> None:
    """Every line of it stands in the output on a terminal of 80 columns, in this order."""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(arguments, REPOSITORY, 80, NO_COLOR="1"))
    lines = iter([line.rstrip() for line in shown.splitlines()])
    missing = [line for line in printed if line not in lines]
    assert missing == []


def test_the_readme_tells_how_often_the_predicted_active_units_held() -> None:
    """Its figures are those of every committed summary, near and above t_1 / 4."""
    told = re.search(
        r"of ([0-9]+) settings.*?([0-9]+)% are within one and ([0-9]+)% equal", README, re.DOTALL
    )
    assert told is not None
    rows = pd.concat(map(pd.read_csv, sorted(REPOSITORY.glob("results/*/summary.csv"))))
    rows = rows[(rows["n_seeds"] > 0) & (rows["beta_eff"] > rows["threshold"] / 4)]
    rows = rows[rows["predicted_active_units"].between(0, rows["k"], inclusive="neither")]
    excess = rows["active_units"] - rows["predicted_active_units"]
    shares = [100 * float((abs(excess) <= most).mean()) for most in (1, 0)]
    assert [int(number) for number in told.groups()] == [len(rows), *map(round, shares)]


@pytest.mark.parametrize("schedule", ["linear:0.5", "cyclical:4:0.5"])
@pytest.mark.parametrize(
    ("dataset", "weights"),
    [("digits", ("1", "2.66")), ("patches", ("6.61", "17.6")), ("mnist", ("2.31", "6.16"))],
)
def test_the_readme_tells_the_intervals_of_the_schedules(
    schedule: str, dataset: str, weights: tuple[str, ...]
) -> None:
    """Each is that of ``compare`` over the committed runs, in the row of its schedule and data."""
    (row,) = (x for x in README.splitlines() if f"`{schedule}`, {dataset} |" in x)
    for weight, cell in zip(weights, row.split("|")[2:], strict=False):
        folder = "schedules-mnist" if dataset == "mnist" else "schedules"
        at = f"results/{folder}:dataset={dataset},beta_eff={weight},free_bits=0,kl_schedule="
        found = compare(f"{at}constant", f"{at}{schedule}")
        elbo = found.cells[0].metrics["elbo"]
        assert f" {elbo.low:.2f} to {elbo.high:.2f}" in cell


def test_the_readme_tells_the_thresholds_of_every_likelihood() -> None:
    """Measured over predicted, to the digits of the table."""
    table = pd.read_csv(REPOSITORY / "results" / "likelihoods" / "thresholds.csv")
    for kind, sigma in (
        ("gaussian", "0.2"),
        ("poisson", "1"),
        ("negative_binomial", "1"),
        ("categorical", "1"),
        ("multinomial", "1"),
    ):
        of_kind = table[(table["reconstruction_loss"] == kind) & (table["sigma"] == sigma)]
        (row,) = (x for x in README.splitlines() if x.startswith(f"| `{kind}` |"))
        assert f"| {of_kind['ratio'].iloc[0]:.2f} |" in row


def test_the_readme_tells_what_a_network_changes() -> None:
    """Thresholds of convolutions, ELBOs that part and meet, and the KL of two networks."""
    said = " ".join(README.split())
    results = REPOSITORY / "results"
    ratios = pd.read_csv(results / "thresholds-conv" / "thresholds.csv")["ratio"]
    told = re.search(
        r"measure (\S+) \(`bce`\) and (\S+) \(`mse`\) of t_1 on `digits`, (\S+) and (\S+) on "
        r"`patches`, (\S+) and (\S+) on `patches_rgb`",
        said,
    )
    assert told is not None
    assert list(told.groups()) == [f"{ratio:.2f}" for ratio in ratios]

    runs = pd.read_csv(results / "conv-digits" / "runs.csv").round({"beta_eff": 9})
    elbo = runs.set_index(["loss", "beta_eff", "epsilon", "seed"]).sort_index()["elbo"]
    docs = elbo["docs", 1.0, 1e-7]
    assert f"end {abs(docs[0] - elbo['blog', 392.0, 1e-7][0]):.1f} nats of ELBO apart" in said
    apart = (elbo["blog", 1.0, 1e-7] - docs).abs()
    assert "and {:.1f} and {:.1f} apart (two seeds) at the same".format(*apart) in said
    higher = elbo["docs-512", 1.0, 1e-7] - docs
    assert "by 512 ends {:.1f} and {:.1f} nats higher".format(*higher) in said
    assert list(elbo["docs-512", 1.0, 1e-7 / 512]) == list(docs)
    (rounded,) = (elbo["blog", 1.0, e] for e in {*runs["epsilon"]} - {1e-7, 1e-7 / 512})
    moved = "by {:.1f} nats on `digits_enlarged`, and by {:.1f}".format(*(rounded - docs).abs())
    kl = runs.query("loss == 'docs' and beta_eff == 1 and seed == 1")["kl"].iloc[0]
    assert f"{moved} under the seed whose KL stays at {kl:.1f}" in said

    ends = pd.read_csv(results / "conv-mnist" / "runs.csv")
    usual = ends["epsilon"] == 1e-7
    same = ends[~usual].set_index("beta_eff")["elbo"]
    ends = ends[usual].set_index(["loss", "beta_eff"])["elbo"]
    ahead = [ends["blog", weight] - ends["docs", weight] for weight in (1.0, 4.0)]
    then = [same[weight] - ends["docs", weight] for weight in (1.0, 4.0)]
    assert f"the {ahead[0]:.1f} and {ahead[1]:.1f} nats by which the blog's was ahead" in said
    assert f"become {-then[0]:.1f} behind and {then[1]:.1f} ahead" in said
    at_beta = abs(ends["docs", 1.0] - ends["blog", 392.0])
    at_beta_eff = (ends["docs"] - ends["blog"]).abs()
    apart = f"{at_beta_eff.min():.1f} to {at_beta_eff.max():.1f} at the same `beta_eff`"
    assert f"it is {at_beta:.1f} nats at the same beta, and {apart}" in said

    rows = (
        pd.read_csv(results / name / "summary.csv").query(
            "dataset == 'digits' and reconstruction_loss == 'bce' and d == 64 and beta_eff == 2.66"
        )
        for name in ("thresholds-conv", "thresholds")
    )
    below = [float(row["kl"].iloc[0]) for row in rows]
    assert "a KL of {:.2f} where a dense one has {:.2f}".format(*below) in said

    colour = pd.read_csv(results / "conv-colour" / "runs.csv").query("beta_eff == 1")
    by_kind = colour.set_index("reconstruction_loss")
    told_kl = "at a KL of {:.1f} with `mse` and of {:.1f} with a learned sigma, which is {:.2f}"
    sigma = by_kind["trained_sigma"]["gaussian"]
    assert told_kl.format(by_kind["kl"]["mse"], by_kind["kl"]["gaussian"], sigma) in said


def test_the_readme_tells_the_speeds_that_were_measured() -> None:
    """The table is the one that ``experiments/speed.py`` prints."""
    measured = (REPOSITORY / "results" / "speed.csv").read_text(encoding="utf-8")
    assert table.for_readme(table.parsed(measured)) in README
