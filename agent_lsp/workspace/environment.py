"""Owns the clean environment of commands: an allow-list, with nothing that looks like a secret."""

import os
import re
from collections.abc import Mapping
from typing import Final

_ALLOWED: Final = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TERM",
        "TZ",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "PYENV_ROOT",
        "PYENV_VERSION",
        "UV_PYTHON",
        "NVM_DIR",
        "NODE_PATH",
        "JAVA_HOME",
        "GOPATH",
        "GOROOT",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "LD_LIBRARY_PATH",
        "DJANGO_SETTINGS_MODULE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NIX_PATH",
        "NIX_PROFILES",
    }
)
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@"  # a password in an address
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:sk|rk|pk)[-_](?:ant|live|test|proj)[-_]|\bsk-[A-Za-z0-9]{20}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20}|\bgithub_pat_|\bglpat-|\bxox[abprs]-|\bpypi-[A-Za-z0-9_-]{16}|\bnpm_[A-Za-z0-9]{20}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12}|\bAIza[A-Za-z0-9_-]{20}|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."
)
"""Shapes of keys, whatever the variable is called."""


def command_env(inherited: Mapping[str, str], tmp: str) -> dict[str, str]:
    """What a command in a candidate gets of our environment; temporary files and caches go below `tmp`."""
    env = {
        name: value
        for name, value in inherited.items()
        if (name in _ALLOWED or name.startswith("LC_")) and not _SECRET.search(name) and not _SECRET_VALUE.search(value)
    }
    env.setdefault("PATH", os.defpath)
    return {**env, "TMPDIR": tmp, "XDG_CACHE_HOME": f"{tmp}/cache", "AGENT_LSP": "1"}
