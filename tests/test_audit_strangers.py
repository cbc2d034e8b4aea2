"""Losses of strangers that once were told wrongly, each by the command its author would try."""

import sys
from pathlib import Path
from typing import Any

import pytest
from audited import strangers, strangers_tf, strangers_torch

from lossbench.auditing import Audit, Target, audit, audit_here, read_options
from lossbench.errors import AuditError

AUDITED = Path(__file__).parent / "audited"


def found(
    name: str,
    settings: tuple[str, ...] = (),
    args: tuple[str, ...] = (),
    file: str = "strangers.py",
) -> Audit:
    """Return the audit of one of the losses at d = 12 and k = 3."""
    target = Target(AUDITED / file, name)
    options = read_options(target, 12, 3, 128, 60_000, None, None, args, settings, None, 60.0)
    return audit(target, options)


def here(loss: Any) -> Audit:
    """Return the audit of a loss in this process, at the same sizes."""
    target = Target(Path("strangers"), "loss")
    options = read_options(target, 12, 3, 128, 60_000, None, None, (), (), None, 60.0)
    return audit_here(loss, target, options)


@pytest.mark.parametrize(
    ("settings", "args", "formulas"),
    [
        (("input_dim=d", "beta=0.5"), (), ("1/d", "beta")),
        (("input_dim=12", "beta=0.5"), (), ("1/input_dim", "beta")),
        ((), ("d=input_dim",), ("1/d", "self.beta")),
        ((), (), ("self.scale", "self.beta")),
    ],
)
def test_a_number_that_an_object_makes_of_a_size_goes_with_that_size(
    settings: tuple[str, ...], args: tuple[str, ...], formulas: tuple[str, str]
) -> None:
    """Only what nothing that it was made with moves is a number of its own."""
    told = found("Criterion", settings, args)
    assert (told.a.formula, told.b.formula) == formulas
    assert "outputs := (x_hat, z_mean, z_log_var)" in told.filled
    default = "input_dim = 12 by default: --args d=input_dim has it follow d"
    assert (default in told.filled) == (not settings and not args)
    hidden = [each.text for each in told.findings if each.code == "hard_coded"]
    assert len(hidden) == (formulas[0] == "self.scale")


def test_a_number_of_an_object_that_is_a_size_is_told_as_both() -> None:
    """It was made elsewhere, and may be one over d."""
    (told,) = found("criterion").findings
    assert told.text.startswith("self.scale is 0.08333, which is 1/d: if it is made of that size")
    assert not told.certain


def test_arrays_that_are_gone_through_are_lists_of_groups() -> None:
    """There is one group; else the images of a batch were counted as such."""
    told = found("groups")
    assert told.b.formula == "1"
    assert [line.partition(":")[0] for line in told.filled] == ["mus ", "logvars "]
    assert told.filled[0] == "mus := a list of one z_mean: --args z_mean=mus hands over an array"


def test_what_a_configuration_is_asked_for_is_no_tensor() -> None:
    """Whatever it is called."""
    with pytest.raises(AuditError, match=r"it needs a value for cfg\.sigma, cfg\.beta"):
        found("configured")
    told = found("configured", ("cfg.sigma=0.5", "cfg.beta=2"))
    assert (told.a.formula, told.b.formula) == ("1/(2*cfg.sigma^2)", "cfg.beta")


def test_a_kl_that_a_schedule_has_switched_off_is_told_as_such() -> None:
    """It is there at other numbers."""
    texts = [each.text for each in found("Warming").findings]
    assert texts[0] == (
        "There is no KL term at self.global_step = 0, and there is one at others: z_mean and "
        "z_log_var change nothing."
    )
    assert texts[1].startswith("self.global_step changes with each call (0 -> 1)")


def test_a_batch_is_taken_apart_where_it_is_handed_on_to() -> None:
    """What a step of the same class returns is read in that step."""
    told = found("Stepping.training_step")
    assert (told.a.value, told.b.value) == (1, pytest.approx(0.1))
    assert {"batch := (x, label)", "self.run_step(...) := (x_hat, z_mean, z_log_var)"} <= {
        *told.filled
    }


def test_what_is_missing_by_default_is_said_to_be_fillable() -> None:
    """A model's part is exchanged for its answers, and is else what it was."""
    with pytest.raises(AuditError, match="--args ROLE=is_pad fills is_pad, where ROLE is x, z,"):
        found("Actions.loss", (), ("x=actions",))
    told = found("Actions.loss", (), ("x=actions", "padding=is_pad"))
    assert (told.reconstruction, told.a.value, told.b.value) == ("l1", pytest.approx(1 / 12), 10)
    assert "is_pad := False, no padding" in told.filled


def test_a_loop_over_images_is_none_over_groups() -> None:
    """The images are gone through beside the latents."""
    told = found("rows")
    assert (told.a.formula, told.b.formula, told.filled) == ("1", "1", ())


def test_numbers_are_found_in_what_a_method_calls() -> None:
    """A schedule in a property is one too."""
    told = found("Deep.loss")
    assert told.b.formula == "Deep.kl_coeff/2"
    (text,) = (each.text for each in told.findings)
    assert text == (
        "b moves with Deep.current_epoch, as a schedule does: 0.25 at 4, 0.5 at 8, 0.125 at 2."
    )


def test_a_total_correlation_is_seen_where_latents_go_together() -> None:
    """Where they are drawn each by itself it is none, whatever its weight."""
    told = found("apart")
    assert told.kl_form == "unknown"
    assert "depends on the latents of the batch as a whole" in told.findings[0].text


def test_a_deviation_is_asked_for_no_negative_number() -> None:
    """Nor told that the loss is not finite there, whatever its form."""
    assert [each.code for each in found("of_laplace").findings] == ["kl_unknown"]


def test_the_one_argument_that_may_be_it_is_named() -> None:
    """In the command to try."""
    with pytest.raises(AuditError, match="--args x_hat=bern_p if that argument is it"):
        found("of_another_name")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("half_detached", "and there K counts 0.25 times as much in mu."),
        ("balanced", "and there R counts, and else it does not."),
        ("sampled_and_detached", "and there K counts 0.5 times as much."),
        ("below_a_threshold", "and there a small K does not count."),
        ("shared_out", "and there R does not count and K counts 0.2 times as much."),
        ("weight_apart", ""),
        ("logged", ""),
    ],
)
def test_a_detached_part_trains_other_weights(name: str, told: str) -> None:
    """What is detached for a log alone changes nothing."""
    audit = found(name, file="strangers_torch.py")
    texts = [each.text for each in audit.findings if each.code == "detached"]
    assert [text.partition("trains, ")[2] for text in texts] == ([told] if told else [])
    assert not {"reconstruction_missing", "idle_weight"} & {each.code for each in audit.findings}
    assert (audit.match is None) or not told


def test_a_queue_is_state() -> None:
    """It is put back before every call, so that terms are not taken for coupled."""
    audit = found("Running", file="strangers_torch.py")
    texts = {each.code: each.text for each in audit.findings}
    assert texts["state"].startswith("self.history changes with each call ([0.5] -> [0.5, ")
    assert "coupled" not in texts


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weight_of_gradient", "and there K counts 0.1 times as much."),
        ("frozen_variance", "and there K does not count in log_var."),
        ("tape", "and there K counts 0.1 times as much."),
        ("logged", ""),
    ],
)
def test_a_gradient_that_is_stopped_trains_other_weights(name: str, told: str) -> None:
    """The weight that it has alone has an effect."""
    audit = here(getattr(strangers_tf, name))
    texts = [each.text for each in audit.findings if each.code == "detached"]
    assert [text.partition("trains, ")[2] for text in texts] == ([told] if told else [])
    assert "idle_weight" not in {each.code for each in audit.findings}
    assert (audit.match is None) or not told


@pytest.mark.slow
def test_jax_stops_gradients_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are followed forwards, as every function has them."""
    folder = Path(sys.prefix) / "jax"
    assert folder.is_dir(), "make test installs JAX there"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (told,) = found("balanced", file="strangers_jax.py").findings
    assert told.text.endswith("and there K counts 0.2 times as much.")


def test_a_loss_of_keras_is_called_as_keras_calls_it() -> None:
    """By place, with a plain tuple of tensors."""
    told = here(strangers_tf.OfKeras())
    assert (told.reconstruction, told.a.formula, told.b.formula) == ("mse", "1", "2")


def test_a_reconstruction_that_is_not_known_has_no_sign_of_the_nearest() -> None:
    """It is what errors do to it that says."""
    told = here(strangers.swapped_logits)
    assert [each.code for each in told.findings] == ["reconstruction_unknown"]


def test_half_precision_is_told_before_what_it_looks_like() -> None:
    """Its rounding is no weight that is made of both terms."""
    (told,) = here(strangers_tf.in_half_precision).findings
    assert "half precision" in told.text


def test_what_looks_like_the_log_cosh_of_small_errors_is_another_kind() -> None:
    """Student's t of three degrees of freedom is the same to the fourth order."""
    told = here(strangers.of_student)
    assert told.reconstruction is None
    assert "The nearest is log-cosh" in told.findings[0].text


def test_a_decoder_that_says_its_variance_has_no_constant_weight() -> None:
    """It is told at one variance."""
    told = here(strangers.with_decoder_variance)
    assert told.findings[0].code == "trained"
    assert (told.match, told.change) == (None, "")


def test_a_root_in_a_formula_keeps_its_bracket() -> None:
    """Of a norm of every image."""
    assert here(strangers.norm_of_images).a.formula == "1/(2*sqrt(d)*rmse)"


def test_a_soft_end_has_its_bound_where_the_form_is_left() -> None:
    """Not where nothing moves in single precision."""
    assert here(strangers.never_no_variance).clamps == ("log_std to at least -9.216",)


def test_the_parameters_of_a_network_are_no_number() -> None:
    """Nor to be set."""
    with pytest.raises(AuditError, match="it takes params, a network's, and nothing for x_hat"):
        here(strangers.of_parameters)


def test_distributions_of_an_image_are_of_all_its_latents() -> None:
    """Where those of each latent do not fit."""
    told = here(strangers_torch.of_distributions)
    assert (told.a.formula, told.b.formula) == ("1/2", "1")
