"""The mounts of a candidate, as far as the whole sandboxes cannot show them."""

import subprocess
import sys
from pathlib import Path

import pytest

HELD = """
import os, threading, time
from agent_lsp.workspace import mounts
mounts._unshare(0x10000000 | 0x20000)
mounts._check(mounts._libc().mount(b"none", b"/", None, 0x44000, None), "private")
mounts._mount("tmpfs", "/mnt", "tmpfs", 0, None)
writing = open("/mnt/file", "w")
threading.Timer({seconds}, writing.close).start()
mounts._set_read_only("/mnt", recursive=True)
try:
    open("/mnt/other", "w")
except OSError as error:
    print(writing.closed, error.strerror)
"""

VANISHED = """
import os
from agent_lsp.workspace import mounts
root = {root!r}
for name in ("workspace", "layer", "upper", "work", "scratch"):
    os.mkdir(f"{{root}}/{{name}}")
config = dict(
    root=root + "/workspace", layers=[root + "/layer"], upper=root + "/upper", work=root + "/work",
    scratch=root + "/scratch", disk=[], view=[({gone!r}, {gone!r}, False)], masked=[{gone!r} + "/service.sock"],
    memory_bytes=1 << 28, processes=400, network=False,
)
mounts.enter(config)
print("entered", flush=True)
os._exit(0)
"""


def run(seconds: float) -> subprocess.CompletedProcess[str]:
    script = HELD.format(seconds=seconds)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_a_mount_is_made_read_only_once_nobody_writes_beneath_it() -> None:
    done = run(0.3)
    if "new namespaces" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"no mounts of one's own here: {done.stderr.splitlines()[-1]}")
    assert done.stdout == "True Read-only file system\n", done.stderr


def test_a_mount_that_stays_in_use_is_told_as_such() -> None:
    done = run(6)
    if "new namespaces" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"no mounts of one's own here: {done.stderr.splitlines()[-1]}")
    assert "mount attributes of /mnt: Device or resource busy" in done.stderr


def test_what_went_since_it_was_seen_keeps_no_candidate_from_opening(tmp_path: Path) -> None:
    gone, upper = tmp_path / "gone", tmp_path / "upper"
    script = VANISHED.format(gone=str(gone), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if "new namespaces" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"no mounts of one's own here: {done.stderr.splitlines()[-1]}")
    assert done.stdout == "entered\n", done.stderr
    assert not gone.exists()
    assert upper.is_dir()
