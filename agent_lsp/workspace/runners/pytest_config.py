"""Owns which file of a project configures pytest."""

import configparser
import tomllib
from collections.abc import Sequence
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Candidate

_OWN: Final = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "conftest.py")
_SECTIONS: Final = (("pyproject.toml", "tool.pytest"), ("setup.cfg", "tool:pytest"), ("tox.ini", "pytest"))


async def pytest_configuration(candidate: Candidate, paths: Sequence[str]) -> str:
    """The file (with its section, where that says so), or empty if nothing configures pytest."""
    for name, section in _SECTIONS:
        if name in paths and await _has(candidate, name, section):
            return f"[{section}] in {name}"
    own = [path for path in paths if path.rpartition("/")[2] in _OWN]
    return min(own, key=lambda path: (path.count("/"), path), default="")


async def _has(candidate: Candidate, name: str, section: str) -> bool:
    try:
        entry = await candidate.read(name)
        text = entry.content.decode() if entry is not None else ""
        if name.endswith(".toml"):
            return "pytest" in tomllib.loads(text).get("tool", {})
        parser = configparser.RawConfigParser()
        parser.read_string(text)
    except (configparser.Error, ValueError, ToolError):
        return False
    return parser.has_section(section)
