"""Compiled code between runs: it is what the interpreter would make itself, or it is not used."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agent_lsp.workspace.runners import bytecode as packs

INJECTED = Path(packs.__file__).parent / "inject" / "agent_lsp_bytecode.py"
RUN = """import sys
sys.path[:0] = [{root!r}, {folder!r}]
import pkg.a, pkg.b, agent_lsp_bytecode as b
print(pkg.a.N, pkg.b.N)
"""


@pytest.fixture
def injected() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agent_lsp_bytecode", INJECTED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(root: Path, a: str = "N = 1\n", b: str = "N = 2\n") -> Path:
    for name, text in (("__init__.py", ""), ("a.py", a), ("b.py", b)):
        path = root / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run(root: Path, tail: str = "") -> str:
    code = RUN.format(root=str(root), folder=str(INJECTED.parent)) + tail
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def caches(root: Path) -> dict[str, bytes]:
    return {path.name.partition(".")[0]: path.read_bytes() for path in (root / "pkg/__pycache__").glob("*.pyc")}


def test_compiled_code_is_used_for_the_same_bytes_and_for_no_others(
    tmp_path: Path, injected: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    base, pack = project(tmp_path / "base"), tmp_path / "pack"
    assert run(base, f"b.keep({str(base)!r}, {str(pack)!r})") == "1 2"
    changed = project(tmp_path / "changed", b="N = 7\n")
    injected.lay_out(str(changed), str(pack))
    laid = caches(changed)
    assert sorted(laid) == ["__init__", "a"], "b has other bytes, of the same length"
    assert run(changed) == "1 7"
    assert caches(changed)["a"] == laid["a"], "the interpreter took it and compiled nothing"


def test_a_pack_that_is_damaged_or_missing_changes_nothing(tmp_path: Path, injected: ModuleType) -> None:
    root = project(tmp_path / "base")
    for text in (None, b"", b"[1]\n", b"{}", json.dumps([{"source": "pkg/a.py", "size": 3}]).encode() + b"\nabc"):
        if text is not None:
            (tmp_path / "pack").write_bytes(text)
        injected.lay_out(str(root), str(tmp_path / "pack"))
        assert not caches(root)


def test_compiled_code_that_does_not_belong_to_its_source_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    base, pack = project(tmp_path / "base"), tmp_path / "pack"
    edit = f"open({str(base / 'pkg/a.py')!r}, 'w').write('N = 100\\n'); b.keep({str(base)!r}, {str(pack)!r})"
    run(base, edit)
    rows = json.loads(pack.read_bytes().split(b"\n", 1)[0])
    assert [row["source"] for row in rows] == ["pkg/__init__.py", "pkg/b.py"]
