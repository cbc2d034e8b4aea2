"""The small faults that may be put into a module: each a change of one node of its syntax tree."""

import ast
from collections.abc import Callable, Iterator

Change = Callable[[], str]  # changes its tree, and says how
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "first": "last", "last": "first"}
OPPOSITES = {
    "in proportion to": "against",
    "against": "in proportion to",
    "above": "below",
    "below": "above",
    "better": "worse",
    "worse": "better",
    " is ": " is not ",
    "same": "different",
    "different": "same",
    "differ": "agree",
    "at most": "at least",
    "at least": "at most",
    "more": "fewer",
    "every": "no",
    "all": "none",
    "mean": "sum",
    "sum": "mean",
    "first": "last",
}


def _ignored(tree: ast.AST) -> set[ast.AST]:
    """Return what is no behaviour: docstrings, annotations, imports, decorators, types' blocks."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            roots += [value] if isinstance(value, ast.Constant) else []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            roots.append(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            roots.append(node)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            roots.append(node)
        if isinstance(node, ast.keyword) and node.arg == "strict":  # what is equally long is so
            roots.append(node)
        roots += getattr(node, "decorator_list", [])
        roots += [getattr(node, name, None) for name in ("annotation", "returns")]
    return {below for root in roots if root is not None for below in ast.walk(root)}


def _become(node: ast.AST, **fields: object) -> str:
    """Change fields of a node, and say how its text changed."""
    before = ast.unparse(node)
    for name, content in fields.items():
        setattr(node, name, content)
    after = ast.unparse(ast.fix_missing_locations(node))
    if isinstance(node, ast.stmt):  # the body stays as it is
        before, after = before.partition("\n")[0], after.partition("\n")[0]
    return f"{before}  ->  {after}"


def _other_text(text: str, texts: list[str]) -> str | None:
    for words, opposite in OPPOSITES.items():
        if words in text:
            return text.replace(words, opposite, 1)
    others = [other for other in texts if other != text]
    return others[texts.index(text) % len(others)] if others else text + "x" if text else None


def _of_node(node: ast.AST, texts: list[str]) -> Iterator[tuple[str, Change]]:
    """Yield the kind of every change that there is of one node, and what makes it."""
    yield from _of_operator(node)
    yield from _of_constant(node, texts)
    yield from _of_call(node)
    yield from _of_statement(node)


def _of_operator(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=ops):
            for place, operator in enumerate(ops):
                for other in COMPARISONS[type(operator)]:
                    swapped = [*ops[:place], other(), *ops[place + 1 :]]
                    yield "comparison", lambda ops=swapped: _become(node, ops=ops)
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "connective", lambda: _become(node, op=other)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            twice = ast.UnaryOp(ast.Not(), operand)
            yield "connective", lambda: _become(node, operand=twice)
        case ast.UnaryOp(op=ast.USub()):
            yield "arithmetic", lambda: _become(node, op=ast.UAdd())
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            if not any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (left, right)):
                yield "arithmetic", lambda: _become(node, op=ARITHMETIC[type(op)]())


def _of_constant(node: ast.AST, texts: list[str]) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Constant(value=bool() as value):
            yield "constant", lambda: _become(node, value=not value)
        case ast.Constant(value=int() as value):
            yield "constant", lambda: _become(node, value=value + 1)
        case ast.Constant(value=float() as value):
            yield "constant", lambda: _become(node, value=2 * value or 1.0)
        case ast.Constant(value=str() as value) if (other := _other_text(value, texts)) is not None:
            yield "words", lambda: _become(node, value=other)


def _of_call(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if not isinstance(node, ast.Call):
        return
    function, args, keywords = node.func, node.args, node.keywords
    name = getattr(function, "id", getattr(function, "attr", ""))
    if name in CALLS:
        attribute = "id" if isinstance(function, ast.Name) else "attr"
        yield "call", lambda: _become(function, **{attribute: CALLS[name]})
    if len(args) > 1:
        yield "arguments", lambda: _become(node, args=args[:-1])
        if name not in ("min", "max"):  # which have no order
            yield "arguments", lambda: _become(node, args=[args[1], args[0], *args[2:]])
    for place, keyword in enumerate(keywords):
        rest = keywords[:place] + keywords[place + 1 :]
        if keyword.arg != "strict":
            yield "arguments", lambda rest=rest: _become(node, keywords=rest)


def _of_statement(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Return(value=ast.Constant(value=None)):
            return
        case ast.Return(value=ast.expr() as value):
            yield "return", lambda: _become(node, value=ast.Constant(None))
            if isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp):
                yield "return", lambda: _become(node, value=ast.UnaryOp(ast.Not(), value))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "statement", lambda: _become(node, value=ast.Constant(None))
        case ast.AugAssign():
            yield "statement", lambda: _become(node, op=ast.BitOr(), value=node.target)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        for truth in (True, False):
            constant = ast.Constant(truth)
            if not (truth and isinstance(node, ast.While)):
                yield "condition", lambda test=constant: _become(node, test=test)
    if isinstance(node, ast.comprehension) and node.ifs:
        yield "condition", lambda: _become(node, ifs=[])


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def changes(tree: ast.AST) -> Iterator[tuple[str, int, Change]]:
    """Yield kind, line and change of everything that can be changed, in a fixed order."""
    ignored = _ignored(tree)
    texts: dict[ast.AST, list[str]] = {}
    for scope in ast.walk(tree):  # the outer ones come first
        if isinstance(scope, ast.Module | ast.FunctionDef):
            below = [node for node in ast.walk(scope) if node not in ignored]
            found = [node.value for node in below if _is_text(node)]
            texts |= {node: list(dict.fromkeys(found)) for node in below}
    for node in ast.walk(tree):
        if node not in ignored:
            line = getattr(node, "lineno", getattr(getattr(node, "target", None), "lineno", 0))
            for kind, change in _of_node(node, texts.get(node, [])):
                yield kind, line, change
