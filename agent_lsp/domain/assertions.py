"""Owns comparing what a test asserts before and after a change: fewer or looser checks, new skips, fewer parameters."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator

_SKIPS = frozenset({"skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure", "importorskip", "skipTest"})
_RAISES = frozenset({"raises", "warns", "deprecated_call", "assertRaises", "assertRaisesRegex", "assertWarns"})
_TOLERANCES = frozenset({"rel", "abs", "rel_tol", "abs_tol", "rtol", "atol", "delta", "nan_ok"})
_NARROWER = frozenset({"places"})
_COMPARERS = frozenset({"approx", "isclose", "allclose", "assert_allclose", "assertAlmostEqual", "assert_almost_equal"})


def weaknesses(old: ast.AST, new: ast.AST) -> list[str]:
    """How a test function, test class or fixture checks less than it did, in plain words; empty if it does not.

    Classes are compared by their decorators only: what is in them is compared by itself.
    """
    if ast.dump(old) == ast.dump(new):
        return []
    found = _new_skips(_decorators(old), _decorators(new))
    if isinstance(old, ast.ClassDef) or isinstance(new, ast.ClassDef):
        return found
    found += _new_skips(_body(old), _body(new))
    found += _fewer_parameters(old, new)
    found += _lost_checks(old, new)
    found += _wider_tolerances(old, new)
    if not found and _hidden(old, new):
        found.append("its checks can be passed over now (a new return, try or condition stands around them)")
    return found


def file_weaknesses(old: ast.Module, new: ast.Module) -> list[str]:
    """New marks and skips that hold for a whole file."""
    sides = [
        [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        for tree in (old, new)
    ]
    return _new_skips(*sides)


def new_skips(node: ast.AST) -> list[str]:
    """Skips in a hook, fixture or helper that was not there before."""
    return _new_skips([], [node])


def _decorators(node: ast.AST) -> list[ast.expr]:
    return list(getattr(node, "decorator_list", []))


def _body(node: ast.AST) -> list[ast.stmt]:
    return list(getattr(node, "body", []))


def is_fixture(node: ast.AST) -> bool:
    """Whether a definition is a pytest fixture."""
    return any(_called(decorator) == "fixture" for decorator in _decorators(node))


def _called(node: ast.AST) -> str:
    """The last name of what is called or referred to: `skip` for `pytest.mark.skip(reason=...)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


def _new_skips(old: Iterable[ast.AST], new: Iterable[ast.AST]) -> list[str]:
    before, after = (Counter(_skips(side)) for side in (old, new))
    found = []
    for text in (after - before).elements():
        name = next((word for word in _SKIPS if word in text), "skip")
        found.append(f"a new `{name}` was added: {_short(text)}")
    return found


def _skips(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Skips as text; a mark without a call (`@pytest.mark.skip`) is one too."""
    inside_calls: set[int] = set()
    for node in _walk(nodes):
        if isinstance(node, ast.Call):
            inside_calls.add(id(node.func))
        if isinstance(node, ast.Call | ast.Attribute | ast.Name) and id(node) not in inside_calls:
            name = _called(node)
            if name in _SKIPS or (name == "SkipTest"):
                yield ast.unparse(node)


def _parameters(node: ast.AST) -> dict[str, int]:
    """How many cases each parametrize has; the count is -1 where it is not written out."""
    counts: dict[str, int] = {}
    for decorator in _decorators(node):
        if isinstance(decorator, ast.Call) and _called(decorator) == "parametrize" and decorator.args:
            values = decorator.args[1] if len(decorator.args) > 1 else None
            size = len(values.elts) if isinstance(values, ast.List | ast.Tuple | ast.Set) else -1
            counts[ast.unparse(decorator.args[0])] = size
    return counts


def _fewer_parameters(old: ast.AST, new: ast.AST) -> list[str]:
    after = _parameters(new)
    found = []
    for name, size in _parameters(old).items():
        now = after.get(name)
        if now is None:
            found.append(f"its parametrize of {name} was removed")
        elif 0 <= now < size:
            found.append(f"its parametrize of {name} has {now} cases instead of {size}")
    return found


def _checks(node: ast.AST) -> Counter[str]:
    """Everything that can fail a test, as text."""
    found: Counter[str] = Counter()
    for child in _walk(_body(node)):
        if isinstance(child, ast.Assert):
            found[ast.unparse(child.test)] += 1
        elif isinstance(child, ast.Call):
            name = _called(child)
            if name in _RAISES or name.startswith("assert") or name == "fail":
                found[ast.unparse(child)] += 1
    return found


def _lost_checks(old: ast.AST, new: ast.AST) -> list[str]:
    before, after = _checks(old), _checks(new)
    lost = list((before - after).elements())
    gained = list((after - before).elements())
    found = []
    for text in lost:
        partner = _partner(text, gained)
        if partner is None:
            found.append(f"an assertion was removed: {_short(text)}")
            continue
        gained.remove(partner)
        if _looser(text, partner):
            found.append(f"an assertion was loosened: {_short(text)} became {_short(partner)}")
    return found


def _partner(text: str, gained: list[str]) -> str | None:
    """What an assertion probably became: the new one that shares most of its names."""
    words = set(_names(text))
    ranked = sorted(gained, key=lambda other: len(words & set(_names(other))), reverse=True)
    return ranked[0] if ranked else None


def _names(text: str) -> list[str]:
    tree = ast.parse(text, mode="eval")
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.Constant)]


def _looser(old: str, new: str) -> bool:
    """Whether the new assertion holds for more than the old one did. Other values are not looser, only different."""
    return _strictness(ast.parse(new, mode="eval").body) < _strictness(ast.parse(old, mode="eval").body)


def _strictness(node: ast.expr) -> int:
    """A rough order: nothing, truth, membership, order, nearness, equality."""
    if isinstance(node, ast.BoolOp):
        grades = [_strictness(value) for value in node.values]
        return max(grades) + len(grades) if isinstance(node.op, ast.And) else min(grades) - 1
    if isinstance(node, ast.Constant):
        return 0
    if isinstance(node, ast.Compare):
        return min(_strictness_of_compare(node, operator) for operator in node.ops)
    if isinstance(node, ast.Call):
        return _strictness_of_call(node)
    return 10


def _strictness_of_compare(node: ast.Compare, operator: ast.cmpop) -> int:
    if ast.dump(node.left) == ast.dump(node.comparators[0]):
        return 0
    if isinstance(operator, ast.Eq):
        return (
            40 if any(_called(child) in _COMPARERS for child in ast.walk(node) if isinstance(child, ast.Call)) else 50
        )
    if isinstance(operator, ast.Is):
        return 50
    return 20 if isinstance(operator, ast.In | ast.NotIn | ast.IsNot | ast.NotEq) else 30


def _strictness_of_call(node: ast.Call) -> int:
    name = _called(node)
    if name in ("assertTrue", "assertFalse", "assertIsNotNone", "isinstance", "any"):
        return 10
    if name in ("assertIn", "assertNotIn", "assertNotEqual", "assertIsNot", "assertIsInstance"):
        return 20
    if name in ("assertGreater", "assertLess", "assertGreaterEqual", "assertLessEqual"):
        return 30
    if name in _COMPARERS:
        return 40
    if name in _RAISES:
        kind = ast.unparse(node.args[0]) if node.args else ""
        wide = kind in ("Exception", "BaseException")
        return (30 if wide else 50) + (5 if any(word.arg == "match" for word in node.keywords) else 0)
    return 50 if name.startswith("assert") or name == "fail" else 10


def _wider_tolerances(old: ast.AST, new: ast.AST) -> list[str]:
    before, after = (list(_tolerances(node)) for node in (old, new))
    found = []
    for (name, was), (now_name, now) in zip(before, after, strict=False):
        wider = now < was if name in _NARROWER else now > was
        if name == now_name and wider:
            found.append(f"a tolerance was widened: {name} {was:g} became {now:g}")
    if len(after) > len(before):
        extra = ", ".join(f"{name}={value:g}" for name, value in after[len(before) :])
        found.append(f"a tolerance was added: {extra}")
    return found


def _tolerances(node: ast.AST) -> Iterator[tuple[str, float]]:
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and _called(child) in _COMPARERS:
            for word in child.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else None
                if word.arg in _TOLERANCES | _NARROWER and isinstance(value, int | float):
                    yield word.arg or "", float(value)


def _hidden(old: ast.AST, new: ast.AST) -> bool:
    """Whether there are more ways around the checks than before."""
    return _detours(new) > _detours(old)


def _detours(node: ast.AST) -> int:
    count = 0
    body = _body(node)
    last = body[-1] if body else None
    for child in _walk(body):
        if isinstance(child, ast.Return) and child is not last:
            count += 1
        elif isinstance(child, ast.If) or (isinstance(child, ast.Try) and child.handlers):
            count += _holds_checks(child)
        elif isinstance(child, ast.With | ast.AsyncWith):
            count += any(_called(item.context_expr) == "suppress" for item in child.items)
    return count


def _holds_checks(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Assert) or _called(child).startswith("assert") for child in ast.walk(node))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return f"`{flat}`" if len(flat) <= 100 else f"`{flat[:97]}...`"
