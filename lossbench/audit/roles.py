"""Which parameter of a loss is which: the usual names, and what ``--args`` says."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossbench.audit.probe import Setting

FOUR = ("x", "x_hat", "z_mean", "z_log_var")

# Names are compared in lower case and without underscores.
_USUAL = {
    "x": "x xtrue ytrue true inputs input target targets original originals image images img data "
    "real batch xin inputimg inputimgs imgs xorig groundtruth",
    "x_hat": "xhat reconx xrecon recon reconstruction reconstructions reconstructed rec xrec "
    "xdecoded xdecodedmean decoded outputs output ypred pred preds prediction predictions xpred "
    "yhat xreconstructed reconstructedx xprime xtilde logits xlogits xlogit reconlogits "
    "reconsx recons xbar decoderoutput decout",
    "z_mean": "zmean mu mean means zmu muz meanz zm latentmean mus encmean",
    "z_log_var": "zlogvar logvar logvariance zlogvariance lnvar logvarz lvar zlv zlogsigma "
    "logsigma zlogstd logstd logsigma2 zlogsigma2 logsigmasq zlogsigmasq logsigmasquared logvars "
    "latentlogvar enclogvar lv logstdev",
    "z_std": "zstd std stddev sigma zsigma stdev zstddev sigmaz",
    "z_var": "zvar var variance zvariance sigma2 sigmasq",
    "z": "z zsample zs sample latent latents code",
    "d": "d originaldim inputdim inputdims inputsize npixels numpixels npix nfeatures datadim xdim",
    "k": "k latentdim latentdims latentsize zdim nlatent nlatents nz dimz codesize",
    "B": "batchsize b bs nbatch",
    "N": "n nimages datasetsize datasize ntrain numdata numexamples nsamples numsamples",
}
_ROLE_OF = {name: role for role, names in _USUAL.items() for name in names.split()}
_SPREADS = ("z_log_var", "z_std", "z_var")
_TENSORS = (*FOUR, "z_std", "z_var", "z")
SIZES = ("d", "k", "B", "N")


@dataclass(frozen=True)
class Signature:
    """The parameters of a loss: each one's role, the numbers that others have by default.

    ``missing`` are roles that no parameter has; ``needed`` are parameters without a role and
    without a value; ``names`` are all parameters, in order.
    """

    arguments: dict[str, str]
    defaults: dict[str, float]
    missing: tuple[str, ...]
    needed: tuple[str, ...]
    names: tuple[str, ...]
    positional: tuple[str, ...]


def usual_role(name: str) -> str:
    """Return the role that a parameter of that name has as a rule, or an empty string.

    >>> usual_role("x_decoded_mean"), usual_role("mu"), usual_role("colour")
    ('x_hat', 'z_mean', '')
    """
    return _ROLE_OF.get(name.lower().replace("_", ""), "")


def read_signature(
    loss: Callable[..., object], named: Mapping[str, str], given: Mapping[str, Setting]
) -> Signature:
    """Return the roles of a loss's parameters; ``named`` maps roles to parameters.

    A size with a default keeps it, and so does a parameter that ``given`` sets.
    """
    called = getattr(loss, "forward", loss)  # what a module of PyTorch is called with
    parameters = inspect.signature(called).parameters.values()
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    told = {parameter: role for role, parameter in named.items()}
    arguments: dict[str, str] = {}
    defaults: dict[str, float] = {}
    needed = []
    for p in plain:
        role = told.get(p.name) or ("" if p.name in given else usual_role(p.name))
        if role in named and p.name not in told:
            role = ""
        has_default = p.default is not p.empty
        if role in SIZES and has_default and p.name not in told:
            role = ""
        if role in _TENSORS and has_default and p.name not in told and p.default is not None:
            role = ""
        if role and role not in arguments.values():
            arguments[p.name] = role
        elif p.name in given:
            continue
        elif not has_default:
            needed.append(p.name)
        elif isinstance(p.default, int | float) and not isinstance(p.default, bool):
            defaults[p.name] = float(p.default)
    found = set(arguments.values())
    missing = [role for role in FOUR if role not in found]
    if found & set(_SPREADS) and "z_log_var" in missing:
        missing.remove("z_log_var")
    return Signature(
        arguments=arguments,
        defaults=defaults,
        missing=tuple(missing),
        needed=tuple(needed),
        names=tuple(p.name for p in plain),
        positional=tuple(p.name for p in plain if p.kind is p.POSITIONAL_ONLY),
    )
