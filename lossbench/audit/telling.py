"""A failure as an error that a person can act upon, with a wrapper to paste."""

from lossbench.audit.answer import Failure
from lossbench.audit.request import Request
from lossbench.errors import AuditError, nearest

_WRAPPER = (
    "def audited(x, x_hat, z_mean, z_log_var):",
    "    reconstruction = ...  # your term, of x and x_hat alone",
    "    kl = ...              # your term, of z_mean and z_log_var alone",
    "    return reconstruction + kl",
)


def told(request: Request, failure: Failure, works_at: int | None = None) -> AuditError:  # noqa: PLR0911, PLR0912 - a case for every stage, a line or two each
    """Return the error for what stopped an audit; ``works_at`` is a d at which it did not."""
    tried = (
        f"{request.name}(x, x_hat, z_mean, z_log_var) with d = {request.sizes.d}, "
        f"k = {request.sizes.k}"
    )
    said = f"{failure.type}: {failure.message}" if failure.type else failure.message
    at = f" ({failure.line})" if failure.line else ""
    usual = "a scalar, one value per sample or per pixel, a tuple with the total first, or a dict"

    def error(problem: str, expected: str, received: str, remedy: str = "") -> AuditError:
        return AuditError(
            problem, where=request.target, expected=expected, received=received, remedy=remedy
        )

    match failure.stage:
        case "name":
            hint = f"did you mean {failure.line!r}?" if failure.line else ""
            return error(
                f"the file has no {request.name}",
                "a function, or a Keras model, by name",
                f"functions {failure.message}" if failure.message else "no function",
                hint,
            )
        case "load" | "file":
            return error(
                "the file cannot be loaded",
                "a file that can be imported",
                said + at,
                "install what it imports, or move the loss into a file of its own",
            )
        case "load time":
            return error(
                "the file itself ran too long",
                "a file that only defines things",
                f"no end after {failure.message} s" + _last(failure),
                'put its training under `if __name__ == "__main__":`, or give more '
                "with --time-limit",
            )
        case "call time":
            return error(
                "the loss did not return",
                f"an answer to {tried}",
                f"none after {failure.message} s" + _last(failure),
                "give a longer --time-limit, or smaller sizes",
            )
        case "load crash" | "call crash":
            return error(
                "the process that ran your code ended",
                f"an answer to {tried}",
                failure.message + _last(failure),
                "run the function by itself",
            )
        case "kind":
            return error(
                f"{request.name} is {failure.message}",
                "a function, or a Keras model or what builds one",
                failure.message,
                _wrapped("write a wrapper"),
            )
        case "not a model":
            return error(
                "a function that takes no tensors has to build a Keras model",
                "a keras.Model",
                f"{failure.message}",
                _wrapped("write a function"),
            )
        case "build":
            return error("the model cannot be built", "a Keras model", said + at)
        case "arguments":
            takes = f"{request.name}({failure.line})"
            return error(
                f"it has no argument for {failure.message}",
                "inputs, reconstruction, z_mean and z_log_var as arguments",
                takes,
                _wrapped(_unusual(failure)),
            )
        case "args" | "settings":
            name = failure.message.rpartition("=")[2]
            option = "--args" if failure.stage == "args" else "--set"
            return error(
                f"{option} names {name}, which is no argument of it",
                f"one of {failure.line}",
                failure.message,
                nearest(name, failure.line.split(", ")),
            )
        case "needed":
            first = failure.message.partition(",")[0]
            return error(
                f"it needs a value for {failure.message}",
                "a value for every argument besides the usual four",
                f"{request.name}({failure.line})",
                f"--set {first}=1, or --args ROLE={first} if it is one of the four",
            )
        case "shape":
            return error(
                "what it returns has the shape of no loss",
                usual,
                failure.message,
                _wrapped("write a wrapper"),
            )
        case "type":
            return error(
                "what it returns is no number", usual, failure.message, _wrapped("write a wrapper")
            )
        case "not finite":
            return error(
                "what it returns is not finite for ordinary inputs",
                f"a number from {tried}",
                f"NaN or infinity at {failure.message}",
                "check its logarithms and divisions at these values",
            )
        case "constant":
            return error(
                "it depends on neither the reconstruction nor the latents",
                "a loss of its arguments",
                "the same number whatever it is given",
                _wrapped("write a wrapper"),
            )
    if works_at is not None:
        return error(
            f"it raises at d = {request.sizes.d} and works at d = {works_at}: that size is "
            "hard-coded",
            f"a number from {tried}",
            said + at,
            "take the size from the tensors, as in x.shape[1]",
        )
    return error("it raises", f"a number from {tried}", said + at, _wrapped("write a wrapper"))


def _last(failure: Failure) -> str:
    return (
        f"; last lines:\n    {failure.line.replace(chr(10), chr(10) + '    ')}"
        if (failure.line)
        else ""
    )


def _unusual(failure: Failure) -> str:
    role = failure.message.partition(",")[0]
    return f"--args {role}=NAME if an argument of another name is it; else write a wrapper"


def _wrapped(what: str) -> str:
    lines = "\n".join(f"    {line}" for line in _WRAPPER)
    return f"{what}, and audit that:\n{lines}"
