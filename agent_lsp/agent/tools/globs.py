"""Owns globs as ripgrep reads them: without a slash they match the file's name, with one the path from the root."""

import re

from agent_lsp.domain.errors import ToolError


def glob_matcher(glob: str) -> re.Pattern[str]:
    """Matches whole POSIX paths. `*`, `?`, `**`, `[…]` and `{a,b}`. Raises ToolError for what cannot be read."""
    body = glob.strip().removeprefix("./")
    anchored = "/" in body.rstrip("/")
    if body.endswith("/"):
        body += "**"
    pattern = _translate(body.removeprefix("/"))
    try:
        return re.compile(pattern if anchored else f"(?:.*/)?{pattern}", re.DOTALL)
    except re.error as error:
        raise ToolError(f"The glob {glob!r} cannot be read ({error}); use *, ?, **, [abc] and {{a,b}}.") from error


def _translate(glob: str) -> str:
    out, depth, at = [], 0, 0
    while at < len(glob):
        char = glob[at]
        if glob.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
            continue
        if glob.startswith("**", at):
            out.append(".*")
            at += 2
            continue
        if char == "[" and (end := glob.find("]", at + 2)) > 0:
            inside = glob[at + 1 : end].replace("\\", "\\\\")
            out.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            at = end + 1
            continue
        depth += (char == "{") - (char == "}" and depth > 0)
        out.append(_SIMPLE.get(char) or ("|" if char == "," and depth else re.escape(char)))
        at += 1
    return "".join(out) + ")" * depth


_SIMPLE = {"*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
