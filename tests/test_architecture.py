"""Holds the table of allowed arrows and the budgets of files and functions. A new arrow edits this table."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "agent_lsp"

ALLOWED: dict[str, set[str]] = {
    "domain": set(),
    "agent": {"domain"},
    "workspace": {"domain"},
    "providers": {"domain"},
    "storage": {"domain"},
    "link": {"domain"},
    "settings": {"domain"},
    "server": {"domain", "link"},
    "app": {"domain", "agent", "workspace", "providers", "storage", "link", "settings", "server"},
    "cli": {"domain", "agent", "workspace", "providers", "storage", "link", "settings", "server", "app"},
}

ONLY_IMPORTER: dict[str, set[str]] = {
    "pygls": {"server"},
    "lsprotocol": {"server"},
    "websockets": {"server"},
    "anthropic": {"providers"},
    "openai": {"providers"},
    "apsw": {"storage"},
    "subprocess": {"workspace"},
    "socket": {"workspace", "providers", "server"},
    "rich": {"app", "cli"},
}

STARTS_PROCESSES = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "fork", "posix_spawn", "system"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def _folder(module: Path) -> str:
    parts = module.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names.append(node.module or "")
    return names


def _name(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_a_module_imports_only_along_the_allowed_arrows(module: Path) -> None:
    folder = _folder(module)
    if folder in ("__init__", "__main__"):
        return
    for name in _imports(ast.parse(module.read_text())):
        root, _, rest = name.partition(".")
        if root == "agent_lsp" and rest:
            target = rest.split(".")[0]
            assert target == folder or target in ALLOWED[folder], f"{folder} may not import {target} ({name})"
        if root in ONLY_IMPORTER:
            assert folder in ONLY_IMPORTER[root], f"{folder} may not import {root}"


@pytest.mark.parametrize("module", [m for m in MODULES if _folder(m) == "domain"], ids=_name)
def test_the_domain_uses_the_standard_library_alone_and_does_nothing(module: Path) -> None:
    tree = ast.parse(module.read_text())
    for name in _imports(tree):
        root = name.split(".")[0]
        assert root == "agent_lsp" or root in sys.stdlib_module_names
        assert root not in {"os", "io", "time", "subprocess", "socket", "asyncio", "threading", "random"}
    assert not any(isinstance(node, ast.Await) for node in ast.walk(tree))


def _calls(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            func = node.func
            found.add(func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", ""))
    return found


@pytest.mark.parametrize("module", [m for m in MODULES if _folder(m) != "workspace"], ids=_name)
def test_no_process_starts_outside_the_workspace_folder(module: Path) -> None:
    assert not _calls(ast.parse(module.read_text())) & STARTS_PROCESSES


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_a_model_is_asked_in_one_place_behind_the_veil_that_masks_secrets(module: Path) -> None:
    asks = "respond" in _calls(ast.parse(module.read_text()))
    behind = {"agent/routing.py", "providers/recorded.py"}
    assert not asks or _name(module) in {"agent/veil.py", "agent/conversation.py", "agent/talking.py"} | behind


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_files_functions_and_classes_stay_within_their_budgets(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= 400, "file longer than 400 lines"
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line says what the module owns"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            public = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            assert len([n for n in public if not n.name.startswith("_")]) <= 12, f"{node.name} is too wide"
            assert not node.name.startswith("Test"), "pytest would collect it"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_no_module_is_a_drawer(module: Path) -> None:
    assert module.stem not in {"utils", "helpers", "common", "misc", "manager", "util", "helper"}


def test_importing_every_module_has_no_effect_and_prints_nothing() -> None:
    names = [
        ".".join(("agent_lsp", *m.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for m in MODULES
        if m.stem != "__main__" and "inject" not in m.parts
    ]
    code = "import importlib,threading\n" + "".join(f"importlib.import_module({name!r})\n" for name in names)
    code += "assert threading.active_count() == 1, threading.enumerate()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


HEAVY = {"anthropic", "httpx", "httpx2", "pydantic", "apsw", "detect_secrets", "concurrent_log_handler", "rich"}


def test_the_edge_loads_no_model_library_no_database_and_no_settings_library() -> None:
    code = (
        "import sys, agent_lsp.cli.main, agent_lsp.app.edge, agent_lsp.app.logs, agent_lsp.server.edge\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_of_pygls_is_loaded_before_initialize_can_be_answered() -> None:
    code = (
        "import sys, agent_lsp.cli.main, agent_lsp.app.edge\n"
        "print(sorted({'pygls', 'lsprotocol', 'asyncio', 'attrs'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pygls" not in done.stdout
    assert "lsprotocol" not in done.stdout
