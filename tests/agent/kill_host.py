"""Owns the stage on which transactions are killed: `python -m tests.agent.kill_host FOLDER SEED POINTS`.

One light process forks a child for each attempt: the real review over real files and a real database, killed before its
n-th call into C, or by the kernel's timer in the middle of anything. The editor lives here and so outlives it. A last
child recovers, and what is then there is judged. Each point is one line of JSON; `trouble` must be empty in all.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_lsp.agent.review import Review
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.ports import Buffer, BufferChange, BufferOutcome, Clock
from agent_lsp.domain.task import Goal
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.proposals import StoredProposals
from agent_lsp.workspace.files import DiskFiles
from agent_lsp.workspace.turn import WorkspaceTurn
from tests.agent.review_world import ContentGate
from tests.plain import PlainTrees, files_under

Json = dict[str, Any]

FILLER = "".join(f"line {number}\n" for number in range(40))
BEFORE: Mapping[str, bytes | None] = {
    "open.py": f"value = 1\n{FILLER}".encode(),
    "dirty.py": f"value = 1\n{FILLER}".encode(),
    "closed.py": f"value = 1\r\n{FILLER}".encode(),
    "gone.py": b"value = 1\n",
    "made/deep/new.py": None,
    "old_name.py": f"value = 1\n{FILLER}".encode(),
    "new_name.py": None,
}
AFTER: Mapping[str, bytes | None] = {
    "open.py": f"value = 2\n{FILLER}".encode(),
    "dirty.py": f"value = 2\n{FILLER}".encode(),
    "closed.py": f"value = 2\r\n{FILLER}".encode(),
    "gone.py": None,
    "made/deep/new.py": b"value = 2\n",
    "old_name.py": None,
    "new_name.py": f"value = 2\n{FILLER}".encode(),
}
OPEN = ("open.py", "dirty.py")
ATTEMPTS = 3
"""How many there may be for each that is killed."""

UNSAVED = "# unsaved\n"
TYPED = "# typed later\n"


# --- the editor, on this side ----------------------------------------------------------------------------------------


@dataclass
class Documents:
    """What the editor holds; `edits` counts what it was made to change."""

    held: dict[str, Buffer]
    edits: int = 0

    def answer(self, asked: Json) -> Json:
        if asked["ask"] == "buffers":
            return {"buffers": [[b.path, b.version, b.text] for b in self.held.values()]}
        known = self.held.get(asked["path"])
        if known is None or known.version != asked["version"] or known.text != asked["oldText"]:
            return {"applied": False, "version": known.version if known else 0, "text": known.text if known else ""}
        self.held[known.path] = Buffer(known.path, known.version + 1, asked["newText"])
        self.edits += 1
        return {"applied": True, "version": known.version + 1, "text": asked["newText"]}

    def type(self, path: str) -> None:
        known = self.held[path]
        self.held[path] = Buffer(path, known.version + 1, known.text + TYPED)


class FarEditor:
    """The editor as the child reaches it; an edit may be made and its answer never read."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line.makefile("rw", encoding="utf-8")

    def _ask(self, asked: Json) -> Any:
        self._line.write(json.dumps(asked) + "\n")
        self._line.flush()
        return json.loads(self._line.readline())

    async def buffers(self) -> Sequence[Buffer]:
        return [Buffer(*row) for row in self._ask({"ask": "buffers"})["buffers"]]

    async def edit(self, change: BufferChange) -> BufferOutcome:
        asked = {"path": change.path, "version": change.version, "oldText": change.old_text, "newText": change.new_text}
        return BufferOutcome(**self._ask({"ask": "edit", **asked}))

    async def edit_together(self, changes: Sequence[BufferChange]) -> None:
        del changes


# --- what a child does -----------------------------------------------------------------------------------------------


@dataclass
class Child:
    """One process over the workspace."""

    review: Review
    trees: PlainTrees
    gate: ContentGate
    editor: FarEditor
    database: Database
    journal: StoredJournal

    async def offer(self) -> str:
        """The change of BEFORE to AFTER, with what is unsaved kept."""
        base = await self.trees.snapshot(await self.editor.buffers())
        tree = self.trees.stored[base.tree]
        edits = []
        for path in ("open.py", "dirty.py", "closed.py", "gone.py", "made/deep/new.py"):
            before, after = tree.get(path), AFTER[path]
            unsaved = UNSAVED.encode() if path == "dirty.py" else b""
            edits.append(FileEdit(path, before, None if after is None else Entry(after + unsaved)))
        moved = AFTER["new_name.py"]
        assert moved is not None
        edits.append(FileEdit("new_name.py", tree["old_name.py"], Entry(moved), "old_name.py"))
        evidence = await self.gate.validate(base.tree, tuple(edits))
        return await self.review.offer("r_1", Goal("value is two"), "Value is two", base, edits, evidence)


def make_child(root: Path, line: socket.socket) -> Child:
    trees = PlainTrees(root)
    gate, editor = ContentGate(trees), FarEditor(line)
    gate.checks["value is two"] = lambda files: b"value = 2" in files["open.py"].content
    database = Database(root / ".agent-lsp" / "state.db", lambda _: None)
    journal = StoredJournal(database)
    ports = ReviewPorts(
        trees=trees,
        files=DiskFiles(root),
        editor=editor,
        gate=gate,
        checkpoints=StoredCheckpoints(database, keep_count=3),
        journal=journal,
        publish=lambda _name, _data: None,
        clock=Clock(time.time, time.monotonic, asyncio.sleep),
        new_id=lambda prefix: f"{prefix}_{os.urandom(4).hex()}",
        open_runs=journal.abandoned_runs,
        keeper=StoredProposals(database),
        turn=WorkspaceTurn(root),
    )
    options = ReviewOptions(settle_s=None, answer_within_s=60.0, keeps_offers=True)
    review = Review(ports, options, ReviewHooks(lambda *_: None, lambda *_: None))
    return Child(review, trees, gate, editor, database, journal)


async def apply(child: Child, _: Json) -> Json:
    child.journal.append(Event("r_1", EventKind.RUN_STARTED, {"goal": "value is two"}))
    proposal_id = await child.offer()
    await child.database.flush()
    KILLER.arm()
    return dict(await child.review.apply({"proposalId": proposal_id}))


async def rollback(child: Child, told: Json) -> Json:
    await child.database.flush()
    KILLER.arm()
    return dict(await child.review.rollback({"checkpointId": told["checkpointId"]}))


async def recover(child: Child, _: Json) -> Json:
    KILLER.arm()
    found = await child.review.recover()
    back = await child.review.history.bring_back()
    for proposal in back:
        await asyncio.gather(*child.review._retest.running(proposal.id))
    left = [proposal.id for proposal in child.review._shelf.on_offer()]
    return {"left": list(found.left), "offered": left}


async def accept_again(child: Child, _: Json) -> Json:
    """A next start, and the proposal that came back is accepted."""
    found = await recover(child, {})
    [proposal_id] = found["offered"]
    return dict(await child.review.apply({"proposalId": proposal_id}))


Deed = Callable[[Child, Json], Awaitable[Json]]


class Killer:
    """Kills this very process: before a call into C, or by the kernel after some time. Armed in the child alone."""

    def __init__(self) -> None:
        self.after_calls: int | None = None
        self.after_s: float | None = None
        self.counted = 0
        self._armed = False

    def install(self) -> None:
        if self.after_s is None:
            threading.setprofile(self._count)
            sys.setprofile(self._count)

    def arm(self) -> None:
        self._armed = True
        if self.after_s is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self.after_s)

    def _count(self, _frame: Any, what: str, _arg: Any) -> None:
        if self._armed and what == "c_call":
            self.counted += 1
            if self.after_calls is not None and self.counted > self.after_calls:
                os.kill(os.getpid(), signal.SIGKILL)


KILLER = Killer()
"""Of this process; a child sets it before it does anything."""


def run_child(root: Path, documents: Documents, deed: Deed, told: Json, kill: Json | None = None) -> Json | None:
    """The deed in a process of its own; its answer, None when it was killed."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            KILLER.after_calls = (kill or {}).get("calls")
            KILLER.after_s = (kill or {}).get("seconds")
            if kill is not None:
                KILLER.install()
            asyncio.run(_act(root, theirs, deed, told))
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    answer: Json | None = None
    with ours, ours.makefile("r", encoding="utf-8") as line:
        while True:
            try:
                text = line.readline()
                asked = json.loads(text) if text.endswith("\n") else None
                if asked is None:
                    break
                if "answer" in asked:
                    answer = asked["answer"]
                    continue
                ours.sendall(json.dumps(documents.answer(asked)).encode() + b"\n")
            except (ConnectionError, ValueError):
                break
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"a child failed with status {os.WEXITSTATUS(status)}, see its traceback")
    return answer if os.WIFEXITED(status) else None


async def _act(root: Path, line: socket.socket, deed: Deed, told: Json) -> None:
    child = make_child(root, line)
    try:
        answer = await deed(child, told)
        answer["calls"] = KILLER.counted
        child.editor._line.write(json.dumps({"answer": answer}) + "\n")
        child.editor._line.flush()
    finally:
        await child.review.close()
        await child.database.close()


# --- one point -------------------------------------------------------------------------------------------------------


def begin(root: Path) -> Documents:
    root.mkdir()
    for path, content in BEFORE.items():
        if content is not None:
            (root / path).write_bytes(content)
    texts = {path: (BEFORE[path] or b"").decode() for path in OPEN}
    texts["dirty.py"] += UNSAVED
    return Documents({path: Buffer(path, 1, text) for path, text in texts.items()})


def point(root: Path, chance: random.Random, lengths: Mapping[str, Json]) -> Json:
    """One kill, a recovery that may be killed too, and what is wrong with what is there then."""
    documents = begin(root)
    operation = chance.choice(("apply", "apply", "rollback", "forward"))
    told: Json = {}
    if operation != "apply":
        told = run_child(root, documents, apply, {}) or {}
    if operation == "forward":
        told = run_child(root, documents, rollback, told) or {}
    deed: Deed = apply if operation == "apply" else rollback
    goes_to = 1 if operation == "rollback" else 2
    kill = _kill(chance, lengths["apply" if operation == "apply" else "rollback"])
    killed = run_child(root, documents, deed, told, kill) is None
    trouble = half_written(root)
    meanwhile = chance.choice(("nothing", "nothing", "typing", "editor dies"))
    if meanwhile == "editor dies":
        documents.held.clear()
    elif meanwhile == "typing":
        documents.type("dirty.py")
    if chance.random() < 0.4:
        run_child(root, documents, recover, {}, _kill(chance, lengths["recover"]))
        trouble += half_written(root)
    found = run_child(root, documents, recover, {}) or {}
    last, stages = newest(root), {"done": goes_to, "undone": 3 - goes_to, "": 3 - goes_to}
    wanted = stages[last if last_is_of(root, operation) else ""]
    trouble += judge(root, documents, wanted, typed=meanwhile == "typing")
    trouble += [f"left alone: {path}" for path in found.get("left", ())]
    if wanted == 1 and operation == "apply" and found.get("offered"):
        again = run_child(root, documents, accept_again, {}) or {}
        trouble += [] if again.get("applied") else [f"not applied again: {again.get('reason')}"]
        trouble += judge(root, documents, 2, typed=meanwhile == "typing")
    elif operation == "apply" and wanted == 1:
        trouble.append("the proposal did not come back")
    elif found.get("offered") and meanwhile != "editor dies":  # what was unsaved went with it, and is offered again
        trouble.append("an applied proposal is still on offer")
    return {"operation": operation, "kill": kill, "killed": killed, "meanwhile": meanwhile, "trouble": trouble}


def _kill(chance: random.Random, length: Json) -> Json:
    if chance.random() < 0.6:
        return {"calls": chance.randrange(length["calls"])}
    return {"seconds": 0.0002 + chance.random() * length["seconds"]}


def half_written(root: Path) -> list[str]:
    """Files that are neither as before nor as after, at any moment after a kill."""
    files = files_under(root)
    return [
        f"{path} is half written"
        for path in BEFORE
        if (files[path].content if path in files else None) not in (BEFORE[path], AFTER[path])
    ]


def newest(root: Path) -> str:
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database:
        rows = database.execute("SELECT state FROM checkpoints ORDER BY position DESC LIMIT 1").fetchall()
    return str(rows[0][0]) if rows else ""


def last_is_of(root: Path, operation: str) -> bool:
    """Whether the operation came so far as to save its checkpoint."""
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database:
        count = database.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
    return bool(count >= {"apply": 1, "rollback": 2, "forward": 3}[operation])


def judge(root: Path, documents: Documents, stage: int, *, typed: bool) -> list[str]:
    """What is not as it must be: all of one stage, what was unsaved and typed still there, nothing left behind."""
    wanted, files, trouble = (BEFORE, AFTER)[stage - 1], files_under(root), []
    for path, content in wanted.items():
        if path not in OPEN and (files[path].content if path in files else None) != content:
            trouble.append(f"{path} is not of stage {stage}")
    for path, buffer in documents.held.items():
        text = (wanted[path] or b"").decode() + (UNSAVED if path == "dirty.py" else "")
        if buffer.text != text + (TYPED if typed and path == "dirty.py" else ""):
            trouble.append(f"the document {path} is not of stage {stage}: {buffer.text[:12]!r}…{buffer.text[-30:]!r}")
    trouble += [f"{path} is left behind" for path in files if path not in BEFORE]
    if stage == 1 and (root / "made").exists():
        trouble.append("an empty folder is left behind")
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database:
        if database.execute("SELECT 1 FROM checkpoints WHERE state = 'intended'").fetchall():
            trouble.append("a checkpoint is unfinished")
    trouble += [f"{path.name} is left behind" for path in (root / ".agent-lsp").glob(".agent-lsp-*")]
    return trouble


def measure(folder: Path) -> dict[str, Json]:
    """How long each operation is where nobody kills it: in calls into C, and in seconds without counting these."""
    lengths: dict[str, Json] = {}
    kills: tuple[Json, ...] = ({"calls": None}, {"seconds": 60.0})
    for number, kill in enumerate(kills):
        root = folder / f"measured{number}"
        documents, told = begin(root), dict[str, Any]()
        for name, deed in (("apply", apply), ("rollback", rollback), ("recover", recover)):
            began = time.monotonic()
            told = run_child(root, documents, deed, told, kill) or {}
            length = lengths.setdefault(name, {})
            length |= {"calls": told["calls"]} if number == 0 else {"seconds": time.monotonic() - began}
    return lengths


def main(folder: Path, seed: int, points: int) -> None:
    """Goes on until so many were killed in the middle; an operation may be over before its kill."""
    chance = random.Random(seed)
    lengths = measure(folder)
    killed = 0
    for number in range(points * ATTEMPTS):
        told = point(folder / str(number), chance, lengths)
        print(json.dumps({"point": number, **told}), flush=True)
        killed += told["killed"]
        if killed == points:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
