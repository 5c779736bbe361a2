"""What the real sandboxes promise: the edited code runs, nothing leaves, nothing stays behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import Buffer, Command, SandboxKind
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.probe import probe
from agent_lsp.workspace.snapshot import GitTrees
from tests.workspace.scenes import ISOLATED, KINDS, git, opened, put, scene, sh

each_isolated = pytest.mark.parametrize("kind", ISOLATED)
WRITES_BYTECODE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
each_kind = pytest.mark.parametrize("kind", KINDS)


def alive(word: str) -> list[int]:
    """Processes, of any namespace below ours, that carry a word in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found


async def until(what: object, *, timeout_s: float = 5.0) -> bool:
    """Waits until a callable answers true."""
    assert callable(what)
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if what():
            return True
        await asyncio.sleep(0.01)
    return bool(what())


@each_isolated
async def test_an_editable_install_in_the_workspace_loads_the_edited_module(tmp_path: Path, kind: SandboxKind) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
    site = next((root / ".venv/lib").glob("python*/site-packages"))
    (site / "mine.pth").write_text(f"{root}/src\n")
    put(root, {"src/mine/__init__.py": "VALUE = 'live'\n", "src/mine/sub.py": "def f():\n    return 1\n"})
    python = ".venv/bin/python"
    subprocess.run([root / python, "-c", "import mine, mine.sub"], env=WRITES_BYTECODE, check=True)
    assert (root / "src/mine/__pycache__").is_dir()
    async with scene(tmp_path, kind, {}) as made:
        candidate = await made.open()
        show = Command((python, "-c", "import mine, mine.sub; print(mine.VALUE, mine.sub.f(), mine.__file__)"))
        place = f"{root}/src/mine/__init__.py"
        assert (await candidate.run(show)).output.split() == ["live", "1", place]
        await candidate.write("src/mine/__init__.py", Entry(b"VALUE = 'edit'\n"))
        await candidate.write("src/mine/sub.py", Entry(b"def f():\n    return 2\n"))
        assert (await candidate.run(show)).output.split() == ["edit", "2", place]
        assert [edit.path for edit in await candidate.harvest()] == ["src/mine/__init__.py", "src/mine/sub.py"]
        await candidate.close()
    assert (root / "src/mine/sub.py").read_text() == "def f():\n    return 1\n"


@each_isolated
async def test_a_stale_byte_code_file_of_the_workspace_is_never_loaded(tmp_path: Path, kind: SandboxKind) -> None:
    root = put(tmp_path / "workspace", {"m.py": "V = 1\n"})
    os.utime(root / "m.py", (1_600_000_000, 1_600_000_000))
    subprocess.run([sys.executable, "-c", "import m"], cwd=root, env=WRITES_BYTECODE, check=True)
    assert (root / "__pycache__").is_dir()
    (root / "m.py").write_text("V = 2\n")
    os.utime(root / "m.py", (1_600_000_000, 1_600_000_000))
    async with opened(tmp_path, kind, {}) as candidate:
        assert (await candidate.run(Command((sys.executable, "-c", "import m; print(m.V)")))).output == "2\n"


@each_isolated
async def test_the_network_is_off_and_loopback_works(tmp_path: Path, kind: SandboxKind) -> None:
    code = (
        "import socket, threading\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "threading.Thread(target=lambda: s.accept()[0].sendall(b'hello'), daemon=True).start()\n"
        "print(socket.create_connection(s.getsockname()).recv(5).decode())\n"
        "try:\n    socket.create_connection(('192.0.2.1', 9), 2); print('out')\n"
        "except OSError as error: print('cut', error.errno)\n"
    )
    async with opened(tmp_path, kind, {"a": ""}) as candidate:
        lines = (await candidate.run(Command((sys.executable, "-c", code)))).output.split("\n")
        assert lines[0] == "hello"
        assert lines[1].startswith("cut 101"), lines


@each_isolated
async def test_nothing_outside_can_be_written_and_tmp_is_private(tmp_path: Path, kind: SandboxKind) -> None:
    git(put(tmp_path / "workspace", {"a": ""}), "init", "-q")
    name = f"agent-lsp-check-{os.getpid()}"
    outside = Path.home() / name
    async with opened(tmp_path, kind, {}) as candidate:
        done = await sh(
            candidate,
            f"touch {outside} && echo home; touch /etc/{name} || echo etc; touch .git/{name} || echo git;"
            f"touch /tmp/{name} && test -e /tmp/{name} && echo tmp; touch $TMPDIR/x && echo own;"
            "mount -o remount,rw / 2>/dev/null || echo mount; umount . 2>/dev/null || echo umount;"
            "echo x > /dev/null && echo null",
        )
        words = [line for line in done.output.splitlines() if " " not in line]
        assert words == ["home", "etc", "git", "tmp", "own", "mount", "umount", "null"], done.output
    assert not outside.exists()
    assert not Path("/etc", name).exists()
    assert not Path("/tmp", name).exists()


@each_kind
async def test_a_daemon_dies_with_its_candidate(tmp_path: Path, kind: SandboxKind) -> None:
    word = f"daemon-{kind}-{os.getpid()}"
    async with opened(tmp_path, kind, {"a": ""}) as candidate:
        up = Path(candidate.scratch, "up")
        daemon = Path(candidate.scratch, "daemon.py")
        daemon.write_text("import sys, time\nopen(sys.argv[1], 'w').close()\ntime.sleep(300)\n")
        start = f"setsid setsid {sys.executable} {daemon} {up} {word} > /dev/null 2>&1 &"
        run = asyncio.create_task(sh(candidate, f"{start} sleep 300"))
        assert await until(up.exists)
        assert alive(word)
        await candidate.close()
        assert not alive(word)
        with pytest.raises(CandidateError, match="holder"):
            await run


@each_kind
async def test_a_killed_holder_is_a_clear_error_and_leaves_nothing(tmp_path: Path, kind: SandboxKind) -> None:
    word = f"victim-{kind}-{os.getpid()}"
    async with scene(tmp_path, kind, {"a": "1"}) as made:
        candidate = await made.open()
        mark = Path(candidate.scratch, "up")
        run = asyncio.create_task(sh(candidate, f"touch {mark}; sleep 300; : {word}"))
        assert await until(mark.exists)
        before = alive(word)
        assert before
        holders = [pid for pid in alive("agent_lsp.workspace.holder") if _below_us(pid)]
        for pid in holders:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(CandidateError, match="holder"):
            await run
        with pytest.raises(CandidateError, match="holder"):
            await candidate.read("a")
        await candidate.close()
        assert not alive(word)
        again = await made.open()
        assert await again.read("a") == Entry(b"1")
        await again.close()


def _below_us(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


@each_kind
async def test_a_killed_runtime_takes_everything_along_and_the_next_start_cleans_up(
    tmp_path: Path, kind: SandboxKind
) -> None:
    word = f"orphan-{kind}-{os.getpid()}"
    code = f"""
import asyncio, sys
from pathlib import Path
from agent_lsp.domain.ports import Command, SandboxKind
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.snapshot import GitTrees
async def main():
    root, cache = Path({str(tmp_path / "workspace")!r}), Path({str(tmp_path / "cache")!r})
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees, SandboxKind({kind.value!r}))
    pool.assume(SandboxKind({kind.value!r}))
    candidate = await pool.open((await trees.snapshot(())).tree)
    script = "echo up > $0/up; sleep 300; : {word}"
    await candidate.run(Command(("sh", "-c", script, candidate.scratch)))
asyncio.run(main())
"""
    async with scene(tmp_path, kind, {"a": "1"}) as made:
        mine = await made.open()
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        assert await until(lambda: list((made.cache / "candidates").glob("*/scratch/up")), timeout_s=20)
        assert alive(word)
        child.kill()
        await child.wait()
        assert await until(lambda: not alive(word))
        assert len(list((made.cache / "candidates").glob("*.lock"))) == 2
        second = Pool(made.root, made.cache, GitTrees(made.root, made.cache), kind)
        await second.start()
        await second.close()
        assert len(list((made.cache / "candidates").glob("*.lock"))) == 1
        assert await mine.read("a") == Entry(b"1"), "the living candidate was disturbed"
        await mine.close()


@each_kind
async def test_a_candidate_shows_its_own_tree_whatever_the_live_files_are(tmp_path: Path, kind: SandboxKind) -> None:
    files: dict[str, str | bytes] = {
        "same": "1",
        "src/old.py": "old",
        "src/gone.py": "x",
        "lib/a/b.py": "b",
        ".gitignore": "*.o\n",
        "src/k.o": "o",
    }
    async with scene(tmp_path, kind, files) as made:
        first = (await made.trees.snapshot(())).tree
        (made.root / "src/gone.py").unlink()
        put(made.root, {"src/new.py": "new", "src/old.py": "changed", "top-new": "n", "lib/a/c.py": "c"})
        second = (await made.trees.snapshot([Buffer("same", 2, "buffer")])).tree
        third = await made.trees.write(first, [FileEdit("lib/a/b.py", None, None), FileEdit("src/old.py", None, None)])
        candidates = [await made.pool.open(tree) for tree in (first, second, third)]
        listing = Command(("sh", "-c", "find . -name .git -prune -o -type f -print | sort | tr '\\n' ' '"))
        shown = [(await candidate.run(listing)).output.split() for candidate in candidates]
        old = ["./.gitignore", "./lib/a/b.py", "./same", "./src/gone.py", "./src/k.o", "./src/old.py"]
        new = ["./.gitignore", "./lib/a/b.py", "./lib/a/c.py", "./same", "./src/k.o", "./src/new.py", "./src/old.py"]
        assert shown[0] == old
        assert shown[1] == [*new, "./top-new"]
        assert shown[2] == ["./.gitignore", "./same", "./src/gone.py", "./src/k.o"]
        put(made.root, {"src/later.py": "later", "same": "typed", "lib/a/b.py": "typed"})
        texts = [
            (await sh(candidate, "cat same lib/a/b.py 2>/dev/null; ls lib 2>&1")).output for candidate in candidates
        ]
        assert texts[0] == "1ba\n"
        assert texts[1] == "bufferba\n"
        assert texts[2].startswith("1ls: ")
        assert [await candidate.harvest() for candidate in candidates] == [(), (), ()]
        for candidate in candidates:
            await candidate.close()


async def test_checkouts_are_reused_and_brought_along_without_growing_in_number(tmp_path: Path) -> None:
    async with scene(tmp_path, SandboxKind.OVERLAY, {f"d/{number}.txt": str(number) for number in range(400)}) as made:
        first = (await made.trees.snapshot(())).tree
        for number in range(300):
            (made.root / f"d/{number}.txt").write_text(f"new {number}")
        second = (await made.trees.snapshot(())).tree
        for tree, text in ((first, "7"), (second, "new 7"), (first, "7")):
            candidate = await made.pool.open(tree)
            assert (await sh(candidate, "cat d/7.txt")).output == text
            await candidate.close()
        assert len(list((made.cache / "bases").iterdir())) == 1
        one, two = await made.pool.open(first), await made.pool.open(second)
        assert ((await sh(one, "cat d/9.txt")).output, (await sh(two, "cat d/9.txt")).output) == ("9", "new 9")
        assert len(list((made.cache / "bases").iterdir())) == 2
        await one.close()
        await two.close()


@each_isolated
async def test_ignored_folders_are_there_to_read_and_their_live_files_stay(tmp_path: Path, kind: SandboxKind) -> None:
    files: dict[str, str | bytes] = {
        ".gitignore": "build/\ndata/\n",
        "build/lib/x.so": "so",
        "data/big.bin": "data",
        ".venv/lib/p.py": "p",
        "a": "",
    }
    async with opened(tmp_path, kind, files) as candidate:
        assert (await sh(candidate, "cat build/lib/x.so data/big.bin .venv/lib/p.py")).output == "sodatap"
        await sh(candidate, "echo new > build/lib/x.so; echo new > .venv/lib/p.py; rm -r data")
        assert await candidate.harvest() == ()
    root = tmp_path / "workspace"
    assert {name: (root / name).read_text() for name in files} == files


async def test_the_probe_tells_every_kind_with_a_reason_and_advice(tmp_path: Path) -> None:
    findings = await probe(tmp_path / "cache")
    assert [finding.kind for finding in findings] == KINDS
    assert all(finding.works or (finding.reason and finding.advice) for finding in findings)
    assert findings[-1].works
    assert list((tmp_path / "cache").iterdir()) == []


async def test_a_missing_bubblewrap_is_said_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "bin", {})
    for name in ("git", "sh"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(found.stdout.strip())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    root = put(tmp_path / "workspace", {"a": ""})
    pool = Pool(root, tmp_path / "cache", GitTrees(root, tmp_path / "cache"), SandboxKind.BUBBLEWRAP)
    with pytest.raises(CandidateError, match="not installed") as missing:
        await pool.start()
    await pool.close()
    assert "Install bubblewrap" in missing.value.hint


async def test_the_best_kind_is_chosen_when_none_is_forced(tmp_path: Path) -> None:
    async with scene(tmp_path, None, {"a": "1"}) as made:
        working = [finding.kind for finding in await probe(tmp_path / "other") if finding.works]
        assert made.pool.kind is working[0]
