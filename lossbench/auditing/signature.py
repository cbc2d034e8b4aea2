"""Which parameter of a loss is which: by its usual name, by ``--args``, by what is done with it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lossbench.auditing.probe import Setting
from lossbench.auditing.records import Failure
from lossbench.auditing.source import Names, Reading, read, signature_of, underlying

FOUR = ("x", "x_hat", "z_mean", "z_log_var")
SIZES = ("d", "k", "B", "N")
_SPREADS = ("z_log_var", "z_std", "z_var", "z_spread")
_TENSORS = (*FOUR, "z_std", "z_var", "z")

# Names are compared in lower case and without underscores.
_USUAL = {
    "x": "x xtrue ytrue true inputs input target targets original originals image images img imgs "
    "data real batch xin inputimg inputimgs xorig groundtruth inputdata xinput features databatch "
    "truth inp origx xoriginal gt xs xtarget targetx pixelvalues inputx inputimage inputimages",
    "x_hat": "xhat reconx xrecon recon reconstruction reconstructions reconstructed rec xrec "
    "xdecoded xdecodedmean decoded outputs output ypred pred preds prediction predictions xpred "
    "yhat xreconstructed reconstructedx xprime xtilde logits xlogits xlogit reconlogits "
    "reconsx recons xbar decoderoutput decout reconstructionx reconbatch reconimg reconimgs "
    "reconimages reconsimg recimg recx xreconst xreconstruction xout outx logit xoutput genx "
    "xh xdec generated decodedx decodedmean muxhat mux xmu xmean xgen reconimage recondata xr "
    "probs xprobs reconprobs",
    "z_mean": "zmean mu mean means zmu muz meanz zm latentmean mus encmean latentmu qmu qmean muq "
    "qm meanq postmean zloc loc posteriormean encmu muenc zmeans qzmean qzmu",
    "z_log_var": "zlogvar logvar logvariance zlogvariance lnvar logvarz lvar zlv zlogsigma "
    "logsigma zlogstd logstd logsigma2 zlogsigma2 logsigmasq zlogsigmasq logsigmasquared logvars "
    "latentlogvar enclogvar lv logstdev logv lnsigma2 logs logsq qlogvar qlogv logvarq latentlogv "
    "sigmalog lnvariance postlogvar posteriorlogvar zlogscale logscale zlogvars qzlogvar lnsigma "
    "logvarenc logvarianceq zlnvar rho zrho rawstd rawsigma rawscale",
    "z_std": "zstd std stddev sigma zsigma stdev zstddev sigmaz qstd qsigma scale zscale stds",
    "z_var": "zvar var variance zvariance sigma2 sigmasq qv qvar sigmasquared varz sigmasqz vars",
    "z": "z zsample zs sample latent latents code codes zt zsampled samples latentcode embedding",
    "x_log_var": "xlogvar reconlogvar logvarx declogvar logvarxhat xlv xhatlogvar decoderlogvar "
    "reconslogvar xlogsigma outputlogvar logvarrecon",
    "noise": "noise eps epsilon",
    "prior_mean": "priormu priormean mup pmean pmu pm meanp zpriormean zpriormu muprior meanprior",
    "prior_log_var": "priorlogvar logvarp plogvar plogv logvarprior zpriorlogvar priorlogv plv "
    "priorlogsigma",
    "mask": "mask masks padmask paddingmask attentionmask inputmask",
    "padding": "ispad keypaddingmask srckeypaddingmask",
    "lengths": "lengths length lens seqlen seqlens seqlengths",
    "posterior": "posterior posteriors q qz qzx dist zdist qdist qzgivenx latentdist posteriordist",
    "likelihood": "px pxz pxgivenz likelihood xdist decdist recondist decoderdist pxdist xhatdist",
    "prior": "p pz prior priordist zprior pdist",
    "rng": "rng key rngkey prngkey randomkey generator zrng",
    "training": "training istraining train",
    "label": "label labels",
    "index": "batchidx batchindex batchi batchid optimizeridx",
    "d": "d originaldim inputdim inputdims inputsize npixels numpixels npix nfeatures datadim xdim "
    "indim ninput ninputs inputfeatures nin datasize1d inputlength numfeatures",
    "k": "k latentdim latentdims latentsize zdim nlatent nlatents nz dimz codesize zsize codedim "
    "latentdimension latentdimensions embeddingdim bottleneck nlatentdims dlatent latentfeatures",
    "B": "batchsize b bs nbatch",
    "N": "n nimages datasetsize datasize ntrain numdata numexamples nsamples numsamples",
    "channels": "inchannels nchannels channels inputchannels numchannels imgchannels inchannel",
}
# These are taken where nothing better is known, in this order.
_WEAK = {
    "x_hat": "y yrecon out o x1 x2 r rx p yout",
    "x": "y t orig",
    "z_mean": "m a",
    "z_spread": "v s b var_",
}
# What fills a builder: a size of the data or of the latents under a name that is else a tensor's.
_BUILT = {
    "k": "latent latents z code codes h0 nlatentvars ncodes latentspace latentspacedim encodingdim "
    "encodingsize",
    "d": "input inputs features original x dim inputn columns ncolumns ncols",
    "shape": "inputshape imageshape shape imgshape inshape originalshape inputdims datashape",
}
_ROLE_OF = {name: role for role, names in _USUAL.items() for name in names.split()}
_BUILT_AS = {name: role for role, names in _BUILT.items() for name in names.split()}
_WEAKLY = {role: names.split() for role, names in _WEAK.items()}
DISTRIBUTIONS = {
    "posterior": ("own", "Independent", "MultivariateNormalDiag", "MultivariateNormal", "Normal"),
    "prior": ("Independent", "MultivariateNormalDiag", "MultivariateNormal", "Normal"),
    "likelihood": ("Bernoulli", "Independent", "Normal"),
}
_FURTHER = ("x_log_var", "noise", "prior_mean", "prior_log_var", "mask", "padding", "lengths")
FILLING = ("x", "z", *_FURTHER)
ROLES: tuple[str, ...] = (*_TENSORS, *SIZES, *_FURTHER, *DISTRIBUTIONS)

_FILLERS = ("batch", "tensor", "flat", "vec", "vector", "values", "arr")
# A parameter beside one of these belongs to a schedule, so that k, n and b are no sizes.
_WHEN = "step steps iteration iterations iter niter numiter epoch t globalstep it currentepoch"
_WHEN += " currentstep"
_OF_SCHEDULE = "step steps x0 iteration iterations iter niter numiter epoch epochs t globalstep it"
_OF_SCHEDULE += " currentepoch currentstep nepochs maxepoch totalsteps annealsteps warmup tmax"
_LONGEST_DEFAULT = 30  # letters of it that are shown
_LETTERS = ("k", "n", "b", "d")
_CONTAINERS = (
    "outputs output out outs batch data results result res modeloutput modeloutputs preds "
)
_CONTAINERS += "predictions vaeoutput forwardoutput outputdict ret returns state inputs input pred"
_OF_TENSORS = {"mean", "std", "var", "data", "real", "scale", "loc", "variance", "stddev"}
_OF_TENSORS |= {"shape", "dtype", "device", "ndim", "T"}
_CONFIGURATIONS = "cfg config conf configs args opt opts options hparams hps hp hyperparams flags "
_CONFIGURATIONS += "hyperparameters settings"
MODELS = ("model", "vae", "net", "network", "autoencoder", "ae", "module", "cvae")
_MEANING = {
    "d": "the size of an image",
    "k": "the latent size",
    "B": "the images of a batch",
    "N": "the training images",
    "x_log_var": "zeros, a decoder of variance 1",
    "noise": "standard normal numbers",
    "prior_mean": "zeros",
    "prior_log_var": "zeros",
    "mask": "ones",
    "padding": "False, no padding",
    "lengths": "full lengths",
    "posterior": "of z_mean and exp(z_log_var/2)",
    "prior": "of mean 0 and deviation 1",
    "likelihood": "of mean x_hat and deviation 1",
    "rng": "a random generator, seeded",
    "training": "True, as in training",
    "label": "zeros",
    "index": "0",
    "shape": "the shape of an image",
    "channels": "the channels of an image",
}
# The usual orders of a loss's arguments, tried where no name tells.
ORDERS: tuple[tuple[str, ...], ...] = (
    ("x_hat", "x", "z_mean", "z_log_var"),
    ("x", "x_hat", "z_mean", "z_log_var"),
)


def is_of_schedule(name: str) -> bool:
    """Return whether a number of that name says how far training is, as ``step`` does."""
    return plain(name.rpartition(".")[2]) in _OF_SCHEDULE.split()


def says_when(name: str) -> bool:
    """Return whether a number of that name is the place in training itself, as ``epoch`` is."""
    return plain(name.rpartition(".")[2]) in _WHEN.split()


class Refusal(Exception):  # noqa: N818 - it is a value for the parent, not an error here
    """Why something cannot be audited, as plain values."""

    def __init__(self, stage: str, message: str, line: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(stage, "", message, line)


# A role, what a tuple holds, or what lies under keys; "" for what is not known.
Want = str | tuple["Want", ...] | dict[str, "Want"]


@dataclass(frozen=True)
class Signature:
    """The parameters of a loss, each with its role or with what a container of that name holds.

    ``model`` and ``config`` are roles too; a container that may be asked for anything holds
    ``()``. ``defaults`` are numbers that others have; ``missing`` are roles that no parameter
    has, ``needed`` parameters without a role and without a value, ``absent`` those that are left
    at ``None``. ``names`` are all parameters
    in order, the first ``n_by_place`` of which have no name for the caller; ``star`` is what
    ``*args`` gets, ``keywords`` whether there is ``**kwargs``; ``forms`` are the classes of
    distributions. ``bare`` is whether
    several tensors come in a plain tuple, as Keras takes them apart before the loss does.
    """

    arguments: dict[str, Want]
    defaults: dict[str, float]
    missing: tuple[str, ...]
    needed: tuple[str, ...]
    absent: tuple[str, ...]
    names: tuple[str, ...]
    n_by_place: int
    star: Want | None
    keywords: bool
    forms: Mapping[str, str]
    notes: tuple[str, ...]
    bare: bool = False

    @property
    def roles(self) -> set[str]:
        """Every role that is asked for, inside containers too."""
        return roles_in(self.arguments) | roles_in(self.star or "")


def usual_role(name: str) -> str:
    """Return the role that a parameter of that name has as a rule, or an empty string.

    >>> usual_role("x_decoded_mean"), usual_role("mu_batch"), usual_role("colour")
    ('x_hat', 'z_mean', '')
    """
    words = name.lower().strip("_").split("_")
    role = _ROLE_OF.get("".join(words), "")
    return role or _ROLE_OF.get("".join(w for w in words if w not in _FILLERS), "")


def wanted(names: Names, reading: Reading | None = None) -> Want:
    """Return the roles of names that something is unpacked into, and what these are in turn."""
    if isinstance(names, str):
        weak = (role for role in ("z_mean", "z_spread", "x_hat") if plain(names) in _WEAKLY[role])
        inner = wanted(reading.unpacked.get(names, ())) if reading else ""
        latents = roles_in(inner) & {*_SPREADS, "z_mean"}
        return inner if latents else usual_role(names) or next(weak, "")
    found = [wanted(name, reading) for name in names]
    return found[0] if len(found) == 1 and not isinstance(found[0], str) else tuple(found)


def roles_in(want: Want) -> set[str]:
    """Return every role in what is wanted."""
    if isinstance(want, str):
        return {want}
    return set().union(*map(roles_in, want.values() if isinstance(want, dict) else want))


def plain(name: str) -> str:
    """Return a name as the tables have it."""
    return name.lower().replace("_", "")


def told(parameter: str, role: str, value: object) -> str:
    """Return in words how a parameter was filled, or an empty string for a tensor of the four."""
    if role in _TENSORS or role not in _MEANING:
        return ""
    shown = f"{value}, " if role in (*SIZES, "shape", "channels") else ""
    if role in DISTRIBUTIONS:
        shown = f"{type(value).__name__}, "
    return f"{parameter} := {shown}{_MEANING[role]}"


def kept_at(p: inspect.Parameter, role: str) -> str:
    """Return in words that a size is left at its default, and how it would follow its role."""
    if role not in ("d", "k") or not isinstance(p.default, int):
        return ""
    return f"{p.name} = {p.default} by default: --args {role}={p.name} has it follow {role}"


def _short(value: object) -> str:
    """Return a default in a few words: a function or a class by its name."""
    shown = getattr(value, "__name__", repr(value))
    return shown if len(shown) <= _LONGEST_DEFAULT else f"{shown[:_LONGEST_DEFAULT]}..."


def read_signature(
    loss: Callable[..., object],
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    first: int = 0,
) -> Signature:
    """Return the roles of a loss's parameters; ``named`` maps roles to parameters.

    A size with a default keeps it, and so does a parameter that ``given`` sets. ``first`` skips
    parameters, such as ``self``.
    """
    parameters = list(signature_of(loss).parameters.values())[first:]
    own = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    reading = read(loss)
    arguments, notes = _arguments(own, named, given, reading)
    defaults: dict[str, float] = {}
    needed: list[str] = []
    star: Want | None = None
    for p in parameters:
        usual = {p.name: p.default}
        if p.kind is p.VAR_POSITIONAL:
            star = wanted(reading.unpacked.get(p.name, ()), reading)
        elif p.kind is p.VAR_KEYWORD:
            asked = dict.fromkeys(reading.needed.get(p.name, ()))
            needed += [key for key in asked if key not in given]
            usual = reading.optional.get(p.name, {})
        elif p.name in arguments or p.name in given:
            continue
        elif p.default is p.empty:
            needed += _needed(p.name, arguments, given, reading)
        for name, value in usual.items():
            if value is not p.empty and not any(note.startswith(f"{name} = ") for note in notes):
                notes.append(f"{name} = {_short(value)} by default")
            if isinstance(value, int | float) and not isinstance(value, bool):
                defaults[name] = value
    handed = {name for name, *_ in reading.passed if not reading.into(name)}
    containers = {n: want for n, want in arguments.items() if not isinstance(want, str)}
    anything = any(not want or name in handed for name, want in containers.items())
    found = roles_in(arguments) | roles_in(star or "")
    return Signature(
        arguments=arguments,
        defaults=defaults,
        missing=() if star == () or anything else missing(found),
        needed=tuple(needed),
        absent=tuple(
            p.name for p in own if p.default is None and p.name not in {*arguments, *given}
        ),
        names=tuple(p.name for p in own),
        n_by_place=sum(p.kind is p.POSITIONAL_ONLY for p in own),
        star=star,
        keywords=any(p.kind is p.VAR_KEYWORD for p in parameters),
        forms=_forms(loss, arguments, reading),
        notes=tuple(notes),
    )


def _forms(loss: Any, arguments: Mapping[str, Want], reading: Reading) -> dict[str, str]:
    """Return the class of each distribution: by its annotation, else by the names in the code."""
    forms = {}
    for role, kinds in DISTRIBUTIONS.items():
        hints = {*getattr(getattr(underlying(loss), "__code__", None), "co_names", ())}
        for name in [n for n, own in arguments.items() if own == role]:
            kind = signature_of(loss).parameters[name].annotation
            if any(call.path[:2] == (name, "kl") for call in reading.called):
                hints = {"own"}
            elif kind is not inspect.Parameter.empty:
                hints = {getattr(kind, "__name__", str(kind)).rpartition(".")[2]}
        forms[role] = next((kind for kind in kinds if kind in hints), "Normal")
    return forms


def missing(found: Iterable[str]) -> tuple[str, ...]:
    """Return which of the four are not there; a spread of any kind or a posterior will do."""
    have = set(found)
    if have & {"posterior", "latents"}:
        have |= {"z_mean", "z_log_var"}
    if "likelihood" in have:
        have.add("x_hat")
    if have & set(_SPREADS):
        have.add("z_log_var")
    return tuple(role for role in FOUR if role not in have)


def _arguments(
    own: list[inspect.Parameter],
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    reading: Reading,
) -> tuple[dict[str, Want], list[str]]:
    """Return what each parameter gets that is known, and notes in words."""
    told_roles = {parameter: role for role, parameter in named.items()}
    scheduled = any(is_of_schedule(p.name) for p in own)
    found: dict[str, Want] = {}
    notes: list[str] = []
    for p in own:
        want: Want = told_roles.get(p.name, "")
        if not want and p.name not in given:
            role = usual_role(p.name)
            if role in named or (scheduled and p.name.lower() in _LETTERS):
                role = ""
            notes += filter(None, [kept_at(p, role)])
            if p.default is not p.empty and role != "training":  # only a tensor may be None
                role = role if p.default is None and role in _TENSORS else ""
            inside = _contents(p.name, role, reading)
            want = inside if inside and (p.default is p.empty or inside != "model") else role
            if want == (role,):
                notes.append(
                    f"{p.name} := a list of one {role}: --args {role}={p.name} hands over an array"
                )
        if want and (not isinstance(want, str) or want not in found.values()):
            found[p.name] = want
    if "posterior" not in found.values():
        found = {n: want for n, want in found.items() if want != "prior" or n in told_roles}
    free = [p.name for p in own if p.default is p.empty and p.name not in (*given, *told_roles)]
    notes += _fill_weakly(free, found)
    lacking = missing(roles_in(found))
    for name in free:  # what is still unknown may be a container
        if name not in found and lacking and plain(name) in _CONTAINERS.split():
            found[name] = ()
    if lacking == ("z_mean", "z_log_var") and "model" not in found.values():
        for name, path, _ in reading.passed:  # or is one, and handed on to what takes it apart
            container = found.get(name) == "x_hat" and plain(name) in _CONTAINERS.split()
            if container and path[:1] not in (("F",), ("torch",)):
                found[name] = ()
    return found, notes


def _contents(name: str, role: str, reading: Reading) -> Want:  # noqa: PLR0911 - as they come
    """Return what lies in a parameter that is taken apart, or ``model``; nothing for neither."""
    if plain(name) in _CONFIGURATIONS.split():
        return ""
    used = [call.path[0] for call in reading.called] + [each for each, *_ in reading.passed]
    if plain(name) in MODELS and name in used:
        return "model"
    if role in DISTRIBUTIONS and name not in {*reading.unpacked, *reading.inside}:
        return ""
    looped = {usual_role(each) for each in reading.looped}
    if (
        role in FOUR[2:]
        and name in reading.looped
        and name.endswith("s")
        and not looped & {*FOUR[:2]}
    ):
        return (role,)  # a list of groups of latents, of which there is one; no rows of a batch
    order = wanted(reading.into(name), reading)
    latent = roles_in(order) & {*_SPREADS, "z_mean"}
    if name == "batch" and isinstance(order, tuple) and len(order) > 1 and not latent:
        return ("x", *["label"] * (len(order) - 1))
    n_tensors = len(roles_in(order) & {*_TENSORS, "label"})
    if order and (n_tensors > 1 or (n_tensors and role != "x") or not role):
        return order
    inside = reading.inside.get(name, {})
    if inside and role not in _TENSORS:
        return {key: wanted(names) for key, names in inside.items()}
    keys = [*reading.needed.get(name, ()), *reading.optional.get(name, ())]
    keyed = [key for key in keys if usual_role(key)]
    dotted = [key for key in reading.fields.get(name, ()) if usual_role(key) in _TENSORS]
    if keyed or {*dotted} - _OF_TENSORS:
        roles = dict.fromkeys(map(usual_role, keyed + dotted))
        return tuple(sorted(roles, key=lambda each: [*_TENSORS, each].index(each)))
    return ""


def _fill_weakly(free: list[str], found: dict[str, Want]) -> list[str]:
    """Give roles that are still missing to parameters of names such as ``y`` and ``m``."""
    known = {want for want in found.values() if isinstance(want, str)}
    if "model" in known:
        for name in free:
            if name.lower() in ("y", "y_true", "target", "targets"):
                found.setdefault(name, "x")
    notes = []
    for lacking in missing(known) if len(known & {*_TENSORS}) > 1 else ():
        role = "z_spread" if lacking == "z_log_var" else lacking
        for name in free:
            if name not in found and plain(name) in _WEAKLY.get(role, ()):
                found[name] = role
                notes += [f"{name} := {role}, as it seems"] if role != "z_spread" else []
                break
    return notes


def builder_roles(
    build: Callable[..., object],
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    *,
    follow: bool,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return which parameters of a function that builds a model, or of a class, are sizes.

    Their roles, and the parameters that are needed besides; ``follow`` if a size with a default
    is not left at it.
    """
    told_roles = {parameter: role for role, parameter in named.items()}
    roles: dict[str, Want] = {}
    needed: list[str] = []
    reading = read(getattr(build, "__init__", None) if inspect.isclass(build) else build)
    for p in inspect.signature(build).parameters.values():
        if p.name in given or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        role = told_roles.get(p.name) or _BUILT_AS.get(plain(p.name)) or usual_role(p.name)
        if role == "d" and isinstance(p.default, tuple | list):
            role = "shape"
        size = role in (*SIZES, "shape", "channels")
        followed = follow or p.name in told_roles
        varied = followed and role in ("d", "k", "shape") and p.default is not None
        if size and role not in roles.values() and (p.default is p.empty or varied):
            roles[p.name] = role
        elif p.default is p.empty:
            needed += _needed(p.name, roles, given, reading)
    return {name: str(role) for name, role in roles.items()}, tuple(needed)


def _needed(
    name: str, roles: dict[str, Want], given: Mapping[str, Setting], reading: Reading
) -> list[str]:
    """Return what is to be given for a parameter: it, or what it is asked as a configuration."""
    asked = [*reading.needed.get(name, ()), *reading.fields.get(name, ())]
    if not asked or {*asked} & _OF_TENSORS:
        return [name]
    roles[name] = "config"
    return fields_needed(name, asked, given)


def fields_needed(name: str, asked: Iterable[str], given: Mapping[str, Setting]) -> list[str]:
    """Return the paths of what ``name`` is asked for and nobody gave; a size is known."""
    return [
        f"{name}.{key}"
        for key in dict.fromkeys(asked)
        if not {key, f"{name}.{key}"} & {*given} and usual_role(key) not in SIZES
    ]
