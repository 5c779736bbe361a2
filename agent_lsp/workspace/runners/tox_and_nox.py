"""Owns what the configuration of tox and nox says of their environments: in which folders, and in which order."""

import configparser
import itertools
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

CONFIGURATION: Final = ("tox.ini", "setup.cfg", "tox.toml", "pyproject.toml", "noxfile.py")
"""The files that `told` reads."""

_INI: Final = (("tox.ini", "tox"), ("setup.cfg", "tox:tox"))
_WORD: Final = re.compile(r"(?:[^\s,{}]|\{[^}]*\})+")
_AT_ROOT: Final = re.compile(r"^\{(?:toxinidir|tox_root)\}/")
_NOX_FOLDER: Final = re.compile(r"""^\s*nox\.options\.envdir\s*=\s*["']([^"']+)["']""", re.MULTILINE)
_MOST_NAMES: Final = 500


@dataclass(frozen=True, slots=True)
class Told:
    """Folders of the workspace with the tool that makes environments in them, and the names that tox lists."""

    folders: tuple[tuple[str, str], ...]
    order: tuple[str, ...] = ()


def told(texts: Mapping[str, str]) -> Told:
    """From the texts of the files in CONFIGURATION, those that are there. What cannot be read says nothing."""
    rows = [*_ini(texts), *_toml(texts)]
    folders = {".tox": "tox", ".nox": "nox"}
    for row in rows:
        folders.setdefault(_inside(row.get("work_dir") or row.get("toxworkdir")), "tox")
    if found := _NOX_FOLDER.search(texts.get("noxfile.py", "")):
        folders.setdefault(_inside(found[1]), "nox")
    folders.pop("", None)
    lists = (row.get("env_list") or row.get("envlist") for row in rows)
    order = next((tuple(itertools.islice(_names(names), _MOST_NAMES)) for names in lists if names), ())
    return Told(tuple(folders.items()), order)


def _ini(texts: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    legacy = _table(texts.get("pyproject.toml", ""), "tool", "tox").get("legacy_tox_ini")
    rows = [(texts.get(file, ""), section) for file, section in _INI]
    for text, section in [*rows, (legacy if isinstance(legacy, str) else "", "tox")]:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except (configparser.Error, ValueError):
            continue
        if parser.has_section(section):
            yield dict(parser.items(section))


def _toml(texts: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    yield _table(texts.get("tox.toml", ""))
    yield _table(texts.get("pyproject.toml", ""), "tool", "tox")


def _table(text: str, *keys: str) -> Mapping[str, Any]:
    try:
        table: Any = tomllib.loads(text)
    except ValueError:
        return {}
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}


def _inside(folder: object) -> str:
    """A folder of the workspace, or empty where the text names none."""
    path = posixpath.normpath(_AT_ROOT.sub("", folder.strip())) if isinstance(folder, str) and folder.strip() else ""
    return "" if path.startswith(("/", "~", "..", "-")) or path == "." or "{" in path else path


def _names(listed: object) -> Iterator[str]:
    """The names in a list of environments, braces multiplied out: `py{311,312}-x` are two."""
    if isinstance(listed, str):
        words = _WORD.findall(listed)
    else:
        words = [word for word in listed if isinstance(word, str)] if isinstance(listed, list) else []
    for word in words:
        parts = [part[1:-1].split(",") if part.startswith("{") else [part] for part in re.split(r"(\{[^}]*\})", word)]
        yield from ("".join(choice).replace(" ", "") for choice in itertools.product(*parts))
