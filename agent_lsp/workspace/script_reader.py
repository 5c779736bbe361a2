"""Owns reading test files of JavaScript and TypeScript: their syntax tree, by tree-sitter, as an outline."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from agent_lsp.domain.languages import suffix
from agent_lsp.domain.script_outline import UNTOLD, ScriptCheck, ScriptOutline, ScriptPart

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_GRAMMARS: Final = {
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "javascript"),
    **dict.fromkeys((".ts", ".mts", ".cts"), "typescript"),
    ".tsx": "tsx",
}
_TESTS: Final = frozenset({"it", "test", "specify", "xit", "xtest", "fit"})
_GROUPS: Final = frozenset({"describe", "suite", "context", "xdescribe", "fdescribe"})
_LOUD: Final = frozenset({"xit", "xtest", "fit", "xdescribe", "fdescribe"})
_PASSING_OVER: Final = frozenset({"skip", "todo", "only", "fails", "failing", "skipIf", "runIf"})
_FUNCTIONS: Final = frozenset({"arrow_function", "function_expression", "generator_function", "function_declaration"})
_OF_A_TEST: Final = re.compile(
    r"assert|is|not|ok|equal|same|deep\w*|strict\w*|throws\w*|rejects|true|false|truthy|falsy|like|regex|match|fail|plan"
    r"|snapshot|not[A-Z]\w*|is[A-Z]\w*|does[A-Z]\w*|error|pass"
)
_NAMED_CHECK: Final = re.compile(r"(?:expect|assert)(?:[A-Z]\w*)?")
_MAX_DEPTH: Final = 400


def read_script(path: str, content: bytes) -> ScriptOutline | None:
    """See ScriptReader; None for other files, for syntax that the grammar does not know, and for endless nesting."""
    grammar = _GRAMMARS.get(suffix(path))
    if grammar is None:
        return None
    root = _parser(grammar).parse(content).root_node
    if root.has_error:
        return None
    outline = _Reading()
    try:
        outline.walk(root, 0)
    except _TooDeepError:
        return None
    return ScriptOutline({name: draft.part() for name, draft in outline.drafts.items()})


@cache
def _parser(grammar: str) -> "Parser":
    from tree_sitter import Language, Parser

    if grammar == "javascript":
        import tree_sitter_javascript

        return Parser(Language(tree_sitter_javascript.language()))
    import tree_sitter_typescript as typescript

    return Parser(Language(typescript.language_tsx() if grammar == "tsx" else typescript.language_typescript()))


class _TooDeepError(Exception):
    """Nobody wrote this by hand."""


@dataclass(slots=True)
class _Draft:
    """A part while it is read; two tests of one name become one part."""

    line: int
    is_test: bool = False
    named: bool = True
    code: list[str] = field(default_factory=list)
    checks: list[ScriptCheck] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    rows: int | None = None
    detours: int = 0
    handle: str = ""
    callback: "Node | None" = None

    def part(self) -> ScriptPart:
        words = " ".join(self.code)
        marks, checks = tuple(self.passed_over), tuple(self.checks)
        return ScriptPart(self.line, words, checks, marks, self.rows, self.detours, self.is_test, self.named)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A call that declares a test or a group."""

    is_test: bool
    title: str
    named: bool
    marks: tuple[str, ...]
    rows: int | None
    callback: "Node | None"
    arguments: "tuple[Node, ...]"
    handle: str


class _Reading:
    """Walks a tree once; `_inside` are the names of the parts around the place, the innermost last."""

    def __init__(self) -> None:
        self.drafts: dict[str, _Draft] = {"": _Draft(0)}
        self._inside: list[str] = []

    @property
    def _draft(self) -> _Draft:
        return self.drafts["::".join(self._inside)]

    def walk(self, node: "Node", depth: int) -> None:
        """Takes in a node and all below it."""
        if depth > _MAX_DEPTH:
            raise _TooDeepError
        if node.type == "comment":
            return
        if node.type == "call_expression":
            declared = _declared(node, self._draft.handle)
            if declared is not None:
                self._declare(declared, node, depth)
                return
            self._call(node)
        self._draft.detours += _is_detour(node, self._draft.callback)
        if not node.children or node.type in ("string", "template_string", "regex"):
            self._draft.code.append(_text(node))
        if node.type not in ("string", "regex"):
            for child in node.children:
                self.walk(child, depth + 1)

    def _declare(self, declared: _Declared, node: "Node", depth: int) -> None:
        self._inside.append(declared.title)
        draft = self.drafts.setdefault("::".join(self._inside), _Draft(node.start_point.row))
        draft.is_test, draft.handle, draft.callback = declared.is_test, declared.handle, declared.callback
        draft.named = draft.named and declared.named
        draft.passed_over += declared.marks
        draft.code.append(_line(node.child_by_field_name("function") or node))
        if declared.rows is not None:
            draft.rows = declared.rows if draft.rows is None else draft.rows + declared.rows
        for argument in declared.arguments:
            self.walk(argument, depth + 1)
        self._inside.pop()

    def _call(self, node: "Node") -> None:
        """A check, or a skip inside a test; of a chain (`expect(x).not.toBe(y)`) only the outermost call is one."""
        names, first = _chain(node)
        handle = self._draft.handle
        if names[-1] in ("skip", "todo") and names[0] in (handle, "this", "ctx", "context"):
            self._draft.passed_over.append(f"{names[0]}.{names[-1]}")
            return
        if _is_inner(node):
            return
        check = _check(node, names, first, handle)
        if check is not None:
            self._draft.checks.append(check)


def _declared(node: "Node", handle: str) -> _Declared | None:
    """What a call declares: `test('adds', ...)`, `describe.skip(...)`, `it.each([...])('%s', ...)`, `t.test(...)`."""
    function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if function is None or arguments is None or arguments.type != "arguments":
        return None
    given = tuple(child for child in arguments.named_children if child.type != "comment")
    rows: int | None = None
    if function.type == "call_expression":
        rows, function = _rows(function), function.child_by_field_name("function") or function
    names = _names(function)
    base = names[1] if names[0] == handle and handle and len(names) > 1 else names[0]
    known = base in _TESTS | _GROUPS
    if not known or not given or (rows is None and {"each", "for", "skipIf", "runIf"} & set(names)):
        return None
    callback = next((child for child in given if child.type in _FUNCTIONS), None)
    if callback is None and not {"todo", "skip"} & set(names):
        return None
    title, named = _title(given[0])
    marks = [".".join(names)] if _PASSING_OVER & set(names) or base in _LOUD else []
    marks += [mark for child in given if child.type == "object" for mark in _options(child)]
    table = rows if {"each", "for"} & set(names) else None
    named = named and table is None and "%" not in title
    return _Declared(base in _TESTS, title, named, tuple(marks), table, callback, given[1:], _handle(callback))


def _rows(call: "Node") -> int:
    """How many cases the table of `each` has."""
    arguments = call.child_by_field_name("arguments")
    if arguments is None:
        return UNTOLD
    if arguments.type == "template_string":
        head = next((_text(child) for child in arguments.named_children), "")
        columns = head.strip().partition("\n")[0].count("|") + 1
        return sum(child.type == "template_substitution" for child in arguments.named_children) // columns
    table = next(iter(arguments.named_children), None)
    if table is None or table.type != "array" or any(child.type == "spread_element" for child in table.named_children):
        return UNTOLD
    return sum(child.type != "comment" for child in table.named_children)


def _title(node: "Node") -> tuple[str, bool]:
    """The name of a test, and whether it is the whole of it."""
    if node.type == "string":
        return "".join(_unescaped(child) for child in node.named_children), True
    if node.type == "template_string":
        return _text(node)[1:-1], not any(child.type == "template_substitution" for child in node.named_children)
    return _text(node), False


def _unescaped(node: "Node") -> str:
    text = _text(node)
    return text if node.type != "escape_sequence" else {"\\n": "\n", "\\t": "\t"}.get(text, text[1:])


def _options(node: "Node") -> Iterator[str]:
    """`skip: true` and the like among a test's options."""
    for pair in node.named_children:
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        if key is not None and value is not None and _text(key) in _PASSING_OVER and _text(value) != "false":
            yield f"{_text(key)}: {_line(value)}"


def _handle(callback: "Node | None") -> str:
    """What a test calls its context: the `t` of `(t) => ...`."""
    if callback is None:
        return ""
    parameter = callback.child_by_field_name("parameter")
    if parameter is None:
        parameters = callback.child_by_field_name("parameters")
        parameter = next(iter(parameters.named_children), None) if parameters is not None else None
    if parameter is not None and parameter.type == "required_parameter":
        parameter = parameter.child_by_field_name("pattern")
    return _text(parameter) if parameter is not None and parameter.type == "identifier" else ""


def _names(node: "Node") -> list[str]:
    """`it.skip.each` as its names; what is no plain name is empty."""
    names: list[str] = []
    at: Node | None = node
    while at is not None and at.type == "member_expression":
        name = at.child_by_field_name("property")
        names.append(_text(name) if name is not None else "")
        at = at.child_by_field_name("object")
    names.append(_text(at) if at is not None and at.type in ("identifier", "this") else "")
    return names[::-1]


def _chain(node: "Node") -> tuple[list[str], "Node"]:
    """The names of a chain of calls from its beginning, `expect resolves not toBe`, and the first call in it."""
    names: list[str] = []
    first, at = node, node
    while True:
        if at.type == "call_expression":
            first = at
            function = at.child_by_field_name("function")
        elif at.type in ("member_expression", "await_expression", "parenthesized_expression", "non_null_expression"):
            name = at.child_by_field_name("property")
            if name is not None:
                names.append(_text(name))
            function = at.child_by_field_name("object") or next(iter(at.named_children), None)
        else:
            break
        if function is None:
            break
        at = function
    names.append(_text(at) if at.type in ("identifier", "this") else "")
    return names[::-1], first


def _is_inner(node: "Node") -> bool:
    """Whether a call is the beginning of a longer chain."""
    parent = node.parent
    return parent is not None and parent.type == "member_expression" and parent.child_by_field_name("object") == node


def _check(node: "Node", names: list[str], first: "Node", handle: str) -> ScriptCheck | None:
    own, given = _arguments(node), _arguments(first)
    if names[0] == "expect" and (len(names) > 1 or first is node) and names[1:2] != ["extend"]:
        of_itself = first is node  # `expect(x)` alone, or `expect.assertions(2)`
        name = names[-1] if len(names) > 1 else ""
        subject = given[0] if given and not (of_itself and len(names) > 1) else ""
        return ScriptCheck(_line(node), name, subject, () if of_itself and not name else own, "not" in names)
    if names[0] == "assert" or (names[0] == handle and "assert" in names[1:2]) or _of_handle(names, handle):
        name = names[-1] if names[-1] not in ("assert", "strict") else ""
        return ScriptCheck(_line(node), name, own[0] if own else "", own[1:], asserted=True)
    if "should" in names[1:]:
        return ScriptCheck(_line(node), names[-1], names[0], own, "not" in names)
    if len(names) == 1 and _NAMED_CHECK.fullmatch(names[0]):
        return ScriptCheck(_line(node), names[0], own[0] if own else "", own[1:])
    return None


def _of_handle(names: list[str], handle: str) -> bool:
    return bool(handle) and names[0] == handle and len(names) == 2 and bool(_OF_A_TEST.fullmatch(names[1]))


def _arguments(call: "Node") -> tuple[str, ...]:
    arguments = call.child_by_field_name("arguments")
    return tuple(_line(child) for child in arguments.named_children) if arguments is not None else ()


def _is_detour(node: "Node", callback: "Node | None") -> bool:
    """A way around the checks of a test: an early return, or a condition or `try` around some of them."""
    if callback is None:
        return False
    if node.type == "return_statement":
        return _function_of(node) == callback and not _is_last(node, callback)
    if node.type in ("if_statement", "ternary_expression"):
        return _holds_check(node)
    if node.type == "try_statement":
        return node.child_by_field_name("handler") is not None and _holds_check(node)
    return False


def _function_of(node: "Node") -> "Node | None":
    at = node.parent
    while at is not None and at.type not in _FUNCTIONS and at.type != "method_definition":
        at = at.parent
    return at


def _is_last(node: "Node", callback: "Node") -> bool:
    body = callback.child_by_field_name("body")
    return body is not None and bool(body.named_children) and body.named_children[-1] == node


def _holds_check(node: "Node") -> bool:
    return bool(re.search(r"\b(?:expect|assert)\b|\.should\b", _text(node)))


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _line(node: "Node") -> str:
    return " ".join(_text(node).split())
