"""What code under test may try, and what comes of it: each trick is really tried in a real candidate."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.errors import CandidateError, ToolError
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind
from agent_lsp.workspace import landlock, limits
from agent_lsp.workspace.bases import Bases
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import empty_trash, remove_abandoned
from agent_lsp.workspace.layout import Layout
from agent_lsp.workspace.sight import Access, sight
from agent_lsp.workspace.snapshot import GitTrees
from tests.workspace.scenes import ISOLATED, KINDS, git, opened, put, scene, sh

each_isolated = pytest.mark.parametrize("kind", ISOLATED)
each_kind = pytest.mark.parametrize("kind", KINDS)

_TRIES = """
import contextlib, ctypes, json, os, signal, socket, struct, sys
facts = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def tried(name):
    def run(function):
        try:
            done = function()
        except (OSError, ImportError):
            return
        if done is not False:
            print(name, repr(done)[:100])
    return run
"""


async def attack(candidate: Candidate, code: str, **facts: object) -> CommandResult:
    """Runs tries; each that succeeds prints its name."""
    program = Path(candidate.scratch) / "attack.py"
    program.write_text(_TRIES + code)
    done = await candidate.run(Command((sys.executable, str(program), json.dumps(facts)), timeout_s=20.0))
    assert "Traceback" not in done.output, done.output
    return done


def walled(kind: SandboxKind) -> None:
    """A plain copy has walls only where the kernel has Landlock."""
    if kind is SandboxKind.CLONE and landlock.abi() < 4:
        pytest.skip("this kernel has no Landlock with a say over the network")


@asynccontextmanager
async def guarded(tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Candidate]:
    """A candidate beside a home with keys and another project; everything outside must be as before at the end."""
    walled(kind)
    home = put(tmp_path / "me", {".ssh/id_ed25519": "K", ".aws/credentials": "K", ".netrc": "K", ".bashrc": "b"})
    put(tmp_path / "other", {"secret.py": "K", "run.sh": "true"})
    monkeypatch.setenv("HOME", str(home))
    git(put(tmp_path / "workspace", {"a.py": "V = 1\n", "src/m.py": "M = 1\n"}), "init", "-q")
    places = [home, tmp_path / "other", tmp_path / "workspace"]
    before = [contents(place) for place in places]
    async with opened(tmp_path, kind, {}) as candidate:
        yield candidate
    assert [contents(place) for place in places] == before


def contents(folder: Path) -> dict[str, object]:
    """Every file with its bytes, every other thing with its kind."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in sorted(folder.rglob("*"))
    }


@each_kind
async def test_keys_other_projects_and_other_processes_cannot_be_read(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
for path in facts["files"]:
    tried("read " + path)(lambda: open(path).read() != "" and path)
for pid in (1, os.getppid(), facts["runtime"]):
    tried(f"environment of {pid}")(lambda: "environ" if open(f"/proc/{pid}/environ", "rb").read() else False)
    tried(f"memory of {pid}")(lambda: open(f"/proc/{pid}/mem", "rb") and pid)
    tried(f"root of {pid}")(lambda: os.listdir(f"/proc/{pid}/root") != [] and pid)
for folder in facts["folders"]:
    tried("list " + folder)(lambda: bool(os.listdir(folder)))
"""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "K")
    files = ["me/.ssh/id_ed25519", "me/.aws/credentials", "me/.netrc", "me/.bashrc", "other/secret.py"]
    async with guarded(tmp_path, kind, monkeypatch) as candidate:
        done = await attack(
            candidate,
            code,
            files=[*(str(tmp_path / name) for name in files), "/etc/shadow", str(tmp_path / "cache/candidates")],
            folders=["/home", "/run", str(tmp_path / "cache/bases")],
            runtime=os.getpid(),
        )
        assert done.output == ""


@each_kind
async def test_nothing_outside_can_be_written_linked_or_renamed(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
def write(path, mode="a"):
    with open(path, mode) as file:
        file.write("written")
for path in facts["files"]:
    tried("write " + path)(lambda: write(path))
    tried("remove " + path)(lambda: os.unlink(path))
    tried("truncate " + path)(lambda: os.truncate(path, 0))
    tried("hard link " + path)(lambda: os.link(path, "hard"))
    tried("rename out " + path)(lambda: os.rename("a.py", path))
    with contextlib.suppress(OSError):
        os.unlink("soft")
    os.symlink(path, "soft")
    tried("write through " + path)(lambda: write("soft"))
os.unlink("soft")
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/printk", "/proc/sysrq-trigger", "/dev/kmsg"):
    tried("open " + path)(lambda: os.close(os.open(path, os.O_WRONLY)))
"""
    files = ["other/run.sh", "workspace/.git/config", "workspace/.git/hooks/post-checkout"]
    outside = [*(str(tmp_path / name) for name in files), "/etc/hostname", "/usr/agent-lsp-escape"]
    async with guarded(tmp_path, kind, monkeypatch) as candidate:
        done = await attack(candidate, code, files=outside)
        assert done.output == ""
        assert await candidate.read("a.py") == Entry(b"V = 1\n")


@each_kind
async def test_no_process_outside_is_reached_and_no_privilege_won(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
holder = os.getppid()
for pid in {1, holder, facts["victim"]}:
    tried(f"trace {pid}")(lambda: libc.ptrace(16, pid, None, None) == 0)
    for fd in range(3):
        tried(f"pipe {fd} of {pid}")(lambda: os.close(os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)))
    for name in ("mnt", "net", "user", "pid"):
        def enter():
            handle = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
            return libc.setns(handle, 0) == 0
        tried(f"enter {name} of {pid}")(enter)
for pid in {facts["victim"], holder}:
    tried(f"kill {pid}")(lambda: os.kill(pid, signal.SIGKILL) or (pid == facts["victim"] and "killed"))
tried("mount")(lambda: libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0)
tried("unmount")(lambda: libc.umount2(os.getcwd().encode(), 2) == 0)
tried("remount")(lambda: libc.mount(None, b"/", None, 0x20 | 0x1000, None) == 0)
tried("chroot")(lambda: os.chroot("/usr"))
tried("pivot")(lambda: libc.syscall(155, b".", b".") == 0)
tried("device")(lambda: os.mknod("disk", 0o60600, os.makedev(254, 0)))
for name in ("vda", "sda", "nvme0n1", "mem", "kvm", "fuse", "console", "tty1"):
    tried("open " + name)(lambda: os.open("/dev/" + name, os.O_RDWR))
def type_ahead():
    import fcntl, termios
    fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), termios.TIOCSTI, b"x")
tried("type into the terminal")(type_ahead)
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
tried("capabilities")(lambda: int(status["CapEff"], 16) | int(status["CapBnd"], 16) * facts["bound"] != 0)
tried("privileges by a setuid program")(lambda: status["NoNewPrivs"].strip() != "1")
def nested():
    return libc.unshare(0x10020000) == 0 and libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0
tried("mount in a namespace of its own")(nested)
"""
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        async with guarded(tmp_path, kind, monkeypatch) as candidate:
            bound = int(kind is not SandboxKind.CLONE or os.getuid() == 0)
            done = await attack(candidate, code, victim=victim.pid, bound=bound)
            assert done.output == ""
            assert (await sh(candidate, "echo alive")).output == "alive\n"
        assert victim.returncode is None
    finally:
        victim.kill()
        await victim.wait()


@contextlib.contextmanager
def listeners(folder: Path) -> Iterator[dict[str, object]]:
    """Services of the machine: on loopback by TCP and UDP, by an abstract name, and by a path."""
    name = f"agent-lsp-test-{os.getpid()}"
    path = folder / "socket"
    with contextlib.ExitStack() as stack:
        made = []
        for family, kind, address in (
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(path)),
        ):
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen()
            made.append(server)
        heard = made[1]
        heard.setblocking(False)
        yield {"tcp": made[0].getsockname()[1], "udp": heard.getsockname()[1], "name": name, "path": str(path)}
        with pytest.raises(BlockingIOError):
            heard.recv(10)


@each_kind
async def test_the_network_and_the_services_of_the_machine_are_out_of_reach(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as mine:
        mine.settimeout(2)
        mine.connect(address)
tried("tcp")(lambda: connect(socket.AF_INET, ("127.0.0.1", facts["tcp"])))
tried("outside")(lambda: connect(socket.AF_INET, ("192.0.2.1", 443)))
tried("abstract")(lambda: connect(socket.AF_UNIX, "\\0" + facts["name"]))
tried("path")(lambda: connect(socket.AF_UNIX, facts["path"]) if facts["paths"] else False)
tried("name")(lambda: socket.getaddrinfo("example.com", 443))
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", facts["udp"]))
"""
    async with guarded(tmp_path, kind, monkeypatch) as candidate:
        with listeners(tmp_path) as services:
            # Landlock has no say over sockets that have a path: docs/sandbox.md tells.
            done = await attack(candidate, code, **services, paths=kind is not SandboxKind.CLONE)
        assert done.output == ""


@each_kind
async def test_filling_the_disk_is_stopped_with_the_reason(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DISK_BYTES", 96 << 20)
    monkeypatch.setattr(limits, "FILE_BYTES", 16 << 20)
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        big = await sh(candidate, "head -c 20000000 /dev/zero > big; ls -l big | cut -d' ' -f5; rm big")
        assert str(16 << 20) in big.output
        many = 'i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > "$TMPDIR/f$i"; sleep 0.002; done'
        done = await sh(candidate, many, timeout_s=20.0)
        assert not done.timed_out
        assert "agent-lsp stopped this command: more than 96 MiB on the disk" in done.output
        assert (await sh(candidate, "echo alive")).output == "alive\n"


@each_isolated
async def test_forking_without_end_is_stopped_and_the_candidate_lives_on(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROCESSES", 350)
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        done = await candidate.run(Command((sys.executable, "-c", bomb), timeout_s=20.0))
        assert not done.timed_out
        assert "agent-lsp stopped this command: more than 350 processes" in done.output
        async with asyncio.timeout(20):
            while not (
                left := (await sh(candidate, "sleep 0.2; ls /proc | grep -c '^[0-9]'")).output.strip()
            ).isdigit():
                assert "fork" in left  # the dead still count for the kernel until they are all put away
        assert 3 <= int(left) <= 8


async def test_too_many_processes_are_stopped_in_a_plain_copy_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROCESSES", 100)
    many = "import os, time\nfor _ in range(150):\n    if not os.fork():\n        break\ntime.sleep(20)\n"
    async with opened(tmp_path, SandboxKind.CLONE, {"a": "1"}) as candidate:
        done = await candidate.run(Command((sys.executable, "-c", many), timeout_s=15.0))
        assert not done.timed_out
        assert "agent-lsp stopped this command: more than 100 processes" in done.output


@each_kind
@pytest.mark.parametrize("eaten", ["bytearray(4 << 20)", "mapped()"], ids=["own", "shared"])
async def test_taking_all_memory_is_stopped_with_the_reason(
    tmp_path: Path, kind: SandboxKind, eaten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SHARE", 0.005)
    eat = f"""
import mmap, os, time

def mapped():
    memory = mmap.mmap(-1, 4 << 20)
    memory.write(bytes(4 << 20))
    return memory

kept = []
while True:
    kept.append({eaten})
    time.sleep(0.01)
"""
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        done = await candidate.run(Command((sys.executable, "-c", eat), timeout_s=20.0))
        assert not done.timed_out
        assert "MiB of memory" in done.output


@each_isolated
async def test_memory_that_many_processes_share_counts_once(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(limits, "MEMORY_SHARE", (256 << 20) / machine_bytes)
    code = """
import mmap, os, time
memory = mmap.mmap(-1, 64 << 20)
memory.write(bytes(64 << 20))
for _ in range(7):
    if not os.fork():
        sum(memory[place] for place in range(0, 64 << 20, 4096))
        time.sleep(1)
        os._exit(0)
time.sleep(1.2)
print("shared")
"""
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        done = await candidate.run(Command((sys.executable, "-c", code), timeout_s=20.0))
        assert done.output == "shared\n"


@each_kind
async def test_a_daemon_does_not_outlive_the_command_that_left_it(tmp_path: Path, kind: SandboxKind) -> None:
    code = """
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for fd in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        os.write(writing, b"x")
        import time
        while True:
            with open(facts["beat"], "a") as file:
                file.write(".")
            time.sleep(0.01)
    os._exit(0)
os.read(reading, 1)
"""
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        beat = Path(candidate.scratch) / "beat"
        await attack(candidate, code, beat=str(beat))
        heard = beat.stat().st_size if beat.exists() else 0
        await sh(candidate, "sleep 0.1")
        assert (beat.stat().st_size if beat.exists() else 0) == heard


@each_kind
async def test_links_and_special_files_lead_our_own_reads_and_writes_nowhere(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guarded(tmp_path, kind, monkeypatch) as candidate:
        other = tmp_path / "other"
        await sh(candidate, f"rm -r src; ln -s {other} src; ln -s {other}/run.sh out; ln -s / top; mkfifo pipe")
        for path in ("src/run.sh", "out", "top/etc/hostname"):
            with pytest.raises(ToolError, match="leads out"):
                await candidate.read(path)
            with pytest.raises(ToolError, match="leads out"):
                await candidate.write(path, Entry(b"written"))
        with pytest.raises(ToolError, match="leads out"):
            await candidate.write("src/run.sh", None)
        async with asyncio.timeout(5):
            assert await candidate.read("pipe") is None
            with pytest.raises(ToolError, match="no file"):
                await candidate.write("pipe", Entry(b"written"))
        edits = {edit.path: edit.after for edit in await candidate.harvest()}
        assert edits["out"] == Entry(f"{other}/run.sh".encode(), FileMode.SYMLINK)
        assert edits["src"] == Entry(str(other).encode(), FileMode.SYMLINK)
        assert edits["src/m.py"] is None
        assert "pipe" not in edits


@each_kind
async def test_a_file_of_absurd_size_is_refused_instead_of_loaded(tmp_path: Path, kind: SandboxKind) -> None:
    async with opened(tmp_path, kind, {"a": "1"}) as candidate:
        await sh(candidate, "truncate -s 3G sparse")
        with pytest.raises(ToolError, match="too large"):
            await candidate.read("sparse")
        with pytest.raises(CandidateError, match="sparse has 3072 MiB"):
            await candidate.harvest()


@each_kind
async def test_a_repository_made_by_a_test_runs_nothing_outside(tmp_path: Path, kind: SandboxKind) -> None:
    bait = tmp_path / "bait"
    async with opened(tmp_path, kind, {"a": "1", ".gitattributes": "* filter=evil diff=evil\n"}) as candidate:
        script = (
            f"git init -q; printf '#!/bin/sh\\necho hook >> {bait}\\n' > .git/hooks/post-index-change;"
            "chmod +x .git/hooks/post-index-change; cp .git/hooks/post-index-change .git/hooks/post-checkout;"
            f"for name in core.fsmonitor filter.evil.clean filter.evil.smudge diff.evil.textconv core.sshCommand;"
            f"do git config $name 'echo $0 >> {bait}; cat'; done; echo 2 > a; git status >/dev/null 2>&1; true"
        )
        await sh(candidate, script)
        assert [edit.path for edit in await candidate.harvest()] == ["a"]
        assert "a" in await candidate.paths()
    assert not bait.exists()


def test_the_environment_keeps_what_tests_need_and_drops_what_looks_like_a_key() -> None:
    needed = {"PATH": "/bin", "LANG": "C", "VIRTUAL_ENV": "/v", "PYTHONPATH": "/p:/q", "LC_ALL": "C", "TZ": "UTC"}
    keys = {
        "OPENAI_API_KEY": "x",
        "SSH_AUTH_SOCK": "/s",
        "DATABASE_URL": "x",
        "LC_TOKEN": "x",
        "LC_A": "ghp_0123456789012345678901234567890123",
        "NODE_PATH": "https://me:hunter2@example.com/",
        "TERM": "AKIA0123456789ABCDEF",
        "LANGUAGE": "sk-ant-REDACTED",
    }
    left = command_env({**needed, **keys}, "/tmp/x")
    assert {name: left.get(name) for name in needed} == needed
    assert not left.keys() & keys.keys()


async def test_what_a_virtual_environment_leads_to_is_shown_and_its_neighbours_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = put(
        tmp_path / "me", {"lib/src/x.py": "", "tools/bin/t": "", "keys/k": "", ".pyenv/v": "", "deep/f/y.py": ""}
    )
    site = "code/project/.venv/lib/python3.12/site-packages"
    put(
        home,
        {
            f"{site}/a.pth": f"{home}/lib/src\nimport os\n",
            f"{site}/__editable___b_finder.py": f"M = {{'y': '{home}/deep/f'}}",
        },
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/tools/bin:/usr/bin:{home}")
    root = home / "code/project"
    seen = sight(GitTrees(root, tmp_path / "cache"), Access(visible=(str(home / "extra"),)))
    inside = [path.removeprefix(f"{home}/") for path in seen.shown if path.startswith(f"{home}/")]
    assert inside == [".pyenv", "deep/f", "lib/src", "tools"]
    assert {str(home), str(home / "code")} <= set(seen.hidden)
    assert str(home) in seen.writable
    readable = seen.readable()
    assert "/usr" in readable
    assert not any(path == "/" or str(home / "keys").startswith(f"{path}/") for path in readable)


def test_two_processes_may_tidy_up_at_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for number in range(300):
        put(layout.candidates, {f"{number}.lock": "", f"{number}/x": ""})
    failures: list[BaseException] = []

    def tidy() -> None:
        try:
            remove_abandoned(layout)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=tidy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(layout.candidates.iterdir()) == []


def _emptied(layout: Layout) -> int:
    try:
        empty_trash(layout)
        return len(list(layout.trash.iterdir()))
    except OSError:
        return 99


def test_folders_without_rights_are_deleted_too(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    inner = put(layout.trash / "a", {"work/work/incompat/volatile/x": ""}) / "work/work/incompat"
    for folder in (inner, inner.parent):
        folder.chmod(0)
    if os.getuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        for path in sorted([layout.trash, *layout.trash.rglob("*")], reverse=True):
            os.chown(path, 65534, 65534)
        child = os.fork()
        if child == 0:
            os.chdir(tmp_path)
            os.setgid(65534)
            os.setuid(65534)
            os._exit(_emptied(Layout(Path())))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        assert _emptied(layout) == 0


async def test_a_checkout_in_the_making_survives_the_tidying_of_another_process(tmp_path: Path) -> None:
    async with scene(tmp_path, None, {"a": "1"}) as made:
        tree = (await made.trees.snapshot(())).tree
        done = threading.Event()
        failures: list[BaseException] = []

        def tidy() -> None:
            other = Bases(made.trees)
            while not done.is_set():
                try:
                    other._trim()
                except BaseException as error:
                    failures.append(error)
                    return

        (made.cache / "bases").mkdir(exist_ok=True)
        threads = [threading.Thread(target=tidy) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                lease = await Bases(made.trees)._create(tree)
                assert (lease.folder / "a").read_text() == "1"
                lease.release()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert failures == []
