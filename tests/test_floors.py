"""Floors, capacities and estimators of the KL term, from their keys to the tables."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_loop import N_STEPS, Parts, by_hand, of_mean
from small_runs import BATCH, small_run
from test_cli import run as command

from lossbench import data, theory
from lossbench.errors import ExperimentError
from lossbench.experiment import read, stacks
from lossbench.loss import FLOORS, capacity
from lossbench.nn.train import train_stack
from lossbench.prediction import predict
from lossbench.settings import RunSettings
from lossbench.store import Store
from lossbench.sweeping import plan, sweep

N_TRAIN, EPOCHS = 80, 4  # five steps an epoch
FLOOR = {"latent": 0.05, "latent_example": 0.05, "total": 0.12, "total_example": 0.12}
C = 0.3


# As people write them: the slope of F in K_ij, for a batch of K_ij.


def free_bits_after_the_mean(parts: Parts, f: float) -> Parts:
    """``kl.mean(0).clamp(min=f).sum()``."""
    return np.tile(parts.mean(axis=0) > f, (BATCH, 1)) / BATCH


def free_bits_before_the_mean(parts: Parts, f: float) -> Parts:
    """``kl.clamp(min=f).sum(-1).mean()``."""
    return (parts > f) / BATCH


def free_nats_after_the_mean(parts: Parts, f: float) -> Parts:
    """``max(kl.sum(-1).mean(), f)``."""
    return np.full_like(parts, (parts.sum(axis=1).mean() > f) / BATCH)


def free_nats_before_the_mean(parts: Parts, f: float) -> Parts:
    """``torch.clamp(kl.sum(-1), min=f).mean()``, as in World Models."""
    return np.tile((parts.sum(axis=1) > f)[:, None], (1, parts.shape[1])) / BATCH


LITERAL = {
    "latent": free_bits_after_the_mean,
    "latent_example": free_bits_before_the_mean,
    "total": free_nats_after_the_mean,
    "total_example": free_nats_before_the_mean,
}
# By hand: C at step t of 20, five steps an epoch.
CAPACITIES = {
    "0.3": lambda t: C,  # noqa: ARG005
    "0.3:1": lambda t: C * t / 19,
    "0.3:0.5": lambda t: min(1.0, t / 9.5) * C,
    "0.3:8steps": lambda t: np.clip(C / 8 * t, 0, C),  # as Burgess et al. are re-implemented
    "0.3:2epochs": lambda t: min(1.0, (t // 5) / 2) * C,
}


def is_touched(run: RunSettings, images: np.ndarray) -> bool:
    """Return whether the floor or the capacity changes where training ends."""
    plain = by_hand(run, images, lambda _: 1.0)
    slope = slope_of(run)
    there = by_hand(run, images, lambda _: 1.0, slope)
    return max(np.abs(a - b).max() for a, b in zip(plain, there, strict=True)) > 1e-4


def slope_of(run: RunSettings):  # type: ignore[no-untyped-def]
    """Return the literal slope of a run's F."""
    if run.free_bits:
        return lambda parts, _: LITERAL[run.free_bits_over](parts, run.free_bits)
    if run.capacity != "0":
        of = CAPACITIES[run.capacity]
        return lambda parts, t: of_mean(parts, t) * np.sign(parts.sum(axis=1).mean() - of(t))
    return of_mean


def checked(runs: list[RunSettings]) -> None:
    """Train runs in a stack and hold each against a loop of its own."""
    images = data.load("digits", 16).train[:N_TRAIN]
    for run, record in zip(runs, train_stack(runs, 8, images, images), strict=True):
        written = by_hand(run, images, lambda _: 1.0, slope_of(run))
        for trained, expected in zip(record.weights, written, strict=True):
            assert np.abs(np.squeeze(trained) - np.squeeze(expected)).max() < 1e-5, run
        found = record.metrics
        if run.capacity != "0":
            far = abs(found["kl"] - CAPACITIES[run.capacity](N_STEPS - 1))
            assert found["objective"] == pytest.approx(
                run.a * found["reconstruction"] + run.b * far, rel=1e-6
            )
            for last, objective, reconstruction, kl in zip(
                (4, 9, 14, 19),
                *(record.history[name] for name in ("objective", "reconstruction", "kl")),
                strict=True,
            ):
                far = abs(kl - CAPACITIES[run.capacity](last))
                assert objective == pytest.approx(run.a * reconstruction + run.b * far, rel=1e-6)


@pytest.mark.parametrize("over", FLOORS)
def test_a_member_with_free_bits_is_a_plain_loop_with_them(over: str) -> None:
    """After 20 steps every weight is that of the loop, in which the floor makes a difference."""
    runs = [
        small_run(
            "docs", 3.0, seed=seed, free_bits=FLOOR[over] * part, free_bits_over=over, epochs=EPOCHS
        )
        for seed, part in enumerate((0.5, 1, 1.5, 1000))
    ]
    images = data.load("digits", 16).train[:N_TRAIN]
    assert any(is_touched(run, images) for run in runs[:-1])
    checked(runs)


def test_a_member_with_a_capacity_is_a_plain_loop_with_it() -> None:
    """A capacity may rise by fractions, epochs or steps; history and metrics have C as it was."""
    runs = [
        small_run("docs", 3.0, seed=seed, capacity=text, epochs=EPOCHS)
        for seed, text in enumerate(CAPACITIES)
    ]
    assert len({run.shape for run in runs}) == 1
    checked(runs)


@pytest.mark.parametrize("changes", [{}, {"free_bits": 0.05}, {"capacity": "0.3"}])
def test_a_member_with_a_sampled_kl_is_a_plain_loop_with_it(changes: dict[str, object]) -> None:
    """The sample is the z that is decoded."""
    runs = [
        small_run("docs", 3.0, seed=seed, kl_estimator="sample", epochs=EPOCHS, **changes)
        for seed in range(2)
    ]
    checked(runs)


def test_a_sampled_kl_is_the_closed_form_in_expectation() -> None:
    """Of 100,000 samples the mean is within four of its own errors."""
    from lossbench.nn.terms import kl_parts, sample, sampled_kl_parts  # noqa: PLC0415

    generator = np.random.default_rng(0)
    z_mean, z_log_var = generator.normal(0, 1, (2, 1, 3))
    noise = generator.normal(0, 1, (100_000, 3))
    z = np.asarray(sample(z_mean, z_log_var, noise, 1.0))
    sampled = np.asarray(sampled_kl_parts(z, z_log_var, noise))
    error = sampled.std(axis=0) / len(sampled) ** 0.5
    closed = np.asarray(kl_parts(z_mean, z_log_var))[0]
    assert np.all(np.abs(sampled.mean(axis=0) - closed) < 4 * error)


def test_the_objective_of_a_sampled_kl_is_that_of_the_closed_form() -> None:
    """It is the same objective, with more noise while it is trained."""
    images = data.load("digits", 16).train[:N_TRAIN]
    run = small_run("docs", 3.0, kl_estimator="sample")
    (record,) = train_stack([run], 8, images, images)
    found = record.metrics
    assert found["objective"] == pytest.approx(
        run.a * found["reconstruction"] + run.b * found["kl"], rel=1e-9
    )


@pytest.mark.parametrize("over", FLOORS)
def test_the_objective_takes_means_over_the_whole_split(over: str) -> None:
    """Beside K_ij of the trained encoder, worked out by hand; neighbours change nothing."""
    images = data.load("digits", 16).train[:N_TRAIN]
    runs = [
        small_run("docs", 3.0, seed=seed, free_bits=FLOOR[over] * part, free_bits_over=over)
        for seed, part in enumerate((0.2, 1, 5))
    ]
    for run, record in zip(runs, train_stack(runs, 8, images, images), strict=True):
        (e, eb, m, mb, s, sb) = (np.squeeze(w.astype(np.float64)) for w in record.weights[:6])
        hidden = np.maximum(images.astype(np.float64) @ e + eb, 0)
        mean, log_var = hidden @ m + mb, hidden @ s + sb
        parts = (np.exp(log_var) + mean**2 - 1 - log_var) / 2
        f = run.free_bits
        written = {
            "latent": np.maximum(parts.mean(axis=0), f).sum(),
            "latent_example": np.maximum(parts, f).sum(axis=1).mean(),
            "total": max(parts.sum(axis=1).mean(), f),
            "total_example": np.maximum(parts.sum(axis=1), f).mean(),
        }[over]
        assert record.metrics["kl"] == pytest.approx(parts.sum(axis=1).mean(), rel=1e-5)
        assert record.metrics["objective"] == pytest.approx(
            run.a * record.metrics["reconstruction"] + run.b * written, rel=1e-5
        )


# What is compiled, and what is the same run.


def test_numbers_share_a_stack_and_forms_do_not() -> None:
    """Runs with other floors or capacities share a program; a run without has its own."""
    plain = small_run("docs", 3.0)
    forms = [
        [plain, replace(plain, beta=2.0)],
        *[[replace(plain, free_bits=f, free_bits_over=over) for f in (0.1, 2)] for over in FLOORS],
        [replace(plain, capacity=text) for text in ("1", "25:0.5")],
        [replace(plain, kl_estimator="sample")],
        [replace(plain, kl_estimator="sample", capacity="1")],
    ]
    planned = stacks([run for form in forms for run in form])
    assert [set(stack.runs) for stack in planned] == [set(form) for form in forms]
    assert plain.kl_form.is_plain


def ids(**overrides: str) -> list[str]:
    """Return the ids of one small experiment's runs."""
    asked = {"d": "64", "k": "2", "reconstruction_loss": "bce", "seeds": "1", "beta": "1"}
    asked |= {"loss": "docs"} | overrides
    return [run.run_id for run in read(overrides=asked).runs()]


def test_a_run_without_floor_or_capacity_is_the_run_that_it_was() -> None:
    """0 spelt out is none, whatever it would be over; every other number or form is another run."""
    plain = ids()
    assert plain == ids(free_bits="0", capacity="0.0", kl_estimator="closed")
    assert plain == ids(capacity="0:0.5")
    (run, *_) = read(overrides={"d": "64", "free_bits": "0"}).runs()
    assert run.identity().keys().isdisjoint({"free_bits", "free_bits_over", "capacity"})
    assert ids(capacity="25:0.50") == ids(capacity="2.5e1:.5")
    mixed = ids(free_bits="0,0.5", free_bits_over="latent,total")
    assert len(mixed) == 3
    others = [
        {"free_bits": "0.5"},
        {"free_bits": "0.5", "free_bits_over": "total"},
        {"free_bits": "0.6"},
        {"capacity": "25"},
        {"capacity": "25:0.5"},
        {"kl_estimator": "sample"},
    ]
    assert len({tuple(plain), *(tuple(ids(**other)) for other in others)}) == 7


# What is refused.

BAD = {
    "free_bits = -0.1": (3, ["`free_bits`", "a number of at least 0", "-0.1"]),
    'free_bits = "a"': (3, ["`free_bits`", "a number of at least 0"]),
    "free_bits = nan": (3, ["`free_bits`", "a number of at least 0"]),
    "capacity = -1": (3, ["`capacity`", "nats of at least 0", "-1"]),
    'capacity = "-1:0.5"': (3, ["`capacity`", "a number of at least 0", "-1:0.5"]),
    'capacity = "25:1.5"': (3, ["`capacity`", "above 0 and at most 1", "25:1.5"]),
    'capacity = "25:"': (3, ["`capacity`", "above 0 and at most 1"]),
    'capacity = "much"': (3, ["`capacity`", "such as 25, or 25:0.5"]),
    'capacity = "25:6epochs"': (3, ["`capacity` is longer than the training", "5 epochs of 11"]),
    "free_bits = 1\ncapacity = 2": (4, ["`free_bits` and `capacity`", "one of the two"]),
    'free_bits = 1\nfree_bits_over = "latnet"': (4, ["`free_bits_over`", "did you mean 'latent'"]),
    'free_bits_over = "total"': (3, ["`free_bits_over`", "free_bits above 0 beside it"]),
    'kl_estimator = "sampled"': (3, ["`kl_estimator`", "closed or sample", "did you mean"]),
    'kl_estimator = "sample"\n[model]\nnoise_std = 2': (3, ["`kl_estimator`", "noise_std 1"]),
    'kl_estimator = "sample"\nfree_bits = 1\nfree_bits_over = "total_example"': (
        3,
        ["`kl_estimator`", "kl_estimator closed, or free_bits_over latent or total"],
    ),
}


@pytest.mark.parametrize(("text", "told"), BAD.items(), ids=BAD)
def test_what_cannot_be_is_refused_with_key_line_and_expectation(
    tmp_path: Path, text: str, told: tuple[int, list[str]]
) -> None:
    """Before anything is trained, and with exit code 2, as every ``ExperimentError``."""
    file = tmp_path / "mine.toml"
    file.write_text(f"[training]\nepochs = 5\n{text}\n")
    with pytest.raises(ExperimentError) as caught:
        plan(read(file), tmp_path / "out")
    line, words = told
    assert caught.value.where == f"{file}, line {line}"
    said = re.sub(r"\s+", " ", str(caught.value))
    for part in words:
        assert part in said


def test_of_a_grid_the_value_that_contradicts_is_named(tmp_path: Path) -> None:
    """A floor for all of the file and a capacity as an axis meet in one run."""
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nfree_bits = 1\n[sweep]\nd = 64\ncapacity = [0, 25]\n")
    with pytest.raises(ExperimentError) as caught:
        read(file).runs()
    assert caught.value.where == f"{file}, line 5"


# What theory says.

T = np.array([4.0, 2.0, 1.0, 0.5, 0.0])
MADE = theory.moments(np.random.default_rng(0).standard_normal((9, 5)))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("nats", [0.01, 0.3, 1.0, 5.0])
def test_the_weight_with_a_kl_has_it(nats: float, k: int) -> None:
    """It undoes the predicted KL, in which latents without a direction have no part."""
    weight = theory.beta_eff_of_kl(T, nats, k)
    assert theory.predicted_kl(T[T > 0], weight, k) == pytest.approx(nats)
    assert theory.beta_eff_of_kl(T, 0.0, k) == pytest.approx(4.0)


def outlook_of(n_images: int = 100, **changes: object) -> theory.Outlook:
    """Return what is said of a run with k = 3 on data with the thresholds T."""
    run = replace(small_run("docs", 1.5), k=3, beta_eff=1.5, **changes)
    return theory.outlook(run, T, MADE, n_images)


def test_with_a_floor_or_a_capacity_no_threshold_is_told() -> None:
    """The prediction is that of the constant weight with K = max(C, K); 0.634 nats at 1.5."""
    plain = outlook_of()
    known = theory.predicted_kl(T, 1.5, 3)
    assert (plain.threshold, plain.best.active_units, plain.best.kl) == (4.0, 2, known)
    for changes in ({"capacity": "2"}, {"free_bits": 2.0, "free_bits_over": "total"}):
        more = outlook_of(**changes)
        assert (more.threshold, more.best.active_units) == (None, 3)
        assert more.best.kl == pytest.approx(2)
    less = outlook_of(capacity="0.5")
    assert (less.threshold, less.best.active_units, less.best.kl) == (None, 2, known)
    assert outlook_of(free_bits=0.05).best.active_units == 3  # each latent has its own
    assert outlook_of(free_bits=0.001).best.active_units == 2  # too little to be active
    assert outlook_of(capacity="2", noise_std=2.0).best.active_units is None


def test_a_rising_capacity_is_judged_by_its_end() -> None:
    """It comes to half of its nats where it rises over twice the training, which is refused."""
    nats = capacity("2:0.5")
    assert nats.at(np.arange(3), 5, 1).tolist() == [0, 1, 2]
    assert nats.last(5, 1) == 2
    assert capacity("2:4epochs").last(20, 5) == 1.5
    assert outlook_of(capacity="2:1").best == outlook_of(capacity="2").best


@pytest.mark.slow
def test_a_linear_vae_with_a_capacity_or_a_floor_reaches_the_closed_form() -> None:
    """On digits, k = 8: K to 5%, R to 3% but where gamma is 20 t_1; floors of latents have all."""
    images = data.load("digits", 64)
    changes = {"d": 64, "k": 8, "hidden": (), "reconstruction_loss": "mse", "epochs": 500}
    changes |= {"optimizer": "adam", "learning_rate": 5e-3, "learning_rate_decay": 0.02}
    changes |= {"batch_size": 64, "eval_every": 500}
    moments = theory.moments(images.train)
    thresholds = theory.thresholds(moments, small_run(reconstruction_loss="mse").likelihood)
    settings = {
        "capacity": [
            (ratio, {"capacity": text})
            for ratio, text in ((1.5, "0.5"), (0.3, "3"), (1.5, "3"), (1.5, "8"), (0.1, "1"))
        ],
        "total": [
            (ratio, {"free_bits": nats, "free_bits_over": "total"})
            for ratio, nats in ((1.5, 0.4), (1.5, 2.4), (0.3, 2.4), (1.5, 8.0))
        ],
        "latent": [(1.5, {"free_bits": nats}) for nats in (0.05, 0.3, 1.0)],
    }
    for name, of_form in settings.items():
        runs = [
            small_run("docs", ratio * thresholds[0], **changes, **form) for ratio, form in of_form
        ]
        records = train_stack(runs, 8, images.train, images.test)
        for run, record in zip(runs, records, strict=True):
            best = theory.outlook(run, thresholds, moments, len(images.train)).best
            assert record.metrics["active_units"] == best.active_units, run
            if name != "latent":
                assert record.metrics["train_reconstruction"] == pytest.approx(
                    best.reconstruction, rel=0.04
                )
            assert record.metrics["train_kl"] == pytest.approx(best.kl, rel=0.09)


# The tables.


@pytest.mark.slow
def test_the_tables_hold_the_keys_and_an_empty_threshold(tmp_path: Path) -> None:
    """New columns stand behind the old ones; the plain run has its threshold."""
    overrides = {"d": "64", "k": "2", "loss": "docs", "reconstruction_loss": "mse", "beta": "1"}
    overrides |= {"epochs": "2", "seeds": "1", "capacity": "0,2:0.5"}
    sweep(plan(read(overrides=overrides), tmp_path), n_workers=1)
    runs = Store(tmp_path).runs().set_index("capacity")
    assert list(runs.columns).index("free_bits") > list(runs.columns).index("iwae")
    assert runs["threshold"].isna().to_dict() == {"0": False, "2:0.5": True}
    assert runs["predicted_active_units"].notna().all()
    assert runs["implied_sigma"].isna().to_dict() == {"0": False, "2:0.5": True}


def test_a_linear_model_has_an_exact_prediction_with_a_capacity() -> None:
    """K is the capacity; a floor under each latent gives a guess."""
    plain = {"d": "64", "k": "8", "loss": "docs", "reconstruction_loss": "mse", "hidden": "linear"}
    plain |= {"beta": "2", "seeds": "1"}
    (found,) = predict(read(overrides=plain | {"capacity": "3"})).settings
    assert found.kl == pytest.approx(3)
    assert found.threshold is None
    assert found.collapses is False
    (found,) = predict(read(overrides=plain | {"free_bits": "0.25"})).settings
    assert found.kl is None
    assert found.kl_guess == pytest.approx(2)


# What people read.


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a small sweep without and with a floor, a capacity and samples."""
    folder = tmp_path_factory.mktemp("swept") / "out"
    file = folder.parent / "forms.toml"
    common = 'd = 16\nk = 2\nloss = "docs"\nbeta = 1\nreconstruction_loss = "bce"\nseeds = 2\n'
    forms = ("free_bits = [0, 0.5]", 'capacity = "2:0.5"', 'kl_estimator = "sample"')
    grids = "".join(f"[[sweep]]\n{common}{form}\n" for form in forms)
    file.write_text(f"[training]\nepochs = 2\n{grids}")
    sweep(plan(read(file), folder, save_weights=True), n_workers=1)
    return folder


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command says, in one line."""
    code, out, err = command(capsys, *arguments)
    assert code == 0, err
    return " ".join(f"{out} {err}".split())


@pytest.mark.slow
def test_every_display_says_what_has_a_floor_and_that_no_threshold_is_told(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column names what differs from the plain run; an empty threshold is explained."""
    no_threshold = "With a floor or a capacity there is no threshold"
    said = shown(capsys, "show", str(swept))
    assert no_threshold in said
    for term in ("free_bits 0.5 latent", "capacity 2:0.5", " sample "):
        assert term in said, said
    said = shown(capsys, "predict", str(swept.parent / "forms.toml"))
    assert no_threshold in said
    assert "C of 2:0.5: from 0 to 2 nats over the first 50% of training; 2 at the last" in said
    assert "free_bits 0.5 over latent: the KL of each latent, a mean over the batch, " in said
    assert "docs collapses from a constant beta without floor or capacity of 0.5845 on" in said
    dry = shown(capsys, "sweep", str(swept.parent / "forms.toml"), "--dry-run")
    assert "C of 2:0.5: from 0 to 2 nats" in dry
    assert "kl_estimator sample: log q - log p at the z that is decoded" in dry
    shown(capsys, "report", str(swept))
    page = (swept / "report.html").read_text()
    assert no_threshold in page
    assert "a floor or a capacity stands under K" in page


@pytest.mark.slow
def test_a_comparison_tells_another_form_from_more_noise(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A floor is another objective, an estimator is not."""
    plain = f"{swept}:free_bits=0,capacity=0,kl_estimator=closed"
    said = shown(capsys, "compare", plain, f"{swept}:free_bits=0.5")
    assert "Different objectives: A and B differ in free_bits, with beta_eff 1 in both." in said
    said = shown(capsys, "compare", plain, f"{swept}:kl_estimator=sample")
    assert said.startswith("Exactly the same objective: docs at beta 1.")
    assert "The KL is sampled in one of the two: the same objective, with more noise." in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras'
def test_a_model_with_a_floor_is_exported_without_a_loss(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keras has no such loss of its own, and the command says so."""
    import keras  # noqa: PLC0415

    for form, is_compiled in (("free_bits=0.5", False), ("kl_estimator=sample", True)):
        path = tmp_path / f"{form}.keras"
        said = shown(capsys, "export", f"{swept}:seed=0,{form}", str(path))
        assert ("not compiled: no loss of Keras has a floor" in said) != is_compiled
        assert (keras.models.load_model(path).loss is not None) == is_compiled
