"""Bytes of files that nobody has open, through every writing tool, the proposal, the apply and the rollback."""

from pathlib import Path

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import PROJECT
from tests.server.raw_client import uri_for

ODD = {
    "mixed.txt": b"one\r\ntwo\nthree\rfour\x0cpage\xe2\x80\xa8\xc2\x85 e\xcc\x81",
    "curly.txt": b"\x93caf\xe9\x94 costs \x80 1\r\nlast",
    "latin.txt": b"caf\xe9 one\r\ntwo\r\n",
    "wide.txt": b"\xff\xfe" + "one\r\nzwei ä 😀\r\ndrei".encode("utf-16-le"),
    "wide_be.txt": b"\xfe\xff" + "un\ndeux é\n".encode("utf-16-be"),
    "bom.txt": b"\xef\xbb\xbfone\r\ntwo",
    "run.sh": b"#!/bin/sh\necho one",
    "nul.bin": b"\0\1\xff\r\n\0",
    "untouched.bin": b"\0\xfe\xff\r\r\n",
}

AFTER = {
    "mixed.txt": ODD["mixed.txt"].replace(b"three", b"drei"),
    "curly.txt": ODD["curly.txt"].replace(b"costs", b"is \x96"),
    "latin.txt": b"caf\xe9 one\r\ndeux\r\n\xfc",
    "wide.txt": ODD["wide.txt"].replace("zwei".encode("utf-16-le"), "2".encode("utf-16-le")),
    "wide_be.txt": b"\xfe\xff" + "un\ntrois ñ".encode("utf-16-be"),
    "bom.txt": b"\xef\xbb\xbfone\r\nzwei",
    "run.sh": b"#!/bin/sh\necho two",
    "moved.bin": ODD["nul.bin"],
    "untouched.bin": ODD["untouched.bin"],
}

PATCH = """--- a/wide.txt
+++ b/wide.txt
@@ -1,3 +1,3 @@
 one
-zwei ä 😀
+2 ä 😀
 drei
--- a/bom.txt
+++ b/bom.txt
@@ -1,2 +1,2 @@
 one
-two
+zwei
--- a/run.sh
+++ b/run.sh
@@ -1,2 +1,2 @@
 #!/bin/sh
-echo one
+echo two
"""


def held(root: Path) -> dict[str, bytes]:
    """The odd files that lie in the project."""
    return {path.name: path.read_bytes() for path in root.iterdir() if path.suffix in {".txt", ".bin", ".sh"}}


async def test_every_byte_that_is_not_meant_stays_through_change_apply_and_rollback(stage: Stage) -> None:
    changes = (
        edit("calc.py", "return a - b", "return a + b"),
        edit("mixed.txt", "three", "drei"),
        edit("curly.txt", "costs", "is \u2013"),
        edit("curly.txt", "last", "最後"),
        Call("apply_patch", {"patch": PATCH}),
        Call("write_file", {"path": "latin.txt", "content": "café one\ndeux\nü"}),
        Call("write_file", {"path": "wide_be.txt", "content": "un\ntrois ñ"}),
        Call("move_file", {"path": "nul.bin", "new_path": "moved.bin"}),
    )
    scene = await stage({**PROJECT, **ODD}, ScriptedBrain(execution=[calls(*changes), calls(finish())]))
    (scene.root / "run.sh").chmod(0o755)

    run_id = await scene.run()
    await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    verdict = proposal["verdict"]
    assert verdict["decision"] == "passed", "which lines of a shell script ran is not known"
    assert any("run.sh" in reason for reason in verdict["reasons"])
    assert scene.model is not None
    assert "curly.txt is encoded in cp1252, which has no 後 最" in scene.model.requests[-1].text
    assert held(scene.root) == ODD, "nothing is written before it is accepted"
    rows = {file["uri"]: file["hunks"] for file in proposal["files"]}
    [hunk] = rows[uri_for(scene.root / "curly.txt")]
    assert (hunk["oldText"], hunk["newText"]) == ("“café” costs € 1\r\n", "“café” is \u2013 € 1\r\n")
    [hunk] = rows[uri_for(scene.root / "mixed.txt")]
    assert (hunk["range"]["start"]["line"], hunk["oldText"]) == (2, "three\r")

    answer = await scene.apply(proposal["proposalId"])
    assert answer["applied"] is True, answer
    assert held(scene.root) == AFTER
    assert (scene.root / "run.sh").stat().st_mode & 0o777 == 0o755

    undone = await scene.rollback(answer["checkpointId"])
    assert undone["applied"] is True, undone
    assert held(scene.root) == ODD
    assert (scene.root / "run.sh").stat().st_mode & 0o777 == 0o755
