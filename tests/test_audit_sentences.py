"""What an audit says, word for word: a person acts upon its sentences."""

import functools

import pytest
import test_audit_kinds
from audited import further, kinds
from audited.bugs import BUGS
from test_audit import audited, of_bugs

from lossbench.auditing import Audit
from lossbench.loss import Sizes

# What a finding is: surely a mistake, and so that a gate does not pass with it, unless it says so.
UNSURE = {
    *("kl_twice", "reconstruction_twice", "schedule", "softplus", "maximised", "through"),
    *("inside", "log_var_named_sigma"),
}
HARMLESS = {
    *("hard_coded", "kl_twice", "reconstruction_twice", "idle_weight", "batch_dependence"),
    *("not_finite", "mutates", "softplus", "maximised", "log_var_named_sigma"),
}
# These are harmless though others of their kind are not, and unsure.
NO_MISTAKE = {"bounded_by", "damped", "clamped_to_6_and_2", "clamped_to_5", "divided_by_12"}


@functools.cache
def said(name: str) -> Audit:
    """Return the audit of a loss of the test bed."""
    if name in BUGS:
        return of_bugs(BUGS[name][0])
    if hasattr(kinds, name):
        return test_audit_kinds.found(name)
    sizes = Sizes(24, 12, 128, 60_000) if "12" in name else test_audit_kinds.SIZES
    return audited(getattr(further, name), sizes, **({"c": 5} if name == "pulled" else {}))


FINDINGS: dict[str, dict[str, str]] = {
    "hard_coded_factor": {
        "hard_coded": (
            "784 is hard-coded into the reconstruction, but d is 196: take the "
            "size from the tensors."
        ),
    },
    "kl_sign": {
        "kl_sign": "The KL has the wrong sign: the loss rewards it.",
    },
    "kl_without_half": {
        "kl_twice": (
            "The KL counts twice: it lacks its 1/2 (-0.5*...), or it is added a"
            " second time; leave it if the weight of 2 is meant."
        ),
    },
    "reconstruction_added_again": {
        "reconstruction_twice": (
            "The reconstruction counts twice: is it added a second time, or is a variance of 1/4 "
            "meant?"
        ),
    },
    "no_kl": {
        "kl_missing": "There is no KL term: z_mean and z_log_var change nothing.",
    },
    "no_reconstruction": {
        "reconstruction_missing": "The loss does not depend on the reconstruction.",
    },
    "std_squared": {
        "std_for_log_var": (
            "The KL is not whole: the variance is squared once too often. With "
            "the log variance it is -0.5*(1 + log_var - mean^2 - exp(log_var))."
        ),
    },
    "std_for_variance": {
        "std_for_log_var": (
            "The KL is not whole: the standard deviation lacks its square: it "
            "stands where the variance belongs. With the log variance it is "
            "-0.5*(1 + log_var - mean^2 - exp(log_var))."
        ),
    },
    "log_std_for_log_var": {
        "std_for_log_var": (
            "z_log_var is taken for the log of the standard deviation, and so "
            "the sampler has to take it."
        ),
    },
    "no_mean_in_kl": {
        "kl_part_missing": ("The KL is not whole: mean^2 is missing; b is the weight of the rest."),
    },
    "sign_within_kl": {
        "kl_parts": (
            "The KL is not whole: exp(z_log_var) has the wrong sign; b is the weight of the rest."
        ),
    },
    "idle_weight": {
        "idle_weight": (
            "The argument beta has no effect on the loss, with the others as they are."
        ),
    },
    "batch_summed_kl": {
        "batch_dependence": (
            "beta_eff goes in proportion to the batch size: another batch size,"
            " or a partial last batch, trains another objective."
        ),
    },
    "partial_batch": {
        "partial_batch": (
            "A partial last batch trains another objective: with 2 of 5 images "
            "beta_eff is 0.4 times that of a full batch."
        ),
    },
    "wrong_axis": {
        "batch_dependence": (
            "beta_eff goes in proportion to the batch size: another batch size,"
            " or a partial last batch, trains another objective."
        ),
        "wrong_axis": (
            "The KL is summed over the wrong axis: over the batch, and averaged over the latents."
        ),
    },
    "wrong_axis_of_images": {
        "batch_dependence": (
            "beta_eff goes as one over the batch size: another batch size, or a"
            " partial last batch, trains another objective."
        ),
        "wrong_axis": (
            "The reconstruction is summed over the wrong axis: over the batch, "
            "and averaged over the inputs."
        ),
    },
    "free_bits": {
        "kl_floor": (
            "The KL has a floor (free bits) of 2 nats on the KL of every image:"
            " below it the KL has no gradient, and b is 0."
        ),
    },
    "free_bits_of_latents": {
        "kl_floor": (
            "The KL has a floor (free bits) of 0.5 nats on every latent of "
            "every image: below it the KL has no gradient, and b is 0."
        ),
    },
    "capped": {
        "kl_clipped": (
            "The KL is cut off above 24 nats on the KL of every image: beyond, it has no gradient."
        ),
    },
    "clipped": {
        "kl_clipped": (
            "The KL clamps z_log_var to at least -4.5 and at most 3: beyond, it"
            " has no gradient in z_log_var."
        ),
    },
    "infinite": {
        "not_finite": (
            "The loss is not finite at x_hat of 0 and 1, which a sigmoid "
            "reaches in float32, among others: clip the argument of a "
            "logarithm, or compute bce from logits."
        ),
    },
    "infinite_logits": {
        "not_finite": (
            "The loss is not finite at logits of 100: clip the argument of a "
            "logarithm, or compute bce from logits."
        ),
    },
    "mutating": {
        "mutates": "The loss changes its argument x_hat in place.",
    },
    "without_the_last_pixel": {
        "uneven": ("Not all counts alike: the last pixel counts nothing in the reconstruction."),
    },
    "first_image_alone": {
        "uneven": ("Not all counts alike: the last image counts nothing in the reconstruction."),
    },
    "without_the_last_latent": {
        "uneven": "Not all counts alike: the last latent counts nothing in the KL.",
    },
    "swapped": {
        "swapped": ("The cross-entropy has its arguments swapped: x_hat stands where x belongs."),
    },
    "root": {
        "no_likelihood": (
            "The reconstruction is the root of the batch's mean squared error: "
            "no log-likelihood, so the sum of both terms is no ELBO at any "
            "weight."
        ),
    },
    "weight_beside": {
        "schedule": (
            "b moves with step, as a schedule does: 0.25 at 250, 0.5 at 500, 0.125 at 125."
        ),
    },
    "clamped_from_below": {
        "kl_clipped": (
            "The KL clamps log_var to at least -1: beyond, it has no gradient in log_var."
        ),
    },
    "clamped_mean": {
        "kl_clipped": (
            "The KL clamps z_mean to at least -2.5 and at most 2.5: beyond, it "
            "has no gradient in z_mean."
        ),
    },
    "square_is_missing": {
        "std_for_log_var": (
            "The KL is not whole: exp(log_sigma) lacks its square: it stands "
            "where the variance belongs. With the log variance it is -0.5*(1 + "
            "log_var - mean^2 - exp(log_var))."
        ),
    },
    "taken_for_the_deviation": {
        "std_for_log_var": (
            "log_var is taken for the standard deviation, and so the sampler has to take it."
        ),
    },
    "through_softplus": {
        "softplus": (
            "log_var goes through softplus: it is what softplus makes the "
            "standard deviation, and so the sampler has to take it."
        ),
    },
    "softplus_and_a_little": {
        "softplus": (
            "rho goes through softplus: it is what softplus makes the standard "
            "deviation, and so the sampler has to take it."
        ),
    },
    "only_the_mean_is_wrong": {
        "kl_parts": (
            "The KL is not whole: mean^2 has the wrong sign; b is the weight of the rest."
        ),
    },
    "wide_prior": {
        "kl_parts": (
            "The KL is not whole: log_var counts 4 times; b is the weight of "
            "the rest. It is also 1 times the KL to a prior of variance 4."
        ),
    },
    "counting": {
        "capacity": (
            "The KL has a capacity of 5.05 nats on the batch's mean KL: the "
            "loss holds |K - C| with the weight b (gamma), so below C it "
            "rewards the KL, and no constant weight is equal to it."
        ),
        "state": (
            "self.n changes with each call (100 -> 101), and with it the loss "
            "may. It was put back before every call: this is the loss at self.n"
            " = 100."
        ),
    },
    "floor_of_latents": {
        "kl_floor": (
            "The KL has a floor (free bits) of 0.25 nats (free_bits) on each "
            "latent's mean over the batch: below it the KL has no gradient, and"
            " b is 0."
        ),
    },
    "bounded_by": {
        "idle_weight": (
            "The argument unused has no effect on the loss, with the others as they are."
        ),
        "kl_clipped": (
            "The KL clamps log_var to at most 9: beyond, it has no gradient in log_var."
        ),
    },
    "correlated": {
        "further_term": (
            "Besides R and K there is a term that depends on how the latents of"
            " a batch's images differ, such as a penalty on their covariance. b"
            " is the weight of the KL of each image."
        ),
    },
    "kernel_distance": {
        "kl_unknown": (
            "What the latents add to the loss is no KL of a Gaussian to N(0, I)"
            " in any form that is known, so b and beta_eff cannot be told; "
            "there is a term that depends on the latents of the batch as a "
            "whole, such as a total correlation, an MMD, a penalty on their "
            "covariance or the square of their mean KL."
        ),
    },
    "capacity_squared": {
        "capacity": (
            "The KL has a capacity of 6 nats on the batch's mean KL: the loss "
            "holds (K - C)^2 with the weight b, so no constant weight is equal "
            "to it."
        ),
    },
    "two_errors": {
        "reconstruction_unknown": (
            "The reconstruction is several terms: 1*mse + 1/2*l1, each summed over the inputs."
        ),
    },
    "student": {
        "reconstruction_unknown": (
            "The reconstruction is none of the known kinds, so a and beta_eff cannot be told. "
            "The nearest is l1, absolute error: 3.8% off."
        ),
    },
    "dice": {
        "no_likelihood": (
            "The reconstruction is the dice loss, one minus twice the overlap: "
            "no log-likelihood, so the sum of both terms is no ELBO at any "
            "weight."
        ),
    },
    "weighed_by_the_error": {
        "coupled": (
            "The two terms are not added: what the latents add depends on the "
            "reconstruction, as with a weight that is computed from both. There"
            " is no constant a and b."
        ),
    },
    "correlation": {
        "kl_unknown": (
            "What the latents add to the loss is no KL of a Gaussian to N(0, I)"
            " in any form that is known, so b and beta_eff cannot be told; "
            "there is a term that depends on how the latents of a batch's "
            "images differ, such as a penalty on their covariance."
        ),
    },
    "of_the_deviation": {
        "std_for_log_var": (
            "z_var is taken for the standard deviation, and so the sampler has to take it."
        ),
    },
    "in_half_precision": {
        "kl_unknown": (
            "What the latents add is computed in half precision, too coarse to "
            "tell its form, b and beta_eff: audit it in float32."
        ),
    },
    "of_an_attribute": {
        "schedule": (
            "b moves with Stepping.step, as a schedule does: 0.3 at 300, 0.51 at 510, 0.135 at 135."
        ),
    },
    "maximised": {
        "kl_twice": (
            "The KL counts twice: it lacks its 1/2 (-0.5*...), or it is added a"
            " second time; leave it if the weight of 2 is meant."
        ),
        "maximised": (
            "It grows as the model improves, like an ELBO: what is minimised "
            "has to be its negative, which was audited."
        ),
    },
    "switching": {
        "mode": (
            "In evaluation mode b, the weight of K, is 1; in training, which is shown here, 0.5."
        ),
    },
    "rewarded": {
        "reconstruction_sign": (
            "The reconstruction has the wrong sign: the loss rewards its errors."
        ),
    },
    "against_the_sigmoid": {
        "through": (
            "The squared error is that of x against something that the loss "
            "makes of x_hat; a was measured by moving x. What depends on x_hat "
            "alone cannot be told."
        ),
    },
    "between_0_and_1": {
        "inside": (
            "The reconstruction is mse, squared error, for x_hat between 0 and 1, to a two-"
            "thousandth; far beyond, it is not: x_hat is bounded there, or a "
            "small further term is added, or it grows in another way."
        ),
    },
    "named_sigma": {
        "log_var_named_sigma": (
            "log_sigma is taken for the log variance: the sampler has to take exp(log_sigma/2)."
        ),
    },
    "damped": {
        "kl_clipped": (
            "The KL is the closed form for log_var between -7 and 7 alone; "
            "beyond, it is damped or bounded."
        ),
    },
    "drifting": {
        "state": (
            "The same tensors and the same seed give another number at every "
            "call, and what changes was not found: the numbers are means over "
            "such calls."
        ),
    },
    "floored_in_training": {
        "kl_floor": (
            "The KL has a floor (free bits) of 2 nats on the batch's mean KL: "
            "below it the KL has no gradient, and b is 0."
        ),
        "mode": (
            "In evaluation mode the loss gives other numbers: a floor, a clamp "
            "or a constant differs. This is the one of training."
        ),
    },
    "weighed_in_evaluation": {
        "mode": (
            "In evaluation mode a, the weight of R, is 2; in training, which is shown here, 1."
        ),
    },
    "divided_by_12": {
        "hard_coded": "The KL is divided by 12, which is k: is it hard-coded?",
    },
    "of_12_latents": {
        "hard_coded": (
            "The loss works at k = 12 alone, so a size is hard-coded, or a "
            "layer of that size is inside: elsewhere it says '12 latents, "
            "please'. --args k=latents has latents follow k."
        ),
    },
    "of_12_of_its_own": {
        "hard_coded": (
            "The loss works at k = 12 alone, so a size is hard-coded, or a "
            "layer of that size is inside: elsewhere it says '12 latents, "
            "please'."
        ),
    },
    "of_all_pairs": {
        "batch_dependence": (
            "beta_eff goes with the power 2 of the batch size: another batch "
            "size, or a partial last batch, trains another objective."
        ),
    },
    "without_the_log": {
        "kl_part_missing": (
            "The KL is not whole: log_var is missing; b is the weight of the rest."
        ),
    },
    "of_a_strange_sign": {
        "kl_parts": (
            "The KL is not whole: mean^2 has the wrong sign and counts 2 times;"
            " b is the weight of the rest."
        ),
    },
    "pulled": {
        "capacity": (
            "The KL has a capacity of 5 nats (c) on the batch's mean KL: the "
            "loss holds |K - C| with the weight b (gamma), so below C it "
            "rewards the KL, and no constant weight is equal to it."
        ),
    },
    "clamped_to_6_and_2": {
        "kl_clipped": (
            "The KL clamps log_var to at least -6.5 and at most 2.5: beyond, it"
            " has no gradient in log_var."
        ),
    },
    "clamped_to_5": {
        "kl_clipped": (
            "The KL clamps z_mean to at least -5.5 and at most 5.5: beyond, it "
            "has no gradient in z_mean."
        ),
    },
}
# What it means, and what to change.
MEANINGS: dict[str, tuple[list[str], str]] = {
    "hard_coded_factor": (
        [
            ("At d = 196 and k = 4 it is the documentation's loss with beta 0.25, times 4."),
        ],
        ("for beta_eff = 1 multiply the KL by 784/d."),
    ),
    "hard_coded_divisor": (
        [
            ("At d = 196 and k = 4 it is the documentation's loss with beta 196, divided by 784."),
        ],
        "for beta_eff = 1 multiply the KL by k/784.",
    ),
    "kl_sign": ([], ""),
    "kl_without_half": (
        [
            "Your loss is docs with beta 2.",
            "At d = 196 and k = 4 it is the documentation's loss with beta 2.",
        ],
        "for beta_eff = 1 multiply the KL by 1/2.",
    ),
    "reconstruction_added_again": (
        [
            "Your loss is docs with beta 0.5, times 2.",
            ("At d = 196 and k = 4 it is the documentation's loss with beta 0.5, times 2."),
        ],
        "for beta_eff = 1 multiply the KL by 2.",
    ),
    "log_std_for_log_var": (
        [
            ("Your loss is docs (as in keras-blog-revised, keras-2016-07-24, keras-2016-08-03)."),
            "At d = 196 and k = 4 it is the documentation's loss with beta 1.",
        ],
        "no weight: beta_eff is 1.",
    ),
    "idle_weight": (
        [
            ("Your loss is docs (as in keras-blog-revised, keras-2016-07-24, keras-2016-08-03)."),
            "At d = 196 and k = 4 it is the documentation's loss with beta 1.",
        ],
        "no weight: beta_eff is 1.",
    ),
    "batch_summed_kl": (
        [
            "At d = 196 and k = 4 it is the documentation's loss with beta 128.",
        ],
        (
            "for beta_eff = 1 multiply the KL by 1/B; reduce both terms over "
            "the batch in the same way."
        ),
    ),
    "partial_batch": (
        [
            "Your loss is kaixhin-autoencoders (as in pytorch-examples-2017).",
            ("At d = 196 and k = 4 it is the documentation's loss with beta 1, divided by 196."),
        ],
        "no weight: beta_eff is 1.",
    ),
    "fixed_batch": (
        [
            "At d = 196 and k = 4 it is the documentation's loss with beta 1.",
        ],
        "no weight: beta_eff is 1 at these sizes and weights.",
    ),
    "wrong_axis": (
        [
            "At d = 196 and k = 4 it is the documentation's loss with beta 32.",
        ],
        (
            "for beta_eff = 1 multiply the KL by k/B; reduce both terms over the"
            " batch in the same way."
        ),
    ),
    "wrong_axis_of_images": (
        [
            (
                "At d = 196 and k = 4 it is the documentation's loss with beta "
                "1.53125, divided by 1.53125."
            ),
        ],
        (
            "for beta_eff = 1 multiply the KL by B/d; reduce both terms over the"
            " batch in the same way."
        ),
    ),
    "free_bits": (
        [
            (
                "Above the floor your loss is docs (as in keras-blog-revised, "
                "keras-2016-07-24, keras-2016-08-03)."
            ),
            ("At d = 196 and k = 4 above the floor it is the documentation's loss with beta 1."),
        ],
        "no weight: beta_eff is 1.",
    ),
    "capped": (
        [
            (
                "Below the cut your loss is docs (as in keras-blog-revised, "
                "keras-2016-07-24, keras-2016-08-03)."
            ),
            ("At d = 196 and k = 4 below the cut it is the documentation's loss with beta 1."),
        ],
        "no weight: beta_eff is 1.",
    ),
    "clipped": (
        [
            (
                "Where nothing is clamped your loss is docs (as in keras-blog-"
                "revised, keras-2016-07-24, keras-2016-08-03)."
            ),
            (
                "At d = 196 and k = 4 where nothing is clamped it is the "
                "documentation's loss with beta 1."
            ),
        ],
        "no weight: beta_eff is 1.",
    ),
    "root": (
        [
            (
                "The weight of the squared errors follows the error itself: "
                "beta_eff is 2*d*rmse (against mse), so it falls as the "
                "reconstruction gets better, and no constant beta is equal to it."
            ),
        ],
        "",
    ),
    "weight_beside": (
        [
            ("As it is now, at d = 12 and k = 3 it is the documentation's loss with beta 0.25."),
        ],
        "",
    ),
    "logged_kl": (
        [
            (
                "Above the floor your loss is docs (as in keras-docs-mse, tfjs-"
                "examples, pythae-2021)."
            ),
            ("At d = 12 and k = 3 above the floor it is the documentation's loss with beta 1."),
        ],
        "no weight: beta_eff is 1.",
    ),
    "in_a_record": (
        [
            "Your loss is docs with beta 3.",
            "At d = 12 and k = 3 it is the documentation's loss with beta 3.",
        ],
        "for beta_eff = 1 multiply the KL by 1/3.",
    ),
    "clamped_from_below": (
        [
            (
                "Where nothing is clamped your loss is docs (as in keras-docs-mse, "
                "tfjs-examples, pythae-2021)."
            ),
            (
                "At d = 12 and k = 3 where nothing is clamped it is the "
                "documentation's loss with beta 1."
            ),
        ],
        "no weight: beta_eff is 1.",
    ),
    "taken_for_the_deviation": (
        [
            ("Your loss is docs (as in keras-docs-mse, tfjs-examples, pythae-2021)."),
            "At d = 12 and k = 3 it is the documentation's loss with beta 1.",
        ],
        "no weight: beta_eff is 1.",
    ),
    "through_softplus": (
        [
            ("Your loss is docs (as in keras-docs-mse, tfjs-examples, pythae-2021)."),
            "At d = 12 and k = 3 it is the documentation's loss with beta 1.",
        ],
        "nothing: beta_eff is 1.",
    ),
    "counting": (
        [
            (
                "As it is now, K is pulled to 5.05 nats from below and from above; "
                "b only says how hard."
            ),
        ],
        "",
    ),
    "capacity": (
        [
            ("K is pulled to 4 nats from below and from above; b only says how hard."),
        ],
        "",
    ),
    "optimal_sigma": (
        [
            (
                "The weight of the squared errors follows the error itself: "
                "beta_eff is 2*mse (against mse), so it falls as the reconstruction"
                " gets better, and no constant beta is equal to it."
            ),
        ],
        "",
    ),
    "of_an_attribute": (
        [
            ("As it is now, at d = 12 and k = 3 it is the documentation's loss with beta 0.3."),
        ],
        "",
    ),
    "maximised": (
        [
            "Your loss is docs with beta 2.",
            "At d = 12 and k = 3 it is the documentation's loss with beta 2.",
        ],
        "for beta_eff = 1 multiply the KL by 1/2.",
    ),
    "annealed": (
        [
            (
                "As it is now, at d = 12 and k = 3 it is the documentation's loss "
                "with beta 9.3276, divided by 12."
            ),
        ],
        "",
    ),
    "switching": (
        [
            "Your loss is docs with beta 0.5.",
            "At d = 12 and k = 3 it is the documentation's loss with beta 0.5.",
        ],
        "for beta_eff = 1 multiply the KL by 2.",
    ),
    "divided_by_12": (
        [
            "Your loss is docs with beta 0.0833333.",
            ("At d = 24 and k = 12 it is the documentation's loss with beta 0.0833333."),
        ],
        "for beta_eff = 1 multiply the KL by 12.",
    ),
    "of_all_pairs": (
        [
            ("At d = 12 and k = 3 it is the documentation's loss with beta 16384."),
        ],
        (
            "for beta_eff = 1 multiply the KL by 1/B^2; reduce both terms over "
            "the batch in the same way."
        ),
    ),
    "in_its_own_range": (
        [
            (
                "R is that of data in [-1, 1], four times that of the same data in "
                "[0, 1]: there beta_eff is 1."
            ),
        ],
        "for beta_eff = 1 multiply the KL by 0.25.",
    ),
    "pulled": (
        [
            ("K is pulled to 5 nats from below and from above; b only says how hard."),
        ],
        "",
    ),
    "averaged": (
        [
            ("Your loss is blog (as in keras-guide, adsp-world-models-2018-04-20)."),
            ("At d = 12 and k = 3 it is the documentation's loss with beta 4, divided by 12."),
        ],
        ("for beta_eff = 1 multiply the KL by k/d, or sum both terms instead of averaging them."),
    ),
    "summed_of_images": (
        [
            ("At d = 12 and k = 3 it is the documentation's loss with beta 12, divided by 12."),
        ],
        ("for beta_eff = 1 multiply the KL by 1/d, or sum the reconstruction over the inputs too."),
    ),
    "averaged_of_latents": (
        [
            ("At d = 12 and k = 3 it is the documentation's loss with beta 0.333333."),
        ],
        ("for beta_eff = 1 multiply the KL by k, or sum the KL over the latents too."),
    ),
    "by_1000": (
        [
            "Your loss is docs with beta 784.",
            "At d = 12 and k = 3 it is the documentation's loss with beta 784.",
        ],
        "for beta_eff = 1 multiply the KL by 1/weight.",
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_a_sentence(name: str) -> None:
    """All that was found, and nothing else; what is surely a mistake comes first."""
    findings = said(name).findings
    assert {finding.code: finding.text for finding in findings} == FINDINGS[name]
    assert list(findings) == sorted(findings, key=lambda finding: not finding.certain)
    for finding in findings:
        mild = name in NO_MISTAKE and finding.code in ("kl_clipped", "hard_coded")
        assert finding.certain == (finding.code not in UNSURE and not mild), finding.code
        assert finding.changes == (finding.code not in HARMLESS and not mild), finding.code


@pytest.mark.parametrize("name", MEANINGS)
def test_what_a_loss_means_and_what_to_change_are_sentences(name: str) -> None:
    """Nothing is advised where no factor on the KL would mend it."""
    audit = said(name)
    assert (list(audit.meaning), audit.change) == MEANINGS[name]
