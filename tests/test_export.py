"""A trained run carried on: the exported Keras model is the run that the table tells of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import lossbench
from test_cli import run as cli

from lossbench import data, predict, trained, worker
from lossbench.experiment import read
from lossbench.measurement import measure
from lossbench.store import Store

SMALL = (
    *("--d", "16", "--k", "2", "--hidden", "8,linear", "--epochs", "20", "--seeds", "1"),
    *("--loss", "blog,docs", "--beta", "0.03", "--reconstruction-loss", "bce,mse"),
    *("--noise-std", "0.8"),
)
# The models are used in a process that never heard of lossbench.
USE = """
import sys
import keras
import numpy as np
x, noise = np.load("x.npy"), np.load("noise.npy")
n, n_draws, k = noise.shape
given = {"x": np.repeat(x, n_draws, axis=0), "noise": noise.reshape(-1, k)}
for kind in sys.argv[1:]:
    model = keras.models.load_model(kind + ".keras")
    output = "logits" if kind.startswith("bce") else "image"
    target = {output: given["x"], "kl": np.zeros((n * n_draws, 1), np.float32)}
    told = model.evaluate(given, target, verbose=0, return_dict=True, batch_size=n * n_draws)
    decoded = model.get_layer("decoder").predict(noise[:, 0], verbose=0)[1]
    x_hat = model.predict(given, verbose=0)["image"].reshape(n, n_draws, -1).swapaxes(0, 1)
    z_mean, z_log_var = model.get_layer("encoder").predict(x, verbose=0)
    # z is drawn with 0.8 times the standard deviation.
    np.savez(kind, x=x, x_hat=x_hat, z_mean=z_mean, z_log_var=z_log_var + 2 * np.log(0.8))
    model.fit(given, target, epochs=1, verbose=0)
    again = model.evaluate(given, target, verbose=0, return_dict=True, batch_size=n * n_draws)
    print("TOLD", told["loss"], told[output + "_loss"] * x.shape[1], *decoded.shape, again["loss"])
assert not any(name.startswith("lossbench") for name in sys.modules)
"""
EXPORTED = {"bce-8": "docs", "mse-8": "docs", "mse-linear": "blog"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a sweep that keeps weights."""
    folder = tmp_path_factory.mktemp("kept") / "small"
    answer = lossbench("sweep", *SMALL, "--save-weights", "--out", str(folder), folder=Path.cwd())
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_an_exported_model_evaluates_to_the_numbers_of_the_table(
    capsys: pytest.CaptureFixture[str], kept: Path, tmp_path: Path
) -> None:
    """On the noise of the table, loss and metrics are the table's, measured, too; it trains on."""
    rows = []
    runs = Store(kept).runs()
    for name, loss in EXPORTED.items():
        kind, _, hidden = name.partition("-")
        selection = f"loss={loss},reconstruction_loss={kind},hidden={hidden}"
        path = tmp_path / f"{name}.keras"
        code, out, err = cli(capsys, "export", f"{kept}:{selection}", str(path))
        assert (code, out) == (0, f"{path}\n"), err
        is_it = (runs["loss"] == loss) & (runs["reconstruction_loss"] == kind)
        rows += runs[is_it & (runs["hidden"] == hidden)].to_dict(orient="records")
    images = data.load("digits", 16).test
    generator = np.random.default_rng([0x105E, len(images), 2])  # as the evaluation draws it
    np.save(tmp_path / "noise.npy", generator.standard_normal((len(images), 8, 2), np.float32))
    np.save(tmp_path / "x.npy", images)
    used = subprocess.run(
        [sys.executable, "-c", USE, *EXPORTED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert used.returncode == 0, used.stderr
    told = [line.split()[1:] for line in used.stdout.splitlines() if line.startswith("TOLD")]
    for row, (objective, reconstruction, n, d, again) in zip(rows, told, strict=True):
        assert float(objective) == pytest.approx(row["objective"], rel=1e-5)
        assert float(reconstruction) == pytest.approx(row["reconstruction"], rel=1e-5)
        assert (int(n), int(d)) == images.shape
        assert float(again) < float(objective)
    for row, (name, _) in zip(rows, EXPORTED.items(), strict=True):
        measured = measure(**np.load(tmp_path / f"{name}.npz"), reconstruction_loss=name[:3])
        for column in ("reconstruction", "kl", "elbo", "bits_per_dim", "active_units"):
            assert getattr(measured, column) == pytest.approx(row[column], rel=1e-5), column


@pytest.mark.slow
def test_weights_are_kept_without_pickle_and_belong_to_no_identity(
    kept: Path, tiny_results: Path
) -> None:
    """One file a run, of plain arrays; a run without them has the same id and the same record."""
    run_id = str(Store(kept).runs()["run_id"].iloc[0])
    weights = Store(kept).weights(run_id)
    assert {array.dtype for array in weights} == {np.dtype(np.float32)}
    other = str(Store(tiny_results).runs()["run_id"].iloc[0])
    assert not Store(tiny_results).has_weights(other)


@pytest.mark.slow
def test_the_same_command_again_trains_nothing(kept: Path) -> None:
    """A run that has its weights is done."""
    answer = lossbench("sweep", *SMALL, "--save-weights", "--out", str(kept), folder=Path.cwd())
    assert answer.returncode == 0
    assert "8 runs, 8 done" in answer.stderr
    assert "to train" not in answer.stderr


def test_an_export_that_cannot_be_is_told(
    capsys: pytest.CaptureFixture[str], drilled_results: Path, tmp_path: Path
) -> None:
    """No weights, several runs, another suffix, a file that is there already."""
    (tmp_path / "there.keras").touch()
    (run_id, *_) = Store(drilled_results).runs()["run_id"]
    for selection, name, told in (
        (f"{drilled_results}:{run_id}", "model.keras", "--save-weights"),
        (f"{drilled_results}:loss=blog", "model.keras", "2 runs are selected"),
        (f"{drilled_results}:{run_id}", "model.h5", ".keras"),
        (f"{drilled_results}:{run_id}", "there.keras", "exists"),
    ):
        code, _, err = cli(capsys, "export", selection, str(tmp_path / name))
        assert code == 2
        assert told in err


@pytest.mark.slow
def test_the_latents_of_a_run_are_those_that_its_table_sums_up(
    capsys: pytest.CaptureFixture[str], kept: Path
) -> None:
    """Whatever the network, the likelihood and the noise; theory is told for unit noise only."""
    for run in Store(kept).runs().to_dict("records"):
        code, out, _ = cli(capsys, "show", str(kept), "--latents", run["run_id"], "--json")
        told = json.loads(out)
        assert code == 0
        assert told["run_id"] == run["run_id"]
        assert told["kl"] == pytest.approx(run["kl"], rel=1e-4, abs=1e-6)
        assert told["active_units"] == run["active_units"]
        assert [latent["theory"] for latent in told["latents"]] == [None, None]
        code, out, _ = cli(capsys, "show", "--latents", f"{kept}:{run['run_id']}")
        assert (code, out.splitlines()[0]) == (0, run["run_id"])


@pytest.mark.slow
def test_the_latents_stand_beside_what_theory_gives_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They add up to the predicted KL."""
    grid = ("--d", "16", "--k", "3", "--hidden", "8", "--epochs", "1", "--seeds", "1")
    one = ("--loss", "docs", "--beta", "0.1", "--reconstruction-loss", "bce", "--save-weights")
    lossbench("sweep", *grid, *one, "--out", "made", folder=tmp_path)
    code, out, _ = cli(capsys, "show", str(tmp_path / "made"), "--latents", "docs", "--json")
    assert code == 0
    given = [latent["theory"] for latent in json.loads(out)["latents"]]
    (told,) = predict(
        loss="docs", d=16, k=3, hidden=(8,), beta=0.1, reconstruction_loss="bce"
    ).settings
    assert sum(given) == pytest.approx(told.kl_guess)
    assert given == sorted(given, reverse=True)


@pytest.mark.parametrize(
    "given",
    [
        {"dataset": "wine", "d": "13", "scale": "standard", "reconstruction_loss": "mse"},
        {"dataset": "digits_counts", "d": "64", "reconstruction_loss": "poisson"},
    ],
    ids=["standard", "counts"],
)
def test_the_latents_of_a_run_are_those_of_the_numbers_that_it_saw(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scaled as the run's, and counts as they are; not divided by white."""
    run = read(None, {"loss": "docs", "beta": "1", "k": "2", "seeds": "1", **given}).runs()[0]
    seen: list[np.ndarray] = []

    def encode(_run: object, _weights: object, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(x)
        return x[:, :2].astype(float), np.zeros((len(x), 2))

    monkeypatch.setattr(worker, "encode", encode)
    trained.carried(trained.Kept(run, Path(), ()))
    scale = "standard" if "scale" in given else "none"
    assert np.array_equal(seen[0], data.load(given["dataset"], run.d, None, scale).test)


def test_latents_need_the_weights_of_the_run(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """Else it is told how to get them."""
    run_id = Store(drilled_results).runs()["run_id"][0]
    code, _, err = cli(capsys, "show", str(drilled_results), "--latents", run_id)
    assert code == 2
    assert "--save-weights" in err
