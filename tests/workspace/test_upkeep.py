"""The cache stays within its bound, keeps what is in use, and survives crashes at any moment and full disks."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import SnapshotError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.in_place import LARGE_BYTES
from agent_lsp.workspace.layout import Layout
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.pruning import prune
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.tidying import holdings, tidy
from agent_lsp.workspace.upkeep import Upkeep
from tests.workspace.scenes import put, scene, sh

DAY_S = 24 * 3600.0
PACKAGE = Path(__file__).parents[2]


async def used(tmp_path: Path, letter: str, days_ago: float) -> Layout:
    """A workspace's cache of which one candidate was made, last used so long ago."""
    root = put(tmp_path / f"root-{letter}", {f"{number}.bin": os.urandom(200_000) for number in range(5)})
    cache = tmp_path / "caches" / (letter * 16)
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees, SandboxKind.CLONE)
    pool.assume(SandboxKind.CLONE)
    await (await pool.open((await trees.snapshot(())).tree)).close()
    await pool.close()
    del trees, pool
    at_s = time.time() - days_ago * DAY_S
    os.utime(cache / "in-use.lock", (at_s, at_s))
    return Layout(cache)


async def test_what_was_unused_longest_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    old, older = await used(tmp_path, "a", 2), await used(tmp_path, "b", 3)
    busy = await used(tmp_path, "c", 4)
    living = GitTrees(tmp_path / "root-c", busy.cache)
    await living.prepare()
    os.utime(busy.lock, (1, 1))
    foreign = put(tmp_path / "caches" / ("d" * 16), {"bases/mine": "x" * 1000}).parent / "not-ours"
    put(foreign, {"bases/x": "1", "in-use.lock": ""})
    caches = tmp_path / "caches"
    sizes = {row.layout.cache: row.size_bytes for row in holdings(caches)}
    assert {old.cache, older.cache, busy.cache} <= sizes.keys()
    total = sum(sizes.values())
    tidy(caches, total)
    assert older.copies.is_dir()
    tidy(caches, total - 100_000)
    assert not older.copies.exists()
    assert (older.git / "HEAD").is_file(), "checkouts go before snapshots"
    assert old.copies.is_dir()
    tidy(caches, 0)
    assert not old.cache.exists()
    assert not older.cache.exists()
    assert busy.copies.is_dir()
    assert (foreign / "bases/x").is_file()
    again = GitTrees(tmp_path / "root-a", old.cache)
    assert len(await again.paths((await again.snapshot(())).tree)) == 5


async def test_caches_of_workspaces_that_are_gone_or_long_unused_are_removed(tmp_path: Path) -> None:
    gone, kept, stale = await used(tmp_path, "a", 2), await used(tmp_path, "b", 2), await used(tmp_path, "c", 31)
    shutil.rmtree(tmp_path / "root-a")
    tidy(tmp_path / "caches", None)
    assert [layout.cache.exists() for layout in (gone, kept, stale)] == [False, True, False]


async def test_the_look_at_the_cache_comes_once_an_hour_and_not_at_the_first_start(tmp_path: Path) -> None:
    caches = put(tmp_path / "caches", {f"{'a' * 16}/in-use.lock": "", f"{'b' * 16}/in-use.lock": ""})
    forgotten = caches / ("a" * 16)
    os.utime(forgotten / "in-use.lock", (1, 1))
    upkeep = Upkeep(Layout(caches / ("b" * 16)), 10**9)
    upkeep.begin()
    while not (caches / "upkeep").exists():
        await asyncio.sleep(0.01)
    await upkeep.end()
    assert forgotten.is_dir()
    os.utime(caches / "upkeep", (1, 1))
    upkeep.begin()
    async with asyncio.timeout(60):
        while forgotten.is_dir():
            await asyncio.sleep(0.02)
    await upkeep.end()


async def test_what_crashes_left_is_removed_and_the_living_is_not(tmp_path: Path) -> None:
    dead = await used(tmp_path, "a", 1)
    put(dead.cache, {"probe-x/f": "", "import-y": "", "bases/half/tree/f": "", "copies/half/f": ""})
    put(dead.cache, {"candidates/dead.lock": "", "candidates/dead/upper/f": "", "trash/t/f": ""})
    put(tmp_path / "caches" / ("b" * 16), {"in-use.lock": "", "bases/half/tree/f": "", "probe-x/f": ""})
    living = Layout(tmp_path / "caches" / ("b" * 16))
    trees = GitTrees(put(tmp_path / "root-b", {"a": "1"}), living.cache)
    await trees.prepare()
    pool = Pool(trees.root, living.cache, trees, SandboxKind.CLONE)
    pool.assume(SandboxKind.CLONE)
    candidate = await pool.open((await trees.snapshot(())).tree)
    await Upkeep(living, None).now()
    left = [path.name for name in ("bases", "candidates", "trash") for path in (dead.cache / name).glob("*")]
    assert left == []
    assert not list(dead.cache.glob("probe-*")) + list(dead.cache.glob("import-*"))
    assert [path.name != "half" for path in dead.copies.iterdir()] == [True]
    assert (living.cache / "probe-x/f").exists(), "it may be in use"
    assert await candidate.read("a") == Entry(b"1")
    await candidate.close()
    await pool.close()


async def test_pruning_keeps_what_files_are_and_what_is_young_and_drops_the_rest(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{number}.txt": str(number) * 50 for number in range(100)}
    root = put(tmp_path / "root", {**files, "big.bin": b"b" * LARGE_BYTES})
    trees = GitTrees(root, tmp_path / "cache")
    await asyncio.sleep(0.06)  # what was just written counts as unsettled and is not kept for the next process
    old = (await trees.snapshot(())).tree
    for number in range(100):
        (root / f"{number}.txt").write_text("new" * number)
    await asyncio.sleep(0.06)
    new = (await trees.snapshot(())).tree
    objects = trees.layout.git / "objects"
    long_ago_s = time.time() - 8 * DAY_S
    for file in objects.rglob("*"):
        os.utime(file, (long_ago_s, long_ago_s))
    young = await trees.write(new, [])
    await prune(trees.layout, trees.private, grace_s=7 * DAY_S)
    fresh = GitTrees(root, tmp_path / "cache")
    assert (await fresh.snapshot(())).tree == new == young
    assert await fresh.read(new, "99.txt") == Entry(b"new" * 99)
    assert await fresh.read(new, "big.bin") == Entry(b"b" * LARGE_BYTES)
    with pytest.raises(SnapshotError):
        await fresh.read(old, "99.txt")


async def test_a_store_is_pruned_by_the_next_start_when_it_is_due_and_nobody_uses_it(tmp_path: Path) -> None:
    root = put(tmp_path / "root", {"a.txt": "first"})
    layout = Layout(tmp_path / "cache")

    async def start() -> tuple[GitTrees, str]:
        trees = GitTrees(root, layout.cache)
        return trees, (await trees.snapshot(())).tree

    async def is_there(tree: str) -> bool:
        trees = GitTrees(root, layout.cache)
        await trees.prepare()
        try:
            return await trees.read(tree, "a.txt") is not None
        except SnapshotError:
            return False

    user, old = await start()
    long_ago_s = time.time() - 8 * DAY_S
    (root / "a.txt").write_text("second")
    (layout.git / "pruned").touch()
    for file in [layout.git / "pruned", *(layout.git / "objects").rglob("*")]:
        os.utime(file, (long_ago_s, long_ago_s))
    assert await is_there(old), "somebody uses it"
    del user
    assert not await is_there(old)


FILLER = """
import asyncio, sys
from pathlib import Path
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.snapshot import GitTrees
async def main(root, cache):
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees, SandboxKind.CLONE)
    pool.assume(SandboxKind.CLONE)
    for _ in range(2):
        try:
            candidate = await pool.open((await trees.snapshot(())).tree)
            await candidate.close()
            print("made")
        except AgentLspError as error:
            print(type(error).__name__, error.message, error.hint)
        for number in range(10, 40):
            (root / f"{number}.bin").unlink(missing_ok=True)
    await pool.close()
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.parametrize(("size_mib", "name"), [(3, "SnapshotError"), (7, "CandidateError")])
def test_a_full_disk_is_said_with_what_to_do_and_loses_nothing(tmp_path: Path, size_mib: int, name: str) -> None:
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("no namespace with a disk of its own")
    root = put(tmp_path / "root", {f"{number}.bin": os.urandom(100_000) for number in range(40)})
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "filler.py").write_text(FILLER)
    mount = f"mount -t tmpfs -o size={size_mib}m none {small}"
    script = f"{mount} && exec {sys.executable} {tmp_path}/filler.py {root} {small}/cache"
    env = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    first, second = [*done.stdout.splitlines(), done.stderr, ""][:2]
    assert first.startswith(f"{name} the disk that holds the cache is full"), done.stdout + done.stderr
    assert "nothing of yours was touched" in first
    assert "AGENT_LSP_CACHE_DIR" in first
    assert second == "made" or name == "SnapshotError", "less has to be copied now, and there is room for that"
    assert len(list(root.iterdir())) == 10


WORKER = """
import asyncio, os, sys
from pathlib import Path
from agent_lsp.domain.changes import Entry
from agent_lsp.domain.ports import Command, SandboxKind
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.pruning import prune
from agent_lsp.workspace.snapshot import GitTrees
async def main(root, cache, kind):
    print("up", flush=True)
    while True:
        trees = GitTrees(root, cache)
        pool = Pool(root, cache, trees, kind)
        pool.assume(kind)
        for number in range(3):
            (root / "moving.txt").write_text(str(number) * 2000)
            for name in range(number * 30, number * 30 + 30):
                (root / f"d/{name}.txt").write_text(os.urandom(8).hex())
            candidate = await pool.open((await trees.snapshot(())).tree)
            await candidate.run(Command(("sh", "-c", "echo x > made; rm -rf d; echo y > moving.txt")))
            await candidate.write("d/new.txt", Entry(b"new"))
            await candidate.harvest()
            await candidate.close()
        await prune(trees.layout, trees.private, grace_s=0)
        await pool.close()
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), SandboxKind(sys.argv[3])))
"""


async def killed_and_checked(tmp_path: Path, kind: SandboxKind, kills: int, dice: random.Random) -> None:
    """Kills a process that uses the cache again and again; each time the next one finds it sound and cleans it."""
    root = put(tmp_path / "root", {f"d/{number}.txt": str(number) for number in range(120)})
    cache = tmp_path / "cache"
    for turn in range(kills):
        argv = [sys.executable, "-c", WORKER, str(root), str(cache), kind.value]
        child = await asyncio.create_subprocess_exec(*argv, cwd=PACKAGE, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        await child.stdout.readline()
        await asyncio.sleep(dice.uniform(0.0, 1.2))
        child.kill()
        await child.wait()
        trees = GitTrees(root, cache)
        pool = Pool(root, cache, trees, kind)
        pool.assume(kind)
        await pool.start()
        candidate = await pool.open((await trees.snapshot(())).tree)
        shown = await sh(
            candidate, "cat d/*.txt moving.txt | sha256sum; find . -name .git -prune -o -type f -print | wc -l"
        )
        live = sorted(path for path in root.rglob("*") if path.is_file())
        texts = [path.read_bytes() for path in sorted((root / "d").iterdir())]
        moving = (root / "moving.txt").read_bytes() if (root / "moving.txt").exists() else b""
        assert shown.output.split()[0] == Entry(b"".join([*texts, moving])).sha256, f"{kind}, turn {turn}"
        assert shown.output.split()[-1] == str(len(live))
        assert await candidate.harvest() == ()
        await candidate.close()
        await pool.close()
        left = [path for name in ("candidates", "trash") for path in (cache / name).glob("*")]
        broken = [
            path for name in ("bases", "copies") for path in (cache / name).glob("*") if not (path / "state").exists()
        ]
        assert left + broken == [], f"{kind}, turn {turn}"


@pytest.mark.parametrize("kind", [SandboxKind.OVERLAY, SandboxKind.CLONE])
async def test_a_process_killed_at_any_moment_leaves_a_cache_that_the_next_one_uses_and_cleans(
    tmp_path: Path, kind: SandboxKind
) -> None:
    probe = tmp_path / "probe"
    probe.mkdir()
    async with scene(probe, kind, {"a": ""}):
        pass
    await killed_and_checked(tmp_path, kind, 3, random.Random(7))


async def test_a_copy_is_used_again_with_nothing_left_of_what_the_one_before_did(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"d{number % 5}/{number}.txt": str(number) for number in range(50)}
    async with scene(tmp_path, SandboxKind.CLONE, {**files, ".gitignore": "*.log\n"}) as made:
        first = (await made.trees.snapshot(())).tree
        candidate = await made.pool.open(first)
        place = candidate.root
        mess = (
            "rm -r d0; mv d1 d9; echo x > d2/2.txt; touch -r d2/7.txt d2/7.txt; chmod 600 d2/12.txt; mkdir -p e/f;"
            "ln -s /etc d0; echo l > d2/x.log; cp -p d3/3.txt t; echo 9 > d3/3.txt; touch -r t d3/3.txt; mkfifo p;"
            "ln d4/4.txt hard; echo same > hard; chmod 700 d4; chmod 0 d3; mkdir d2/__pycache__;"
            ": > d2/__pycache__/c.pyc"
        )
        assert (await sh(candidate, mess)).exit_status == 0
        await candidate.close()
        put(made.root, {"d2/2.txt": "moved on", "new/file": "new"})
        (made.root / "d4/4.txt").unlink()
        second = (await made.trees.snapshot(())).tree
        for tree, count in ((first, 51), (second, 51)):
            again = await made.pool.open(tree)
            assert again.root == place, "no other copy was made"
            assert await again.harvest() == ()
            found = (await sh(again, "find . -not -type d; find . -perm 0000; find . -empty -type d")).output.split()
            assert len(found) == count, found
            for path in await made.trees.paths(tree):
                assert await again.read(path) == await made.trees.read(tree, path), path
            await again.close()
        await made.pool.close()
        other = Pool(made.root, made.cache, GitTrees(made.root, made.cache), SandboxKind.CLONE)
        other.assume(SandboxKind.CLONE)
        third = await other.open(second)
        assert third.root == place, "another process takes it over"
        await third.close()
        await other.close()


async def test_files_beside_ignored_ones_need_no_marks_of_their_own(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"d/{number}.c": "c" for number in range(200)}
    async with scene(tmp_path, SandboxKind.OVERLAY, {**files, "d/x.o": "o", ".gitignore": "*.o\n"}) as made:
        tree = (await made.trees.snapshot(())).tree
        put(made.root, {"d/late.c": "late"})
        candidate = await made.pool.open(tree)
        marks = [path.name for path in (made.cache / "candidates").glob("*/masks/d/*")]
        assert marks == ["late.c"]
        assert (await sh(candidate, "ls d | wc -l; cat d/x.o")).output.split() == ["201", "o"]
        await candidate.close()
