"""What every candidate does, whatever it is made of; the plain stand-in of other tests included."""

import asyncio
import time
from pathlib import Path

import pytest

from agent_lsp.domain.changes import ChangeKind, Entry, FileMode
from agent_lsp.domain.errors import AgentLspError, CandidateError
from agent_lsp.domain.ports import Command, SandboxKind
from tests.workspace.scenes import KINDS, opened, sh

Tree = dict[str, str | bytes]
FILES: dict[str, str | bytes] = {
    "src/a.py": "x = 1\n",
    "b.txt": b"caf\xe9\r\nno end",
    "tests/test_a.py": "def test_a(): pass\n",
}

every_kind = pytest.mark.parametrize("kind", [None, *KINDS], ids=lambda kind: kind or "plain")


@every_kind
async def test_files_are_read_byte_for_byte_and_what_is_no_file_is_none(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        assert await candidate.read("b.txt") == Entry(b"caf\xe9\r\nno end")
        assert await candidate.read("src") is None
        assert await candidate.read("src/nothing.py") is None
        assert list(await candidate.paths()) == ["b.txt", "src/a.py", "tests/test_a.py"]
        assert list(await candidate.paths("src")) == ["src/a.py"]


@every_kind
async def test_the_change_set_holds_edits_of_tools_and_commands_with_their_kinds(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        await candidate.write("src/a.py", Entry(b"x = 2\n"))
        await candidate.write("deep/new/tool.sh", Entry(b"#!/bin/sh\n", FileMode.EXECUTABLE))
        await candidate.write("tests/test_a.py", None)
        done = await sh(candidate, "printf made > made.txt; cat src/a.py")
        assert (done.exit_status, done.output) == (0, "x = 2\n")
        edits = {edit.path: edit for edit in await candidate.harvest()}
        assert {path: edit.kind for path, edit in edits.items()} == {
            "src/a.py": ChangeKind.MODIFY,
            "deep/new/tool.sh": ChangeKind.CREATE,
            "tests/test_a.py": ChangeKind.DELETE,
            "made.txt": ChangeKind.CREATE,
        }
        assert edits["src/a.py"].before == Entry(b"x = 1\n")
        assert edits["src/a.py"].after == Entry(b"x = 2\n")
        assert edits["deep/new/tool.sh"].after == Entry(b"#!/bin/sh\n", FileMode.EXECUTABLE)
        assert list(await candidate.paths()) == ["b.txt", "deep/new/tool.sh", "made.txt", "src/a.py"]


@every_kind
async def test_a_change_that_was_taken_back_is_no_change(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        await candidate.write("src/a.py", Entry(b"x = 2\n"))
        await candidate.write("src/a.py", Entry(b"x = 1\n"))
        await candidate.write("b.txt", None)
        await candidate.write("b.txt", Entry(b"caf\xe9\r\nno end"))
        await sh(candidate, "touch tests/test_a.py")
        assert await candidate.harvest() == ()


@every_kind
async def test_the_workspace_itself_is_never_touched(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        await candidate.write("src/a.py", Entry(b"x = 2\n"))
        await sh(candidate, "rm -r tests; echo more >> b.txt; mkdir -p new && touch new/file")
        root = tmp_path / "workspace"
        assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == set(FILES)
        assert (root / "src/a.py").read_text() == "x = 1\n"
        assert (root / "b.txt").read_bytes() == b"caf\xe9\r\nno end"


@every_kind
async def test_a_command_tells_its_status_and_has_no_input(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        done = await sh(candidate, "cat; echo out; echo err >&2; exit 3")
        assert (done.exit_status, done.timed_out) == (3, False)
        assert set(done.output.split()) == {"out", "err"}
        there = await candidate.run(Command(("pwd",), cwd="src", env={"MINE": "1"}))
        assert there.output.strip() == f"{candidate.root}/src"
        with pytest.raises(CandidateError, match="no-such-program"):
            await candidate.run(Command(("no-such-program",)))


@every_kind
async def test_a_command_over_its_time_is_killed_with_its_children(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        began_s = time.monotonic()
        done = await sh(candidate, "sleep 60 & sleep 60", timeout_s=0.3)
        assert (done.exit_status, done.timed_out) == (None, True)
        assert time.monotonic() - began_s < 5


@every_kind
async def test_cancelling_one_command_ends_it_within_a_second_and_spares_the_others(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        go = Path(candidate.scratch, "go")
        other = asyncio.create_task(sh(candidate, f"while [ ! -e {go} ]; do sleep 0.02; done; echo done"))
        mark = Path(candidate.scratch, "started")
        victim = asyncio.create_task(sh(candidate, f"touch {mark}; sleep 60"))
        while not mark.exists():
            await asyncio.sleep(0.01)
        began_s = time.monotonic()
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        assert time.monotonic() - began_s < 1
        go.touch()
        assert (await other).output == "done\n"


@every_kind
async def test_scratch_is_seen_at_the_same_path_inside_and_outside(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        Path(candidate.scratch, "in").write_text("from outside")
        done = await sh(candidate, f"cat {candidate.scratch}/in; echo from inside > {candidate.scratch}/out")
        assert done.output == "from outside"
        assert Path(candidate.scratch, "out").read_text() == "from inside\n"
        assert await candidate.harvest() == ()


@every_kind
async def test_two_same_size_edits_within_a_second_never_run_old_code(tmp_path: Path, kind: SandboxKind | None) -> None:
    files: Tree = {
        "pkg/__init__.py": "",
        "pkg/m.py": "VALUE = 0\n",
        "show.py": "import pkg.m\nprint(pkg.m.VALUE)\n",
    }
    async with opened(tmp_path, kind, files) as candidate:
        for value in (1, 2, 1, 3):
            await candidate.write("pkg/m.py", Entry(b"VALUE = %d\n" % value))
            done = await candidate.run(Command(("python3", "show.py")))
            assert done.output == f"{value}\n"


@every_kind
async def test_closing_does_not_take_long_and_can_be_repeated(tmp_path: Path, kind: SandboxKind | None) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        await sh(candidate, "mkdir many && cd many && touch $(seq 500)")
        async with asyncio.timeout(5):  # how quick is for the benchmarks to say
            await candidate.close()
        await candidate.close()
        assert not Path(candidate.scratch).exists()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_closed_candidate_says_that_it_is_gone(tmp_path: Path, kind: SandboxKind) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        await candidate.close()
        for use in (candidate.read("b.txt"), candidate.harvest(), sh(candidate, "true")):
            with pytest.raises(CandidateError):
                await use


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("../out.txt", "leaves"),
        ("/etc/passwd", "absolute"),
        (".git/config", ".git"),
        (".agent-lsp/state.db", ".agent-lsp"),
        ("link-out/x", "leads out"),
        ("link-file", "leads out"),
        ("link-git/config", ".git"),
        ("build/new.o", "ignored"),
        (".venv/lib/x.py", "ignored"),
        ("src", "folder"),
        ("src/a.py/under", "part of its path is a file"),
        ("nested/inner.py", "nested repository"),
    ],
)
async def test_a_path_that_may_not_be_written_is_refused_with_the_reason(
    tmp_path: Path, kind: SandboxKind, path: str, word: str
) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "link-out").symlink_to(tmp_path)
    (root / "link-file").symlink_to(tmp_path / "outside.txt")
    (root / "link-git").symlink_to(".git")
    files: Tree = {
        **FILES,
        ".gitignore": "build/\n",
        "build/old.o": "o",
        ".git/HEAD": "broken",
        "nested/inner.py": "1",
    }
    (root / "nested/.git/refs").mkdir(parents=True)
    (root / "nested/.git/objects").mkdir()
    (root / "nested/.git/HEAD").write_text("ref: refs/heads/main\n")
    async with opened(tmp_path, kind, files) as candidate:
        with pytest.raises(AgentLspError, match=word):
            await candidate.write(path, Entry(b"bad"))
        assert await candidate.harvest() == ()
        assert (await candidate.read("build/old.o")) == Entry(b"o")
        assert (await candidate.read("nested/inner.py")) == Entry(b"1")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_symlink_is_kept_as_one_and_written_through(tmp_path: Path, kind: SandboxKind) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/link.py").symlink_to("src/a.py")
    async with opened(tmp_path, kind, FILES) as candidate:
        assert await candidate.read("link.py") == Entry(b"x = 1\n")
        await candidate.write("link.py", Entry(b"x = 9\n"))
        await candidate.write("other", Entry(b"b.txt", FileMode.SYMLINK))
        edits = {edit.path: edit for edit in await candidate.harvest()}
        assert edits["src/a.py"].after == Entry(b"x = 9\n")
        assert edits["other"].after == Entry(b"b.txt", FileMode.SYMLINK)
        assert set(edits) == {"src/a.py", "other"}


@pytest.mark.parametrize("kind", KINDS)
async def test_folders_that_become_files_and_the_other_way_are_told(tmp_path: Path, kind: SandboxKind) -> None:
    files: Tree = {
        "d/one": "1",
        "d/two": "2",
        "f": "file",
        "move/me.py": "print('moved')\n",
        "again/x": "x",
        "again/y": "y",
    }
    async with opened(tmp_path, kind, files) as candidate:
        done = await sh(
            candidate,
            "rm -r d && echo now a file > d; rm f && mkdir f && echo in > f/g; mv move/me.py there.py;"
            "rm -r again && mkdir again && echo z > again/z; rmdir move; echo 1 > ignored.pyc",
        )
        assert done.exit_status == 0, done.output
        edits = {edit.path: (edit.kind, edit.old_path) for edit in await candidate.harvest()}
        assert edits == {
            "d": (ChangeKind.CREATE, None),
            "d/one": (ChangeKind.DELETE, None),
            "d/two": (ChangeKind.DELETE, None),
            "f": (ChangeKind.DELETE, None),
            "f/g": (ChangeKind.CREATE, None),
            "there.py": (ChangeKind.RENAME, "move/me.py"),
            "again/x": (ChangeKind.DELETE, None),
            "again/y": (ChangeKind.DELETE, None),
            "again/z": (ChangeKind.CREATE, None),
        }


@pytest.mark.parametrize("kind", KINDS)
async def test_the_ignore_rules_of_the_candidate_decide_what_is_harvested(tmp_path: Path, kind: SandboxKind) -> None:
    async with opened(tmp_path, kind, {**FILES, ".gitignore": "*.log\n"}) as candidate:
        await candidate.write(".gitignore", Entry(b"*.tmp\n"))
        await sh(
            candidate,
            "touch a.log a.tmp; mkdir -p src/__pycache__ .pytest_cache; touch src/__pycache__/a.pyc .pytest_cache/x",
        )
        assert [edit.path for edit in await candidate.harvest()] == [".gitignore", "a.log"]


@pytest.mark.parametrize("kind", KINDS)
async def test_long_output_keeps_its_head_and_its_tail(tmp_path: Path, kind: SandboxKind) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        script = "echo first; seq 200000; echo last"
        done = await candidate.run(Command(("sh", "-c", script), output_limit_bytes=10_000))
        assert done.output.startswith("first\n1\n2\n")
        assert done.output.endswith("last\n")
        assert "bytes left out" in done.output
        assert len(done.output) < 12_000


@pytest.mark.parametrize("kind", KINDS)
async def test_secrets_of_the_environment_do_not_reach_commands(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("LC_AUTH_TOKEN", "sk-secret")
    monkeypatch.setenv("SOMETHING", "sk-secret")
    async with opened(tmp_path, kind, FILES) as candidate:
        done = await sh(candidate, "env; tr '\\0' '\\n' < /proc/$PPID/environ")
        assert "sk-secret" not in done.output
        assert "PATH=" in done.output


@pytest.mark.parametrize("kind", KINDS)
async def test_children_that_end_all_the_time_interrupt_no_write(tmp_path: Path, kind: SandboxKind) -> None:
    """The first write of a file copies it up, which a signal may interrupt."""
    files: dict[str, str | bytes] = {f"data/{number}.bin": b"\0" * 300_000 for number in range(150)}
    async with opened(tmp_path, kind, files) as candidate:
        storm = asyncio.create_task(sh(candidate, "while [ ! -e stop ]; do (sleep 0 &); done", timeout_s=60))
        await asyncio.sleep(0.2)
        for name in files:
            await candidate.write(name, Entry(b"new"))
        await candidate.write("stop", Entry(b""))
        assert (await storm).exit_status == 0
        assert {edit.path for edit in await candidate.harvest()} == {*files, "stop"}
