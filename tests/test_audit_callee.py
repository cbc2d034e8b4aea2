"""However a loss is called, whatever it returns or keeps: it answers probes as its author would."""

import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import callees

from lossbench.auditing import keras_model
from lossbench.auditing.child import child
from lossbench.auditing.loading import Asked, from_function, load
from lossbench.auditing.probe import Probe, arrays
from lossbench.auditing.records import Answer, Found
from lossbench.auditing.signature import Refusal
from lossbench.auditing.tensors import undisturbed

AUDITED = Path(__file__).parent / "audited"
PROBE = Probe(12, 3, 5, 5, 1000, (12,), mean=1.0, low=-1.0, high=0.5)


def mse(probe: Probe) -> float:
    """Return the squared error of a probe, summed over an image."""
    drawn = arrays(probe)
    return float(((drawn["x"] - drawn["x_hat"]) ** 2).sum() / probe.rows)


def kl(probe: Probe) -> float:
    """Return the closed-form KL of a probe, summed over the latents."""
    drawn = arrays(probe)
    mean, log_var = drawn["z_mean"], drawn["z_log_var"]
    return float(0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum() / probe.rows)


def asked(
    loss: str, probe: Probe = PROBE, args: Mapping[str, str] | None = None, **settings: Any
) -> tuple[Answer, Found]:
    """Return the answer of one of the test bed's losses, loaded from its file."""
    callee = load(str(AUDITED / "callees.py"), loss, args or {}, settings)
    return told(callee, replace(probe, settings=tuple(settings.items())))


def told(callee: Asked, probe: Probe) -> tuple[Answer, Found]:
    """Return the answer to a probe, which has to be one, and how the loss is called."""
    answer = callee(probe)
    assert answer.failure is None, answer.failure
    return answer, callee.found()


def total(answer: Answer) -> float:
    """Return the first output."""
    return answer.outputs[0].mean


ALONE = [
    *("plain", "by_position", "star_nested", "star_silent", "of_dict", "of_pair", "handed_on"),
    *("of_variance", "with_prior", "learned_noise", "Sized.static", "Sized.of_class", "partial"),
    *("compute_loss", "by_key", "moded"),
]
WEIGHTS = {"by_position": 2.0, "partial": 3.0}


@pytest.mark.parametrize("name", ALONE)
def test_a_loss_is_called_without_being_told_how(name: str) -> None:
    """Positions, stars, dicts, pairs, priors, methods, partials, stand-in models: a*R + b*K."""
    answer, _ = asked(name)
    reconstruction = mse(PROBE)
    if name == "star_silent":  # a cross-entropy, which tells the target from the reconstruction
        drawn = arrays(PROBE)
        x, p = drawn["x"], drawn["x_hat"]
        reconstruction = float(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean())
    assert total(answer) == pytest.approx(reconstruction + WEIGHTS.get(name, 1.0) * kl(PROBE))


CONTAINERS = {
    "returns_nested": ("tuple", ["[0]", '[1]["kl"]', '[1]["inner"][0]', '[1]["inner"][1]']),
    "returns_named": ("named tuple", [".reconstruction", ".loss"]),
    "returns_dataclass": ("dataclass", [".total", '.parts["kl"]', '.parts["text"]']),
    "returns_object": ("object", [".loss", ".name"]),
    "returns_images": ("list", ["[0]", "[1]", "[2]"]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_loss_returns_is_taken_apart(name: str) -> None:
    """Every output under its path; what is no number has its type and stops nothing."""
    answer, _ = asked(name)
    form, paths = CONTAINERS[name]
    assert answer.returned == form
    assert [out.path for out in answer.outputs] == paths
    loss = next(out for out in answer.outputs if out.name in ("loss", "total", ""))
    assert loss.mean == pytest.approx(mse(PROBE) + kl(PROBE))
    for out in answer.outputs:
        own = out.path in ('[1]["inner"][1]', '.parts["text"]', ".name", "[1]", "[2]")
        assert bool(out.type) == own
    if name == "returns_images":
        assert answer.outputs[1].type == "the x_hat that it was given"


STATE = {
    "counting": {
        ("self.steps", "0", "1"),
        ("self.calls", "0", "1"),
        ("self.seen", "[0]", "[0, 1]"),
        ("self.buffer", "(2,), mean 0", "(2,), mean 0.25"),
    },
    "counts_in_the_file": {
        ("N_CALLS", "0", "1"),
        ("history", "{'calls': 0}", "{'calls': 1}"),
        ("_note.last", "nothing", "1"),
    },
    "closed_over": {("n", "0", "1")},
    "late": {("self.n", "nothing", "1")},
}


@pytest.mark.parametrize("name", STATE)
def test_what_a_call_moves_is_told_and_put_back(name: str) -> None:
    """Attributes, lists, arrays, cells, numbers of the file: every probe meets the first state."""
    callee = load(str(AUDITED / "callees.py"), name, {}, {})
    first, second = callee(PROBE), callee(PROBE)
    assert first == second
    assert total(first) == pytest.approx(mse(PROBE) + kl(PROBE))
    moved = {(m.name, m.before, m.after) for m in first.moved}
    assert moved >= STATE[name]
    assert {m[0] for m in moved - STATE[name]} <= {"self.last"}


def test_an_attribute_or_a_constant_of_the_file_is_set_for_one_call() -> None:
    """By its name with or without ``self``; the next probe has the loaded one."""
    callee = load(str(AUDITED / "callees.py"), "counting", {}, {})
    for name in ("self.beta", "beta"):
        answer = callee(replace(PROBE, settings=((name, 4.0),)))
        assert total(answer) == pytest.approx(mse(PROBE) + 4 * kl(PROBE))
    answer = callee(replace(PROBE, settings=(("self.steps", 9),)))
    assert total(answer) == pytest.approx(mse(PROBE) + 10 * kl(PROBE))
    assert ("self.steps", "9", "10") in {(m.name, m.before, m.after) for m in answer.moved}
    assert total(callee(PROBE)) == pytest.approx(mse(PROBE) + kl(PROBE))
    answer, _ = asked("counts_in_the_file", N_CALLS=6)
    assert total(answer) == pytest.approx(mse(PROBE) + 7 * kl(PROBE))


def test_the_letter_k_beside_a_step_is_no_size() -> None:
    """A schedule's slope is asked for; with it, the weight is its logistic."""
    with pytest.raises(Refusal) as refused:
        asked("slope", step=3000, x0=2500)
    assert (refused.value.failure.stage, refused.value.failure.message) == ("needed", "k")
    answer, found = asked("slope", step=3000, x0=2500, k=0.0025)
    assert total(answer) == pytest.approx(mse(PROBE) + 0.777300 * kl(PROBE))
    assert "k := 0.0025, set" in found.filled


def test_how_every_other_argument_was_filled_is_told() -> None:
    """Sizes with their value, tensors that are no latents in words, defaults with a hint."""
    answer, found = asked("of_sizes")
    assert total(answer) == pytest.approx(784 * mse(PROBE) + kl(PROBE) / 3)
    assert set(found.filled) == {
        "latent_dim := 3, the latent size",
        "x_dim = 784 by default: --args d=x_dim has it follow d",
    }
    answer, _ = asked("of_sizes", args={"d": "x_dim"})
    assert total(answer) == pytest.approx(12 * mse(PROBE) + kl(PROBE) / 3)
    _, found = asked("with_prior")
    assert {"prior_mu := zeros", "prior_logvar := zeros"} <= set(found.filled)
    _, found = asked("learned_noise")
    assert found.arguments["x_logvar"] == "x_log_var"
    assert "x_logvar := zeros, a decoder of variance 1" in found.filled


def test_a_formula_follows_the_sizes_of_each_probe() -> None:
    """A whole number stays one."""
    callee = load(str(AUDITED / "callees.py"), "of_n", {}, {"N": "=B", "weight": "=B/N"})
    for size in (5, 10):
        settings = (("N", "=B"), ("weight", "=B/N"))
        answer, found = told(callee, replace(PROBE, batch_size=size, settings=settings))
        assert total(answer) == pytest.approx(mse(PROBE) + size / 1000 * kl(PROBE) + size)
    assert "N := B, here 5" in found.filled


def test_a_function_of_the_file_is_set_by_its_name() -> None:
    """And told by it."""
    answer, found = asked("with_criterion", criterion="mse")
    assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE))
    assert "criterion := mse, set" in found.filled


def test_the_order_of_a_star_is_read_off_its_names_or_off_numbers() -> None:
    """``recons = args[0]`` says it; else a loss is convex in its reconstruction, not its target."""
    with pytest.raises(Refusal) as refused:
        asked("star")
    assert (refused.value.failure.stage, refused.value.failure.message) == ("needed", "kld_weight")
    _, found = asked("star_silent")
    order = "*args := (x, x_hat, z_mean, z_log_var), the order in which it is a loss"
    assert order in found.filled
    _, found = asked("star_nested")
    assert found.defaults == {"beta": 1.0}
    assert "*args := (x_hat, x, (z_mean, z_log_var)), as it names them" in found.filled


def test_a_variance_named_v_is_told_from_a_log_variance() -> None:
    """What is not finite at a log variance of zero takes the variance."""
    _, found = asked("of_variance")
    assert (found.arguments["v"], found.spread) == ("z_var", "z_var")
    assert "the spread of the latents := z_var, as it seems" in found.filled


def test_sequences_get_masks_and_lengths_and_latents_any_shape() -> None:
    """Shape T, V; a feature map of latents."""
    answer, found = asked("masked", replace(PROBE, shape=(4, 3)))
    assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE))
    assert {"mask := ones", "lengths := full lengths"} <= set(found.filled)
    answer, _ = asked("plain", replace(PROBE, k=8, latent_shape=(2, 2, 2)))
    assert total(answer) == pytest.approx(mse(PROBE) + kl(replace(PROBE, k=8)))


def test_noise_and_mode_are_handed_over() -> None:
    """The noise of the seed, the same twice; ``training`` as the probe has it."""
    one, _ = asked("reparameterized")
    same, _ = asked("reparameterized")
    other, _ = asked("reparameterized", replace(PROBE, seed=1))
    assert one == same != other
    answer, _ = asked("moded", replace(PROBE, training=False))
    assert total(answer) == pytest.approx(mse(PROBE) + 0.5 * kl(PROBE))


def test_a_class_is_made_anew_for_sizes_and_settings() -> None:
    """Its constructor's sizes follow the probe; what it needs beyond is asked for."""
    callee = load(str(AUDITED / "callees.py"), "Sized.loss_function", {}, {})
    for d, k in ((12, 3), (24, 6)):
        probe = replace(PROBE, d=d, k=k, shape=(d,))
        answer, found = told(callee, probe)
        assert total(answer) == pytest.approx(mse(probe) / d + kl(probe) / k)
    assert "latent_dim := 3, the latent size" in found.filled
    answer, _ = asked("Sized.loss_function", gamma=5)
    assert total(answer) == pytest.approx(mse(PROBE) / 12 + 5 * kl(PROBE) / 3)
    with pytest.raises(Refusal) as refused:
        asked("Needy.loss_function")
    assert (refused.value.failure.stage, refused.value.failure.message) == ("needed", "config")
    with pytest.raises(Refusal) as refused:
        asked("Sized")
    assert refused.value.failure.message == "a class with Sized.loss_function"


def test_what_a_configuration_is_asked_for_is_set_by_its_path() -> None:
    """A constructor's or a function's; sizes in it follow the probe."""
    with pytest.raises(Refusal) as refused:
        asked("Configured.loss_function")
    assert refused.value.failure.message == "config.gamma"
    for k in (3, 6):
        probe = replace(PROBE, k=k)
        answer, _ = asked("Configured.loss_function", probe, **{"config.gamma": 5})
        assert total(answer) == pytest.approx(mse(probe) / 12 + 5 * kl(probe) / k)
    with pytest.raises(Refusal) as refused:
        asked("with_config")
    assert refused.value.failure.message == "cfg.loss_weight"
    answer, found = asked("with_config", **{"cfg.loss_weight": 2})
    assert total(answer) == pytest.approx(mse(PROBE) + 2 * kl(PROBE))
    assert "cfg.loss_weight := 2, set" in found.filled


def test_a_stand_in_model_gives_what_its_answer_is_unpacked_into() -> None:
    """Numbers that the loss reads from the model are asked for by name."""
    with pytest.raises(Refusal) as refused:
        asked("loss_fn")
    failure = refused.value.failure
    assert (failure.stage, failure.message) == ("needed", "model.weight")
    answer, found = asked("loss_fn", **{"model.weight": 2})
    assert total(answer) == pytest.approx(mse(PROBE) + 2 * kl(PROBE))
    assert "model(...) := (x_hat, z_mean, z_log_var, z)" in found.filled


def test_the_encoder_and_decoder_of_a_users_own_model_are_replaced() -> None:
    """Lightning's step: the batch is a pair, what it logs is swallowed, its sampler is its own."""
    answer, found = asked("Own.training_step")
    assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE))
    assert "self.encode(...) := (z_mean, z_log_var)" in found.filled
    assert "self.decode(...) := x_hat" in found.filled


def test_a_users_live_model_is_itself_again_afterwards() -> None:
    """Its networks are its own between two calls."""
    own = callees.Own()
    own.log = print  # type: ignore[attr-defined]
    callee = from_function(own.training_step, "training_step", {}, {})
    answer, _ = told(callee, PROBE)
    assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE))
    assert vars(own) == {"log": print}
    assert type(own) is callees.Own
    assert own.encode(np.ones((2, 3)))[0].shape == (2, 4)


def test_an_unknown_setting_is_refused_with_what_could_be_set() -> None:
    """Parameters and attributes."""
    callee = load(str(AUDITED / "callees.py"), "counting", {}, {})
    failure = callee(replace(PROBE, settings=(("bta", 1.0),))).failure
    assert failure is not None
    assert (failure.stage, failure.message) == ("settings", "bta")
    assert "self.beta" in failure.line


def test_nothing_of_the_caller_is_disturbed(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither its random numbers nor its screen."""
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    callee = from_function(callees.random_weight, "random_weight", {}, {})
    with undisturbed():
        assert callee(PROBE) == callee(PROBE) != callee(replace(PROBE, seed=1))
        print("unheard")
    assert np.random.random() == expected
    assert capsys.readouterr().out == ""


def test_a_file_with_relative_imports_is_loaded_as_one_of_its_package(tmp_path: Path) -> None:
    """With or without ``__init__.py``, from two levels up, and where the package itself fails."""
    text = (AUDITED / "callees.py").read_text("utf-8")
    for n, init in enumerate((None, "", "import no_such_library\n")):
        inner = tmp_path / f"package{n}" / "losses"
        inner.mkdir(parents=True)
        (inner.parent / "terms.py").write_text(text, "utf-8")
        (inner / "mine.py").write_text("from ..terms import plain\nfrom . import *\n", "utf-8")
        if init is not None:
            (inner / "__init__.py").write_text("", "utf-8")
            (inner.parent / "__init__.py").write_text(init, "utf-8")
        callee = load(str(inner / "mine.py"), "plain", {}, {})
        assert total(callee(PROBE)) == pytest.approx(mse(PROBE) + kl(PROBE))


TORCH = str(AUDITED / "callees_torch.py")


@pytest.mark.slow
def test_pytorch_tensors_require_gradients_and_modules_are_in_training_mode() -> None:
    """Evaluation mode where the probe asks for it; single precision where double raises."""
    callee = load(TORCH, "in_training", {}, {})
    assert [out.mean for out in callee(PROBE).outputs] == [1, 1, 1]
    assert [out.mean for out in callee(replace(PROBE, training=False)).outputs] == [1, 1, 0]
    live = sys.modules["callees_torch"]
    live.dropout.eval()
    callee = from_function(live.in_training, "in_training", {}, {})
    assert [out.mean for out in callee(PROBE).outputs] == [1, 1, 1]
    assert not live.dropout.training
    answer, found = told(load(TORCH, "needs_single", {}, {}), PROBE)
    assert found.framework == "torch"
    assert (answer.outputs[0].single, answer.outputs[1].path) == (True, '[1]["kl"]')


@pytest.mark.slow
def test_a_trained_number_of_the_loss_is_found_and_can_be_set() -> None:
    """The learned sigma of a decoder; batch statistics are put back."""
    callee = load(TORCH, "Learned", {}, {})
    answer, found = told(callee, PROBE)
    assert found.trained == {"self.log_sigma": 0.0}
    assert total(answer) == pytest.approx(mse(PROBE) / 2 + kl(PROBE))
    for name in ("self.log_sigma", "log_sigma"):
        answer = callee(replace(PROBE, settings=((name, 1.0),)))
        assert total(answer) == pytest.approx(mse(PROBE) / 2 / np.e**2 + 12 + kl(PROBE))
    assert {m.name for m in answer.moved} >= {"self.norm.running_mean"}
    assert total(callee(PROBE)) == pytest.approx(mse(PROBE) / 2 + kl(PROBE))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["of_distributions", "Vae.loss_function", "Vae", "of_posterior"])
def test_pytorch_distributions_and_modules_are_fed(name: str) -> None:
    """A posterior and a prior as arguments; a module whose encoder gives both halves at once."""
    answer, _ = told(load(TORCH, name, {}, {}), replace(PROBE, x="grey"))
    assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE), rel=1e-5)


@pytest.mark.slow
def test_scripted_and_compiled_functions_are_called_as_they_are_written() -> None:
    """Neither TorchScript nor a compiler stands between."""
    with child(60) as asked_of:
        asked_of.load(AUDITED / "scripted_torch.py", "scripted", {}, {}, 120)
        answer = asked_of(PROBE)
        assert answer.failure is None, answer.failure
        assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE))
        assert asked_of.found().arguments["log_var"] == "z_log_var"


@pytest.mark.slow
def test_jax_is_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jitted and mapped functions in double precision; a key from the seed."""
    folder = Path(sys.prefix) / "jax"
    assert folder.is_dir(), "make test installs JAX there"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with child(60) as asked_of:
        asked_of.load(AUDITED / "callees_jax.py", "jitted", {}, {}, 120)
        answer = asked_of(PROBE)
        assert answer.failure is None, answer.failure
        assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE), rel=1e-9)
        assert asked_of.found().framework == "jax"
    with child(60) as asked_of:
        asked_of.load(AUDITED / "callees_jax.py", "sampled", {}, {}, 120)
        assert asked_of(PROBE) == asked_of(PROBE) != asked_of(replace(PROBE, seed=1))


MODELS = AUDITED / "models.py"


@pytest.mark.slow
def test_a_fixed_keras_model_is_asked_at_another_k() -> None:
    """The mean KL of 5 latents is 1/k, which its own k alone cannot tell from 0.2."""
    probe = replace(PROBE, k=5)
    with child(120) as asked_of:
        asked_of.load(MODELS, "fixed", {}, {}, 120)
        for k in (5, 7):
            at = replace(probe, k=k)
            answer = asked_of(at)
            assert answer.failure is None, answer.failure
            assert total(answer) == pytest.approx(mse(at) / 12 + kl(at) / k, rel=1e-5)
        assert "k" in asked_of.found().varies


@pytest.mark.slow
def test_builders_may_return_several_models_and_name_their_sizes_as_they_like() -> None:
    """The one with a loss is taken; what is no size is asked for, or set."""
    with child(120) as asked_of:
        settings = {"hidden": 6}
        asked_of.load(MODELS, "build_several", {}, settings, 120)
        answer = asked_of(replace(PROBE, settings=tuple(settings.items())))
        assert answer.failure is None, answer.failure
        assert total(answer) == pytest.approx(mse(PROBE) / 12 + kl(PROBE) / 3, rel=1e-5)
        found = asked_of.found()
    assert set(found.varies) == {"d", "k", "B"}


@pytest.mark.slow
def test_a_reconstruction_that_a_layer_of_the_loss_hands_on_is_exchanged_before_it() -> None:
    """The last layer of d values is not the decoder where it took them from another."""
    with child(120) as asked_of:
        asked_of.load(MODELS, "build_with_a_layer", {}, {}, 120)
        answer = asked_of(PROBE)
        assert answer.failure is None, answer.failure
        assert total(answer) == pytest.approx(mse(PROBE) + kl(PROBE) / 3, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["glorot_uniform", "zeros"])
def test_latents_that_pass_through_a_layer_of_the_kl_are_exchanged_before_it(start: str) -> None:
    """Neither the layer that hands the pair on nor a hidden layer of k units is taken for them.

    All units of that layer may be off; then it gives the same zeros as the latents.
    """
    with child(120) as asked_of:
        asked_of.load(MODELS, "build_in_one", {}, {"start": start}, 120)
        for k in (3, 4):
            at = replace(PROBE, k=k, settings=(("start", start),))
            answer = asked_of(at)
            assert answer.failure is None, answer.failure
            assert total(answer) == pytest.approx(mse(at) / 12 + kl(at), rel=1e-5)


class Layer:
    """A layer in name only, without weights."""

    def __init__(self, name: str) -> None:
        self.name = name


class TFOpLambda(Layer):
    """What Keras makes of an operation of TensorFlow."""


class Graph(Layer):
    """A model of layers."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__("model")
        self._layers = layers

    def _flatten_layers(self) -> list[Layer]:
        return [self, *self._layers]


def chosen(given: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the layer of the reconstruction, and which is chosen if an operation follows it."""
    heads = [Layer("z_mean"), Layer("z_log_var")]
    decoder, operation = Layer("dense_4"), TFOpLambda("tf.math.log")
    model = Graph(*heads, decoder, operation)
    drawn = [arrays(PROBE)[role] for role in ("z_mean", "z_log_var")]
    calls: Any = [(head, None, z) for head, z in zip(heads, drawn, strict=True)]
    calls += [(decoder, None, given), (operation, given, after)]
    return decoder, keras_model._chosen(model, calls, PROBE)[1]


def test_an_operation_of_the_loss_is_taken_for_no_decoder() -> None:
    """Keras makes layers of what a loss in a functional model is made of."""
    x_hat = arrays(PROBE)["x_hat"]
    decoder, found = chosen(x_hat, np.log(x_hat))
    assert found is decoder


def test_a_builder_gets_formulas_lists_and_names_as_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another model for every value of a formula, one for each."""
    built: list[dict[str, Any]] = []
    monkeypatch.setattr(keras_model, "_prepared", lambda *_: None)
    callee = keras_model.ModelCallee(lambda **given: built.append(given), {}, "", {"act": np.tanh})
    settings = (("beta", "=B/N"), ("hidden", "[4, 2]"), ("activation", "act"))
    for rows in (5, 5, 10):
        callee(replace(PROBE, rows=rows, batch_size=rows, settings=settings))
    fixed = {"hidden": [4, 2], "activation": np.tanh}
    assert built == [{"beta": 0.005, **fixed}, {"beta": 0.01, **fixed}]


def test_a_model_is_built_under_one_seed() -> None:
    """So no verdict rests on the luck of its first weights."""
    drawn: list[tuple[float, float]] = []

    def build() -> None:
        drawn.append((random.random(), np.random.random()))  # noqa: S311 - weights, no secrets

    for _ in range(2):
        keras_model.ModelCallee(build, {}, "", {})(PROBE)
    assert drawn[0] == drawn[1]


class Drawn(np.ndarray[Any, Any]):
    """An array that is a distribution too, as layers of TensorFlow Probability give it."""

    def log_prob(self, x: Any) -> Any:
        """Return a density up to a constant."""
        return -((x - self) ** 2)


def test_a_model_of_distributions_is_refused_with_the_reason() -> None:
    """They cannot be exchanged for tensors."""
    with pytest.raises(Refusal) as refusal:
        chosen(arrays(PROBE)["x_hat"].view(Drawn), arrays(PROBE)["x_hat"])
    assert (refusal.value.failure.stage, refusal.value.failure.message) == (
        *("distributions", "Drawn"),
    )


def test_the_room_imports_no_library_of_tensors() -> None:
    """An audit of NumPy pays for none."""
    code = (
        "import sys; from lossbench.auditing.loading import load; "
        "print([n for n in ('torch', 'tensorflow', 'keras', 'jax') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
