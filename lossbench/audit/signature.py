"""Which parameter of a loss is which: by its usual name, by ``--args``, by what is done with it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lossbench.audit.probe import Setting
from lossbench.audit.records import Failure
from lossbench.audit.source import Names, Reading, read, signature_of, underlying

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
    "xh xdec generated decodedx decodedmean muxhat mux xmu xmean xgen reconimage recondata xr",
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
    "k": "latent latents z code codes h0 nlatentvars ncodes latentspace latentspacedim encodingdim",
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
ROLES: tuple[str, ...] = (
    *_TENSORS,
    *SIZES,
    "x_log_var",
    "noise",
    "prior_mean",
    "prior_log_var",
    "mask",
    "lengths",
)
ROLES += (*DISTRIBUTIONS,)

_FILLERS = ("batch", "tensor", "flat", "vec", "vector", "values", "arr")
# A parameter beside one of these belongs to a schedule, so that k, n and b are no sizes.
_OF_SCHEDULE = "step steps x0 iteration iterations iter niter numiter epoch epochs t globalstep it"
_OF_SCHEDULE += " currentepoch currentstep nepochs maxepoch totalsteps annealsteps warmup tmax"
_LETTERS = ("k", "n", "b", "d")
_CONTAINERS = (
    "outputs output out outs batch data results result res modeloutput modeloutputs preds "
)
_CONTAINERS += "predictions vaeoutput forwardoutput outputdict ret returns state inputs input pred"
_OF_TENSORS: tuple[str, ...] = (
    "mean",
    "std",
    "var",
    "data",
    "real",
    "scale",
    "loc",
    "variance",
    "stddev",
)
_OF_TENSORS += ("shape", "dtype", "device", "ndim", "T")
_MODELS = "model vae net network autoencoder ae module cvae"
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
    return _plain(name.rpartition(".")[2]) in _OF_SCHEDULE.split()


class Refusal(Exception):  # noqa: N818 - it is a value for the parent, not an error here
    """Why something cannot be audited, as plain values."""

    def __init__(self, stage: str, message: str, line: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(stage, "", message, line)


# A role, what a tuple holds, or what lies under keys; "" for what is not known.
Want = str | tuple["Want", ...] | dict[str, "Want"]


@dataclass(frozen=True)
class Signature:
    """The parameters of a loss: each one's role, the numbers that others have by default.

    ``orders`` says what the parameters hold that are containers; ``star`` what ``*args`` gets,
    where the source tells, and ``keywords`` whether there is ``**kwargs``. ``missing`` are roles
    that no parameter has; ``needed`` are parameters without a role and without a value; ``names``
    are all parameters, in order; ``forms`` are the classes of distributions.
    """

    arguments: dict[str, str]
    orders: dict[str, Want]
    defaults: dict[str, float]
    missing: tuple[str, ...]
    needed: tuple[str, ...]
    names: tuple[str, ...]
    positional: tuple[str, ...]
    star: Want | None = None
    keywords: bool = False
    forms: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())


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
        role = usual_role(names) or _weak(names)
        inner = wanted(reading.unpacked.get(names, ())) if reading else ""
        return inner if roles_in(inner) & {*_SPREADS, "z_mean"} else role
    found = [wanted(name, reading) for name in names]
    if len(found) == 1 and not isinstance(found[0], str):
        return found[0]
    return tuple(found)


def _weak(name: str) -> str:
    plain = name.lower().replace("_", "")
    return next((r for r in ("z_mean", "z_spread", "x_hat") if plain in _WEAKLY[r]), "")


def roles_in(want: Want) -> set[str]:
    """Return every role in what is wanted."""
    if isinstance(want, str):
        return {want}
    return set().union(*map(roles_in, want.values() if isinstance(want, dict) else want))


def told(parameter: str, role: str, values: Callable[[str], Any]) -> str:
    """Return in words how a parameter was filled, or an empty string for a tensor of the four."""
    if role in _TENSORS or role not in _MEANING:
        return ""
    shown = f"{values(role)}, " if role in ("d", "k", "N", "shape", "channels") else ""
    if role in DISTRIBUTIONS:
        shown = f"{type(values(role)).__name__}, "
    return f"{parameter} := {shown}{_MEANING[role]}"


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
    called = signature_of(loss)
    parameters = list(called.parameters.values())[first:]
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    reading = read(underlying(loss)) if inspect.isfunction(underlying(loss)) else Reading()
    roles, notes, orders = _roles(plain, named, given, reading)
    defaults: dict[str, float] = {}
    needed: list[str] = []
    for p in plain:
        if p.name in roles or p.name in given:
            continue
        if p.default is p.empty:
            asked = _configured(p.name, reading, given)
            if asked is not None:
                roles[p.name] = "config"
            needed += [p.name] if asked is None else asked
        elif isinstance(p.default, int | float) and not isinstance(p.default, bool):
            defaults[p.name] = p.default  # a whole number stays one: it may be a size
    star: Want | None = None
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            star = wanted(reading.unpacked.get(p.name, ()), reading)
        if p.kind is p.VAR_KEYWORD:
            needed += [
                key for key in dict.fromkeys(reading.needed.get(p.name, ())) if key not in given
            ]
            for key, default in reading.optional.get(p.name, {}).items():
                if isinstance(default, int | float) and not isinstance(default, bool):
                    defaults[key] = default
    found = set(roles.values()).union(*map(roles_in, orders.values()), roles_in(star or ""))
    return Signature(
        arguments=roles,
        orders=orders,
        defaults=defaults,
        missing=() if star == () or _open(roles, orders, reading) else missing(found),
        needed=tuple(needed),
        names=tuple(p.name for p in plain),
        positional=tuple(p.name for p in plain if p.kind is p.POSITIONAL_ONLY),
        star=star,
        keywords=any(p.kind is p.VAR_KEYWORD for p in parameters),
        notes=tuple(notes),
        forms={
            role: next((kind for kind in kinds if kind in _hints(loss, role, roles)), "Normal")
            for role, kinds in DISTRIBUTIONS.items()
        },
    )


def _hints(loss: Any, role: str, roles: Mapping[str, str]) -> set[str]:
    """Return the names that tell a distribution's class: its annotation, else the code's names."""
    for name, own in roles.items():
        if own == role:
            if any(call.path[:2] == (name, "kl") for call in read(underlying(loss)).called):
                return {"own"}
            told_by = signature_of(loss).parameters[name].annotation
            if told_by is not inspect.Parameter.empty:
                return {getattr(told_by, "__name__", str(told_by)).rpartition(".")[2]}
    function = underlying(loss)
    return {*function.__code__.co_names} if inspect.isfunction(function) else set()


def missing(found: Iterable[str]) -> tuple[str, ...]:
    """Return which of the four are not there; a spread of any kind or a posterior will do."""
    have = set(found)
    if "posterior" in have:
        have |= {"z_mean", "z_log_var"}
    if "likelihood" in have:
        have.add("x_hat")
    if "latents" in have:
        have |= {"z_mean", "z_log_var"}
    if have & set(_SPREADS):
        have.add("z_log_var")
    return tuple(role for role in FOUR if role not in have)


def _open(roles: Mapping[str, str], orders: Mapping[str, Want], reading: Reading) -> bool:
    """Return whether a container answers for whatever it will be asked, here or elsewhere."""
    passed = {name for name, *_ in reading.passed}
    return any(
        role == "fields" and (not orders.get(name) or name in passed - {*reading.unpacked})
        for name, role in roles.items()
    )


def _roles(
    plain: list[inspect.Parameter],
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    reading: Reading,
) -> tuple[dict[str, str], list[str], dict[str, Want]]:
    """Return the role of each parameter that has one, notes in words, what containers hold."""
    told_roles = {parameter: role for role, parameter in named.items()}
    schedule = any(is_of_schedule(p.name) for p in plain)
    roles: dict[str, str] = {}
    orders: dict[str, Want] = {}
    notes = []
    for p in plain:
        role = told_roles.get(p.name, "")
        if not role and p.name not in given:
            role = usual_role(p.name)
            if role in named or (schedule and p.name.lower() in _LETTERS):
                role = ""
            if role in ("d", "k") and isinstance(p.default, int):
                notes.append(
                    f"{p.name} = {p.default} by default: --args {role}={p.name} has it follow "
                    f"{role}"
                )
            role = _with_default(role, p.default)
            kept = _contents(p.name, role, reading)
            if kept is not None and (p.default is p.empty or kept[1]):
                role, orders[p.name] = kept
        if role and (role not in roles.values() or role == "fields"):
            roles[p.name] = role
    if "posterior" not in roles.values():
        roles = {n: role for n, role in roles.items() if role != "prior" or n in told_roles}
    _fill_weakly(plain, named, given, roles, notes)
    have = set(roles.values()).union(*map(roles_in, orders.values()))
    for p in plain:  # what is still unknown may be a container
        unknown = p.name not in roles and p.default is p.empty and p.name not in given
        if unknown and missing(have) and _plain(p.name) in _CONTAINERS.split():
            roles[p.name], orders[p.name] = "fields", ()
    handed = {name for name, path, _ in reading.passed if path[:1] not in (("F",), ("torch",))}
    if missing(have) == ("z_mean", "z_log_var") and "model" not in have:
        for name in [n for n, role in roles.items() if role == "x_hat"]:
            if _plain(name) in _CONTAINERS.split() and name in handed:
                roles[name], orders[name] = "fields", ()  # handed on to what will take it apart
    return roles, notes, orders


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _with_default(role: str, default: object) -> str:
    """Return the role that a parameter keeps beside its default: a tensor's, if that is None."""
    if default is inspect.Parameter.empty or role == "training":
        return role
    return role if default is None and role in _TENSORS else ""


def _contents(  # noqa: PLR0911 - a case for every way
    name: str, role: str, reading: Reading
) -> tuple[str, Want] | None:
    """Return ``fields`` and an order, or ``model``, for a parameter that is taken apart."""
    called = any(call.path[0] == name for call in reading.called)
    if _plain(name) in _MODELS.split() and (called or name in {n for n, *_ in reading.passed}):
        return "model", ()
    if role in DISTRIBUTIONS and name not in {*reading.unpacked, *reading.inside}:
        return None
    order = wanted(reading.unpacked.get(name, ()), reading)
    n_tensors = len(roles_in(order) & {*_TENSORS, "label"})
    if order and (n_tensors > 1 or (n_tensors and role != "x") or not role):
        return "fields", order
    inside: Want = {key: wanted(names) for key, names in reading.inside.get(name, {}).items()}
    if inside and role not in _TENSORS:
        return "fields", inside
    if isinstance(order, tuple) and len(order) > 1 and name == "batch":
        return "fields", ("x", *["label"] * (len(order) - 1))
    keys = [*reading.needed.get(name, ()), *reading.optional.get(name, ())]
    keyed = [key for key in keys if usual_role(key)]
    dotted = [key for key in reading.fields.get(name, ()) if usual_role(key) in _TENSORS]
    if keyed or not {*dotted} <= {*_OF_TENSORS}:
        return "fields", tuple(wanted(key) for key in dict.fromkeys(keyed + dotted))
    return None


def _fill_weakly(
    plain: list[inspect.Parameter],
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    roles: dict[str, str],
    notes: list[str],
) -> None:
    """Give roles that are still missing to parameters of names such as ``y`` and ``m``."""
    known = set(roles.values())
    if "model" in known:
        for p in plain:
            if p.name.lower() in ("y", "y_true", "target", "targets") and p.default is p.empty:
                roles.setdefault(p.name, "x")
    if len(known & {*_TENSORS}) < 2:
        return
    for lacking in missing(known):
        role = "z_spread" if lacking == "z_log_var" else lacking
        for p in plain:
            word = _plain(p.name)
            free = p.name not in roles and p.name not in given and p.name not in named.values()
            if free and p.default is p.empty and word in _WEAKLY.get(role, ()):
                roles[p.name] = role
                if role != "z_spread":
                    notes.append(f"{p.name} := {role}, as it seems")
                break


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
    roles: dict[str, str] = {}
    needed: list[str] = []
    function = underlying(getattr(build, "__init__", None) if inspect.isclass(build) else build)
    reading = read(function) if inspect.isfunction(function) else Reading()
    for p in inspect.signature(build).parameters.values():
        if p.name in given or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        role = told_roles.get(p.name) or _BUILT_AS.get(_plain(p.name)) or usual_role(p.name)
        if role == "d" and isinstance(p.default, tuple | list):
            role = "shape"
        size = role in ("d", "k", "B", "N", "shape", "channels")
        varied = follow and role in ("d", "k", "shape") and p.default is not None
        if size and role not in roles.values() and (p.default is p.empty or varied):
            roles[p.name] = role
        elif p.default is p.empty:
            asked = _configured(p.name, reading, given)
            if asked is not None:
                roles[p.name] = "config"
            needed += [p.name] if asked is None else asked
    return roles, tuple(needed)


def _configured(name: str, reading: Reading, given: Mapping[str, Setting]) -> list[str] | None:
    """Return what a configuration is asked for and nobody gave; ``None`` for what is none."""
    asked = [*reading.needed.get(name, ()), *reading.fields.get(name, ())]
    if not asked or {*asked} & {*_OF_TENSORS}:
        return None
    paths = {f"{name}.{key}": usual_role(key) for key in asked}
    return [path for path, role in paths.items() if path not in given and role not in SIZES]
