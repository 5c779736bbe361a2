"""Owns the sources of settings: where each layer lies and how it is read, as plain keys and values."""

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import ConfigError

WORKSPACE_FILE: Final = "agent-lsp.toml"
PREFIX: Final = "AGENT_LSP_"
ENDPOINTS: Final = "endpoints"
"""The section whose tables have names of the person's."""

CONFIG_VARIABLE: Final = "AGENT_LSP_CONFIG"
DATA_VARIABLE: Final = "AGENT_LSP_DATA_DIR"
_ENVIRONMENT: Final = "the environment"
_SIZE_LIMIT_BYTES: Final = 1_000_000
_CLIENT_ONLY: Final = frozenset({"trace"})
"""Keys of the section `agentLsp` that belong to the editor's own language client."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One source. `values` maps dotted keys to what was written there; `names` to how the key is spelt there.

    `strict` is False where every value is text (the environment, command arguments).
    """

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    strict: bool = True

    def origin(self, key: str) -> str:
        """Where the key was set: the file, or the variable."""
        return self.spelt(key) if self.source == _ENVIRONMENT else self.source

    def spelt(self, key: str) -> str:
        """The key as the person wrote it."""
        return self.names.get(key, key)


def user_file(environ: Mapping[str, str]) -> Path:
    """AGENT_LSP_CONFIG, else `agent-lsp/config.toml` in the user's configuration folder."""
    named = environ.get(CONFIG_VARIABLE, "")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("agent-lsp", appauthor=False)) / "config.toml"


def read_user_layer(environ: Mapping[str, str]) -> Layer:
    """The user's file; one that AGENT_LSP_CONFIG names must be there. Raises ConfigError."""
    path = user_file(environ)
    if environ.get(CONFIG_VARIABLE) and not path.exists():
        raise ConfigError(
            f"{CONFIG_VARIABLE} names {path}, which does not exist", hint="Make the file, or unset the variable."
        )
    return read_file(path)


def read_file(path: Path) -> Layer:
    """A TOML file as a layer, empty where there is none. Raises ConfigError with file, line and what to do."""
    try:
        _check_file(path)
        text = path.read_bytes().decode("utf-8-sig")
        return Layer(str(path), *_flat(tomllib.loads(text)))
    except FileNotFoundError:
        return Layer(str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="Save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", hint="Mend the TOML syntax there.") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(
            f"{path}: a value is nested too deep or has too many digits", hint="Look for a very long value."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint="Check that it is a file that you may read."
        ) from error


def _check_file(path: Path) -> None:
    """A pipe or a device in the place of the file would hold up the start. Raises ConfigError or OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: not a regular file", hint="Put a TOML file there, or nothing.")
    if found.st_size > _SIZE_LIMIT_BYTES:
        raise ConfigError(f"{path}: {found.st_size} bytes are too many", hint="A configuration has a few hundred.")


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """`AGENT_LSP_SECTION__KEY` variables, and ANTHROPIC_BASE_URL beneath `AGENT_LSP_MODEL__BASE_URL`."""
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    standard = environ.get("ANTHROPIC_BASE_URL", "").strip()
    if standard:
        values["model.base_url"], names["model.base_url"] = standard, "ANTHROPIC_BASE_URL"
    for name in sorted(environ):
        if not name.startswith(PREFIX) or "__" not in name or not environ[name].strip():
            continue
        key = ".".join(name.removeprefix(PREFIX).lower().split("__"))
        values[key], names[key] = environ[name], name
    return Layer(_ENVIRONMENT, values, names, strict=False)


def client_layer(section: Mapping[str, Any] | None) -> Layer:
    """What the editor sent as `agentLsp`, camelCase or snake_case; null means not set. Raises ConfigError."""
    source = "the editor's settings (agentLsp)"
    if section is None:
        return Layer(source)
    inner = section.get("agentLsp")
    chosen = inner if isinstance(inner, Mapping) and len(section) == 1 else section
    kept = {key: value for key, value in chosen.items() if key not in _CLIENT_ONLY}
    values, names = _flat(kept)
    spelt = {snake(key): name for key, name in names.items()}
    return Layer(source, {snake(key): value for key, value in values.items() if value is not None}, spelt)


def arguments_layer(arguments: Mapping[str, Any] | None) -> Layer:
    """Command arguments, nested or with dotted keys; None means not given."""
    source = "the command line"
    values, names = _flat(arguments or {})
    return Layer(source, {key: value for key, value in values.items() if value is not None}, names, strict=False)


def snake(key: str) -> str:
    """`apiKeyEnv` and `baseURL` as `api_key_env` and `base_url`."""
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", key)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parted).lower()


def environment_name(key: str) -> str:
    """The variable that sets a key: `model.name` is `AGENT_LSP_MODEL__NAME`."""
    return PREFIX + key.upper().replace(".", "__")


def _flat(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Tables as dotted keys, two levels deep (of endpoints three): deeper ones are values, which no key takes."""
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for section, content in table.items():
        if isinstance(content, Mapping):
            for key, value in _opened(section, content).items():
                values[f"{section}.{key}"] = value
                names[f"{section}.{key}"] = f"{section}.{key}"
        elif content is not None or "." in str(section):
            values[str(section)] = content
            names[str(section)] = str(section)
    return values, names


def _opened(section: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of the endpoints as keys of their section."""
    if section != ENDPOINTS:
        return content
    found: dict[str, Any] = {}
    for name, table in content.items():
        if isinstance(table, Mapping):
            found |= {f"{name}.{key}": value for key, value in table.items()}
        elif table is not None:
            found[name] = table
    return found
