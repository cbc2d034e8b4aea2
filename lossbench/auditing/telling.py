"""A failure as an error that a person can act upon, with a wrapper to paste."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lossbench.auditing.options import Options, Target
from lossbench.auditing.probing import CALLS
from lossbench.auditing.records import Failure
from lossbench.auditing.signature import ROLES
from lossbench.errors import AuditError, did_you_mean


@dataclass(frozen=True)
class _Words:
    """What is told of a stage, each a template; ``short`` is what a table has room for."""

    short: str
    problem: str
    expected: str
    received: str
    remedy: str = ""


_USUAL = "a scalar, one value per sample or per pixel, a tuple, a dict or an object of such"
_WRAPPER = """{}, and audit that:
    def audited(x, x_hat, z_mean, z_log_var):
        reconstruction = ...  # your term, of x and x_hat alone
        kl = ...              # your term, of z_mean and z_log_var alone
        return reconstruction + kl"""
_WRAP = _WRAPPER.format("write a wrapper")
_CLOSURE = """write what makes and calls it in one, and audit that:
    def audited({line}):
        return {message}"""
# A message of a library that wants whole numbers where it got others.
_WHOLE = re.compile(r"\b(Long|Int|int32|int64|Tlabels|integer|indices must be|multi-target)\b")
_CLASSES = re.compile(r"\b(cross_entropy|nll_loss|CrossEntropyLoss|NLLLoss)\(")  # want whole ones
_OWN = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError")

_STAGES: Mapping[str, _Words] = {
    "name": _Words(
        "there is no {name}", "the file has no {name}",
        "a function, a class, a method or a Keras model, by name", "{functions}", "{meant}",
    ),
    "load": _Words(
        "it cannot be imported: {said}", "the file cannot be loaded",
        "a file that can be imported", "{said}{at}",
        "install what it imports, or move the loss into a file of its own",
    ),
    "load time": _Words(
        "its import takes longer than {message} s", "the file itself ran too long",
        "a file that only defines things", "no end after {message} s{last}",
        'put its training under `if __name__ == "__main__":`, or give more with --time-limit',
    ),
    "load crash": _Words(
        "its import ends the process: {message}", "the process that ran your code ended",
        "a file that can be imported", "{message}{last}", "run the file by itself",
    ),
    "call time": _Words(
        "one call does not return", "the loss did not return", "an answer to {tried}",
        "none after {waited}{last}", "give a longer --time-limit, or smaller sizes",
    ),
    "call crash": _Words(
        "it ends the process: {message}", "the process that ran your code ended",
        "an answer to {tried}", "{message}{last}", "run the function by itself",
    ),
    "budget": _Words(
        "it takes longer than {limit:g} s", "the audit is not done in {limit:g} s",
        "some {calls} calls, each once a seed if the loss is stochastic",
        "{message} in that time, {each:.0f} ms each", "--time-limit {more:g}, or smaller sizes",
    ),
    "kind": _Words(
        "it is {message}", "{name} is {message}",
        "a function, a method, a class whose objects are called, or a Keras model",
        "{message}", "{methods}",
    ),
    "not a model": _Words(
        "it builds a {message}, no Keras model",
        "a function that takes no tensors has to build a Keras model", "a keras.Model",
        "{message}",
        "if it makes a loss, write `made = {name}(...)` into the file and audit made; else "
        + _WRAPPER.format("write a function"),
    ),
    "build": _Words(
        "the model cannot be built: {message}", "the model cannot be built", "a Keras model",
        "{said}{at}", "--set gives an argument of the builder its value",
    ),
    "distributions": _Words(
        "its layers give distributions", "its layers give distributions",
        "layers that give tensors, which can be exchanged", "{message}",
        _WRAPPER.format("write the same loss as a function"),
    ),
    "model": _Words(
        "what {message}(...) gives is not known", "what {message}(...) gives is not known",
        "names that tell, as in `x_hat, mu, log_var = {message}(x)`", "{name}{call}", _WRAP,
    ),
    "arguments": _Words(
        "it has no argument for {message}", "it has no argument for {message}",
        "inputs, reconstruction, z_mean and z_log_var as arguments", "{name}{call}",
        _WRAPPER.format(
            "--args {first}={candidate} is it; else write a wrapper"
        ),
    ),
    "parts": _Words(
        "what its own model gives for {message} is not known",
        "what its own model gives for {message} is not known",
        "names that tell, as in `mu, log_var = self.encode(x)`", "{line}",
        _WRAPPER.format("give the results such names in these lines; else write a wrapper"),
    ),
    "network": _Words(
        "it takes {message}, a network's, and no {lacks}",
        "it takes {message}, a network's, and nothing for {lacks}",
        "inputs, reconstruction, z_mean and z_log_var as arguments, or a model: f(model, x)",
        "{name}{call}",
        _WRAPPER.format("write what follows the network as a function of its outputs"),
    ),
    "closure": _Words(
        "it makes a loss, and is none", "it makes a loss, and is none",
        "inputs, reconstruction, z_mean and z_log_var as arguments", "{message}", _CLOSURE,
    ),
    "args": _Words(
        "{given} is no argument of it", "--args names {given}, which is no argument of it",
        "one of {line}", "{message}", "{near}",
    ),
    "settings": _Words(
        "{given} is no argument of it", "--set names {given}, which is no argument of it",
        "one of {line}", "{message}", "{near}",
    ),
    "needed": _Words(
        "it needs a value for {message}", "it needs a value for {message}",
        "a value for every argument besides the usual four", "{name}{call}",
        "{sets}\nor --args ROLE={first}, where a role is " + ", ".join(ROLES),
    ),
    "shape": _Words(
        "it returns {message}", "what it returns has the shape of no loss", _USUAL, "{message}",
        _WRAP,
    ),
    "type": _Words(
        "it returns no number: {message}", "what it returns is no number", _USUAL, "{message}",
        _WRAP,
    ),
    "total": _Words(
        "there is no {message}", "there is no {message} in what it returns", "one of {line}",
        "{message}", "--total '{line_first}'",
    ),
    "not finite": _Words(
        "it is not finite for ordinary inputs",
        "what it returns is not finite for ordinary inputs", "a number from {tried}",
        "NaN or infinity at {message}", "check its logarithms and divisions at these values",
    ),
    "constant": _Words(
        "it depends on neither x_hat nor the latents",
        "it depends on neither the reconstruction nor the latents", "a loss of its arguments",
        "the same number whatever it is given", _WRAP,
    ),
    "size": _Words(
        "it works at d = {works_with} alone",
        "it raises at d = {d} and works at d = {works_with}: that size is hard-coded",
        "a number from {tried}", "{said}{at}",
        "--d {works_with}; or take the size from the tensors, as in x.shape[1]",
    ),
    "images": _Words(
        "it takes images: --shape {works_with}",
        "it raises with flat images and works with those of shape {works_with}",
        "a number from {tried}", "{said}{at}", "--shape {works_with}",
    ),
    "latents": _Words(
        "it takes latents of shape {latent}: {shapes}",
        "it raises with latents of another shape than {latent}, and works with these",
        "a number from {tried}", "{said}{at}", "{shapes}",
    ),
    "whole numbers": _Words(
        "it takes whole numbers, as of tokens or classes: {said}",
        "it takes whole numbers, as of tokens or classes, which are not made",
        "a number from {tried}", "{said}{at}",
        _WRAPPER.format("make them of x in a wrapper, as in (x > 0.5).long()"),
    ),
    "own": _Words(
        "your code raised {said}", "your code raised {type}",
        "a number from {tried}", "{said}{at}", "mend that line",
    ),
    "call": _Words(
        "it raises {said}", "your code raised {type}",
        "a number from {tried}", "{said}{at}",
        "call it with such tensors yourself: if it fails there too, mend that line; if it takes "
        "something else, " + _WRAP,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Obstacle:
    """What stopped an audit; ``works_with`` is a shape that did not, ``str`` is a clause.

    ``latent`` is a shape of latents that did not, with images as they are or of ``works_with``.
    ``notes`` say of arguments how they could be filled otherwise.
    """

    target: Target
    options: Options
    failure: Failure
    works_with: tuple[int, ...] = ()
    latent: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return in a clause why there was no audit."""
        return self._words().short.format_map(self._facts())

    def error(self) -> AuditError:
        """Return what was tried, what came back and what to write instead."""
        words, facts = self._words(), self._facts()
        remedies = [*self.notes, words.remedy.format_map(facts).replace("\n", "\n  ")]
        return AuditError(
            words.problem.format_map(facts),
            where=str(self.target),
            expected=words.expected.format_map(facts),
            received=words.received.format_map(facts),
            remedy="; ".join(filter(None, remedies)),
        )

    def _words(self) -> _Words:
        """Return the templates of its stage."""
        if self.latent:
            return _STAGES["latents"]
        if self.works_with:
            return _STAGES["images" if len(self.works_with) > 1 else "size"]
        stage = "load" if self.failure.stage == "file" else self.failure.stage
        if stage == "call":
            of_module = self.failure.type == "AttributeError" and self.failure.message.startswith(
                "module "
            )
            if self.failure.type in _OWN or of_module:
                stage = "own"
            elif _WHOLE.search(self.failure.message) or _CLASSES.search(self.failure.line):
                stage = "whole numbers"
        return _STAGES.get(stage, _STAGES["call"])

    def _shapes(self) -> str:
        """Return the options that say in which shapes it works."""
        shapes = {"shape": self.works_with, "latent-shape": self.latent}
        given = (f"--{name} {','.join(map(str, sides))}" for name, sides in shapes.items() if sides)
        return " ".join(given)

    def _facts(self) -> dict[str, object]:
        """Return what fills the templates."""
        message, line, sizes = self.failure.message, self.failure.line, self.options.sizes
        name, limit = self.target.name, self.options.time_limit
        missing = message.split(", ")
        given = message.rpartition("=")[2]
        n_calls = re.match(r"[\d,]+", message) if self.failure.stage == "budget" else None
        return {
            "name": name,
            "message": message,
            "line": line,
            "type": self.failure.type or "an error",
            "lacks": line.partition("; ")[2],
            "candidate": f"{candidate} if that argument"
            if (candidate := line.partition("; ")[2])
            else "NAME if an argument of another name",
            "latent": ",".join(map(str, self.latent)),
            "shapes": self._shapes(),
            "said": f"{self.failure.type}: {message}" if self.failure.type else message,
            "at": f" ({line})" if line else "",
            "last": f"; last lines:\n{line}".replace("\n", "\n    ") if line else "",
            "tried": f"{name}(x, x_hat, z_mean, z_log_var) with d = {sizes.d}, k = {sizes.k}",
            "d": sizes.d,
            "works_with": ",".join(map(str, self.works_with)),
            "limit": limit,
            "calls": CALLS,
            "waited": message if " " in message else f"{message} s",
            "more": 3 * limit,
            "each": 1000 * limit / max(int(n_calls[0].replace(",", "")), 1) if n_calls else 0.0,
            "functions": f"functions {message}" if message else "no function",
            "meant": f"did you mean {line!r}?" if line else "",
            "near": did_you_mean(given, line.split(", ")),
            "given": given,
            "first": missing[0],
            "line_first": line.split(", ")[0],
            "call": line.removeprefix(name) if "(" in line else f"({line.partition('; ')[0]})",
            "sets": " ".join(f"--set {each}=1" for each in missing),
            "methods": _method_of(self.target, message),
        }


def _method_of(target: Target, message: str) -> str:
    """Return the command for the first method that a class was told with, or a wrapper."""
    _, of, methods = message.partition(" with ")
    return f"lossbench audit {target.path}:{methods.split(', ')[0]}" if of else _WRAP
