"""What an argument is for is told by its name, as people give names."""

from typing import Any

import pytest

from lossbench.auditing.loading import from_function
from lossbench.auditing.probe import Probe
from lossbench.auditing.records import Found
from lossbench.auditing.signature import builder_roles, is_of_schedule, missing, usual_role

NAMES = {
    "x": "x inputs input images target y_true x_true batch data original",
    "x_hat": "x_hat recon x_recon recon_x reconstruction y_pred x_decoded_mean logits rec_x",
    "z_mean": "z_mean mu mean mu_z latent_mean q_mu zm means",
    "z_log_var": "z_log_var logvar log_var log_variance log_sigma z_logvar lv log_std logsigma2",
    "z_std": "std z_std sigma z_sigma stddev scale",
    "z_var": "var z_var variance sigma2 sigma_sq",
    "z": "z z_sample sample latent code",
    "x_log_var": "x_logvar x_log_var recon_logvar",
    "noise": "eps epsilon noise",
    "prior_mean": "prior_mu prior_mean mu_p p_mu",
    "prior_log_var": "prior_logvar prior_log_var logvar_p",
    "posterior": "posterior q_z q_zx qz",
    "likelihood": "px_z p_x likelihood",
    "mask": "mask attention_mask",
    "lengths": "lengths seq_len",
    "rng": "rng key generator",
    "training": "training is_training train",
    "label": "labels label",
    "index": "batch_idx optimizer_idx",
    "d": "d original_dim input_dim n_pixels n_features",
    "k": "k latent_dim z_dim latent_size n_latents",
    "B": "batch_size bs B",
    "N": "N n_images dataset_size num_data n_train num_samples",
    "channels": "in_channels n_channels",
    "": "beta gamma alpha weight foo kld_weight step",
}


def found(loss: Any, *, args: dict[str, str] | None = None, **settings: Any) -> Found:
    """Return how a loss is called, as settled by one probe."""
    asked = from_function(loss, "loss", args or {}, settings)
    asked(Probe(12, 3, 5, 5, 1000, (12,), settings=tuple(settings.items())))
    return asked.found()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("role", NAMES)
def test_the_usual_names_have_their_roles(role: str) -> None:
    """With underscores or without, in capitals or small."""
    told = {name: usual_role(name) for name in NAMES[role].split()}
    assert told == dict.fromkeys(told, role)


def test_a_number_of_a_schedule_is_one_by_its_name() -> None:
    """Under an object too; a weight is none."""
    for name in ("step", "global_step", "self.epoch", "Loss.n_iter", "t", "warmup"):
        assert is_of_schedule(name), name
    for name in ("beta", "steps_per_beta", "self.weight", "k"):
        assert not is_of_schedule(name), name


def test_what_a_loss_lacks_is_told() -> None:
    """A spread of any kind will do, or distributions."""
    assert missing([]) == ("x", "x_hat", "z_mean", "z_log_var")
    assert missing(["x", "x_hat", "z_mean", "z_std"]) == ()
    assert missing(["x", "x_hat", "z_var"]) == ("z_mean",)
    assert missing(["x", "likelihood", "posterior"]) == ()
    assert missing(["x", "x_hat", "latents"]) == ()
    assert missing(["x_hat", "z_mean", "z_log_var"]) == ("x",)


def build(original_dim: int = 784, latent_dim: int = 2, n_images: int = 9, beta: float = 1) -> None:
    """Build nothing: the names and defaults are what counts."""


def build_of(input_dim: Any = (28, 28, 1), latent_dim: None = None, *, k: int, units: int) -> None:
    """Build nothing: images by their shape, latents without a default, units that are needed."""


def test_the_sizes_of_a_builder_follow_where_they_may() -> None:
    """A size with a default is kept unless sizes are to be followed; what is needed is named."""
    assert builder_roles(build, {}, {}, follow=False) == ({}, ())
    roles = {"original_dim": "d", "latent_dim": "k"}
    assert builder_roles(build, {}, {}, follow=True) == (roles, ())
    assert builder_roles(build, {}, {"latent_dim": 5}, follow=True) == ({"original_dim": "d"}, ())
    assert builder_roles(build_of, {}, {}, follow=True) == (
        {"input_dim": "shape", "k": "k"},
        ("units",),
    )
    assert builder_roles(build_of, {}, {}, follow=False) == ({"k": "k"}, ("units",))
    assert builder_roles(build_of, {"k": "units"}, {"k": 3}, follow=False) == ({"units": "k"}, ())


def test_short_names_are_taken_where_nothing_else_is_known() -> None:
    """Beside two that are known y is the reconstruction, v the spread; that is told."""

    def short(x: Any, y: Any, mu: Any, v: Any) -> Any:
        return ((x - y) ** 2).sum(1).mean() + (mu**2 + v**2).sum(1).mean()

    how = found(short)
    assert how.arguments == {"x": "x", "y": "x_hat", "mu": "z_mean", "v": "z_log_var"}
    assert set(how.filled) == {
        "y := x_hat, as it seems",
        "the spread of the latents := z_log_var, as it seems",
    }


def test_a_letter_beside_a_step_is_no_size() -> None:
    """A k is a slope there; elsewhere it is the latent size."""

    def sized(x: Any, x_hat: Any, mu: Any, log_var: Any, k: Any) -> Any:
        return ((x - x_hat) ** 2).sum(1).mean() + (mu**2 + log_var**2).sum() / k

    def annealed(x: Any, x_hat: Any, mu: Any, log_var: Any, step: float, k: Any) -> Any:
        return sized(x, x_hat, mu, log_var, 1) + step * k

    assert found(sized).arguments["k"] == "k"
    assert "k := 3, the latent size" in found(sized).filled
    assert "k" not in found(annealed, step=1.0, k=0.5).arguments


def test_arguments_that_are_left_at_their_default_are_told() -> None:
    """Numbers, words, switches, None and what a dict has by default; a long one is cut short."""

    def weighed(
        x: Any,
        x_hat: Any,
        mu: Any,
        log_var: Any,
        beta: float = 4.0,
        reduction: str = "mean",
        floor: None = None,
        table: tuple[int, ...] = tuple(range(99)),
        **rest: Any,
    ) -> Any:
        assert (reduction, floor, len(table)) == ("mean", None, 99)
        kl = rest.get("scale", 2) * (mu**2 + log_var**2).sum(1).mean()
        return ((x - x_hat) ** 2).sum(1).mean() + beta * kl

    assert found(weighed).filled == (
        "beta = 4.0 by default",
        "reduction = 'mean' by default",
        "floor = None by default",
        "table = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9,... by default",
        "scale = 2 by default",
    )
    assert "beta = 4.0 by default" not in found(weighed, beta=1.0).filled
