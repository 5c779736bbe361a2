"""A small runtime that speaks the link: it proposes to turn `a - b` into `a + b`, and does what the goal says.

Run as `fake_runtime.py ROOT`. The goal's words choose what happens:
    plan      stops for approval            ask       asks a question          refuse    answers run with no_model
    work      stays executing               regress   gives a regressed verdict   slow   takes `run` only after 4 s
    two       proposes two files            trust     wants trust              problems  reports a broken test
    crash     dies of SIGKILL               long      tests for ever when it is applied
    wonder    asks without options, and proposes once it is answered
    stubborn  does not fit the text once `a - b` was typed over, and says so
IGNORES_STOP in the environment: it does not end when it is told to. HOLDS_PIPE: a child of it keeps its pipes.
Its calls are answered with what it was called with where a test wants to see that (`say` echoes all calls).
"""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_lsp.domain.changes import Entry, FileEdit, hunks_of, unified_diff
from agent_lsp.domain.errors import NoModelError, UnknownIdError
from agent_lsp.link.messages import CALLS
from agent_lsp.link.peer import LINE_LIMIT_BYTES, Peer

Json = dict[str, Any]

PROVEN: Json = {
    "decision": "proven",
    "fixed": ["tests/test_calc.py::test_add"],
    "broken": [],
    "stillFailing": [],
    "flaky": [],
    "added": [],
    "removedOrWeakened": [],
    "collected": 2,
    "ran": 2,
    "changedLines": 1,
    "changedLinesRun": 1,
    "unrunLines": [{"path": "calc.py", "line": 1}],
    "selection": "full",
    "durationS": 0.1,
    "candidate": "abc",
    "reasons": ["1 test that failed passes now."],
}
REGRESSED: Json = {**PROVEN, "decision": "regressed", "broken": ["tests/test_calc.py::test_sub"], "fixed": []}


class FakeRuntime:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.peer: Peer
        self.calls: list[Json] = []
        self.runs: dict[str, Json] = {}
        self.proposals: dict[str, Json] = {}
        self.edits: dict[str, list[FileEdit]] = {}
        self.stopped = asyncio.Event()

    def handlers(self) -> Any:
        return {name: self._handler(name) for name in CALLS}

    def _handler(self, name: str) -> Any:
        async def handle(args: Mapping[str, Any]) -> Mapping[str, Any]:
            self.calls.append({"call": name, "args": dict(args)})
            method = getattr(self, f"do_{name}", None)
            return {} if method is None else await method(dict(args))

        return handle

    def state(self, run_id: str, state: str, **more: Any) -> None:
        row = {**self.runs[run_id], "state": state, **more}
        self.runs[run_id] = row
        self.peer.emit("run", row)

    async def do_run(self, args: Json) -> Json:
        goal, run_id = args["goal"], args["runId"]
        if "refuse" in goal:
            raise NoModelError("This goal needs a language model.", hint="Set ANTHROPIC_API_KEY.")
        if "slow" in goal:
            await asyncio.sleep(4)
        self.runs[run_id] = {"runId": run_id, "goal": goal, "step": 0, "steps": 1, "usage": {}}
        self.state(run_id, "planning")
        if "crash" in goal:
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGKILL)
        elif "work" in goal:
            self.state(run_id, "executing")
            progress = {
                "runId": run_id,
                "state": "executing",
                "step": 1,
                "message": "editing calc.py",
                "percentage": 40,
            }
            self.peer.emit("progress", progress)
        elif "ask" in goal:
            self.state(run_id, "blocked")
            self.peer.emit("blocked", {"runId": run_id, "question": "Which one?", "options": ["this", "that"]})
        elif "wonder" in goal:
            self.state(run_id, "blocked")
            self.peer.emit("blocked", {"runId": run_id, "question": "And why?", "options": []})
        elif args.get("mode") == "plan":
            steps = [{"title": "Mend add", "detail": "", "files": ["calc.py"], "acceptance": "", "state": "pending"}]
            plan = {"runId": run_id, "goal": goal, "steps": steps, "markdown": f"# Plan: {goal}\n"}
            self.peer.emit("plan", plan)
            self.state(run_id, "awaiting_approval")
        else:
            self._later(self.propose(run_id, goal))
        if "trust" in goal:
            self.peer.emit("trust_wanted", {"keys": ["test.command"], "text": "A setting names a program."})
        if "problems" in goal:
            related = [{"path": "calc.py", "line": 1, "message": "called from here"}]
            problem = {"path": "tests/test_calc.py", "line": 3, "message": "assert 1 == 3", "severity": "error"}
            self.peer.emit("problems", {"runId": run_id, "problems": [{**problem, "related": related}]})
        return {"runId": run_id}

    def _later(self, work: Any) -> None:
        self.task = asyncio.get_running_loop().create_task(work)

    async def text(self, path: str) -> tuple[str, int | None]:
        answer = await self.peer.call("buffers", {"known": {}}, timeout_s=5)
        for row in answer["buffers"]:
            if row["path"] == path:
                return row["text"].encode("utf-8", "replace").decode(), row["version"]  # lone surrogates
        return (self.root / path).read_bytes().decode(), None

    async def propose(self, run_id: str, goal: str, proposal_id: str | None = None) -> None:
        proposal_id = proposal_id or "p_" + run_id[2:]
        files = ["calc.py", "other.py"] if "two" in goal else ["calc.py"]
        edits, versions, witness = [], {}, {}
        for path in files:
            text, versions[path] = await self.text(path)
            edits.append(FileEdit(path, Entry(text.encode()), Entry(text.replace("a - b", "a + b").encode())))
            witness[path] = hashlib.sha256(text.encode()).hexdigest()
        test = self.root / "tests" / "test_calc.py"
        if test.exists():
            witness["tests/test_calc.py"] = hashlib.sha256(test.read_bytes()).hexdigest()
        self.edits[proposal_id] = edits
        verdict = REGRESSED if "regress" in goal else PROVEN
        self.proposals[proposal_id] = {
            "proposalId": proposal_id,
            "runId": run_id,
            "summary": "Use the plus sign",
            "stale": False,
            "files": [self.file_row(edit, versions[edit.path]) for edit in edits],
            "diff": unified_diff(edits),
            "verdict": verdict,
            "witness": witness,
        }
        self.peer.emit("proposal", self.proposals[proposal_id])
        ended = "failed" if "regress" in goal else "proposed"
        self.state(run_id, ended, proposalId=proposal_id, verdict=verdict["decision"])

    def file_row(self, edit: FileEdit, version: int | None) -> Json:
        hunks = [
            {
                "id": hunk.id,
                "startLine": hunk.start_line,
                "endLine": hunk.end_line,
                "oldText": hunk.old_text,
                "newText": hunk.new_text,
                "class": hunk.hunk_class.value,
            }
            for hunk in hunks_of(edit).hunks
        ]
        sha256 = edit.before.sha256 if edit.before else None
        row = {"path": edit.path, "oldPath": None, "kind": edit.kind.value, "baseVersion": version}
        return {**row, "baseSha256": sha256, "hunks": hunks}

    def known(self, proposal_id: str) -> Json:
        if proposal_id not in self.proposals:
            raise UnknownIdError(f"There is no proposal {proposal_id}.")
        return self.proposals[proposal_id]

    async def do_proposal(self, args: Json) -> Json:
        return self.known(args["proposalId"])

    async def do_control(self, args: Json) -> Json:
        if args["runId"] not in self.runs:
            raise UnknownIdError(f"There is no run {args['runId']}.")
        if args["action"] == "cancel":
            self.state(args["runId"], "cancelled")
        return {"state": self.runs[args["runId"]]["state"]}

    async def do_plan_approve(self, args: Json) -> Json:
        run_id, goal = args["runId"], self.runs[args["runId"]]["goal"]
        step = {"title": "Mend add", "detail": "", "files": ["calc.py"], "acceptance": "", "state": "running"}
        markdown = f"# Plan: {goal}\n\n1. [~] **Mend add**\n"
        self.peer.emit("plan", {"runId": run_id, "goal": goal, "steps": [step], "markdown": markdown})
        self.state(run_id, "executing")
        self._later(self.propose(run_id, goal))
        return {"state": "executing"}

    async def do_plan_reject(self, args: Json) -> Json:
        self.state(args["runId"], "cancelled")
        return {"state": "cancelled"}

    async def do_answer(self, args: Json) -> Json:
        self.state(args["runId"], "executing", message=f"answered {args['answer']}")
        if "wonder" in self.runs[args["runId"]]["goal"]:
            self._later(self.propose(args["runId"], "wonder"))
        return {"state": "executing"}

    async def do_trust(self, args: Json) -> Json:
        return {"trusted": args["trusted"]}

    async def do_say(self, args: Json) -> Json:
        return {"reply": json.dumps(self.calls)}

    async def do_stale(self, args: Json) -> Json:
        proposal = self.known(args["proposalId"])
        proposal["stale"] = bool(args["paths"])
        self.peer.emit("proposal", proposal)
        return {}

    async def do_revalidate(self, args: Json) -> Json:
        proposal = self.known(args["proposalId"])
        run_id = proposal["runId"]
        self.state(run_id, "validating")
        if "stubborn" in self.runs[run_id]["goal"] and "a - b\n" not in (await self.text("calc.py"))[0]:
            proposal |= {"stale": True, "trouble": "the same lines were changed meanwhile.", "inConflict": True}
            self.peer.emit("proposal", proposal)
            self.state(run_id, "proposed")
            return {"verdict": proposal["verdict"]}
        await self.propose(run_id, self.runs[run_id]["goal"], args["proposalId"])
        return {"verdict": self.proposals[args["proposalId"]]["verdict"]}

    async def do_discard(self, args: Json) -> Json:
        proposal = self.known(args["proposalId"])
        closed = {"proposalId": args["proposalId"], "runId": proposal["runId"], "state": "discarded"}
        self.peer.emit("proposal_closed", closed)
        self.state(proposal["runId"], "discarded")
        return {"state": "discarded"}

    async def do_apply(self, args: Json) -> Json:
        proposal = self.known(args["proposalId"])
        if "long" in self.runs[proposal["runId"]]["goal"]:
            await self.long(proposal)
        if "pending" in self.runs[proposal["runId"]]["goal"]:
            return {"applied": False, "pending": True, "verdict": proposal["verdict"]}
        work = asyncio.get_running_loop().create_task(self.apply(proposal))
        return await work

    async def long(self, proposal: Json) -> None:
        """Tests until it is cancelled."""
        self.state(proposal["runId"], "validating")
        try:
            await asyncio.Event().wait()
        finally:
            self.calls.append({"call": "ended", "args": {"proposalId": proposal["proposalId"]}})
            self.state(proposal["runId"], "proposed")

    async def apply(self, proposal: Json) -> Json:
        run_id = proposal["runId"]
        self.state(run_id, "applying")
        wanted = []
        for edit in self.edits[proposal["proposalId"]]:
            old, version = await self.text(edit.path)
            assert edit.after is not None
            new = edit.after.content.decode()
            call = {"path": edit.path, "version": version, "oldText": old, "newText": new, "label": "Use the plus sign"}
            wanted.append(call)
        together = await self.peer.call("edit_together", {"edits": wanted}, timeout_s=20) if len(wanted) > 1 else {}
        if together.get("outcomes"):
            self.calls += [{"call": "edit", "args": {"answer": dict(row)}} for row in together["outcomes"]]
            wanted = []
        for call in wanted:
            answer = await self.peer.call("edit", call, timeout_s=20)
            self.calls.append({"call": "edit", "args": {"answer": dict(answer)}})
            if not answer["applied"]:
                self.state(run_id, "proposed")
                return {"applied": False, "reason": answer["reason"], "verdict": proposal["verdict"]}
        closed = {"proposalId": proposal["proposalId"], "runId": run_id, "state": "applied", "checkpointId": "c_1"}
        self.peer.emit("proposal_closed", closed)
        self.state(run_id, "applied")
        return {"applied": True, "checkpointId": "c_1", "verdict": proposal["verdict"]}

    async def do_models(self, args: Json) -> Json:
        day = {"tokens": 0, "costUsd": 0.0, "turns": 0, "answerS": 0.0}
        return {
            "tiers": {"tiny": [], "mid": args.get("tiers", {}).get("mid", []), "thinker": []},
            "endpoints": [],
            "day": day,
        }

    async def do_checkpoints(self, args: Json) -> Json:
        row = {"checkpointId": "c_1", "runId": "r_1", "proposalId": "p_1", "summary": "Agent: Use the plus sign"}
        return {"checkpoints": [{**row, "files": ["calc.py"], "timeS": 1.5, "sizeBytes": 7, "state": "applied"}]}

    async def do_checkpoint(self, args: Json) -> Json:
        if args["checkpointId"] != "c_1":
            raise UnknownIdError(f"There is no checkpoint {args['checkpointId']}.")
        told = {"checkpointId": "c_1", "summary": "Undo Agent: Use the plus sign", "diff": "-a + b\n+a - b\n"}
        return {**told, "possible": True}

    async def do_rollback(self, args: Json) -> Json:
        if args["checkpointId"] != "c_1":
            raise UnknownIdError(f"There is no checkpoint {args['checkpointId']}.")
        return {"applied": True}

    async def do_stop(self, args: Json) -> Json:
        if not os.environ.get("IGNORES_STOP"):
            asyncio.get_running_loop().call_later(0.05, self.stopped.set)
        return {}


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    runtime = FakeRuntime(Path(sys.argv[1]))
    runtime.peer = Peer(reader, writer, runtime.handlers())
    runtime.peer.emit("ready", {"pid": os.getpid()})
    if os.environ.get("HOLDS_PIPE"):
        subprocess.Popen(["sleep", "8"], start_new_session=True)
    serving = asyncio.ensure_future(runtime.peer.serve())
    stopping = asyncio.ensure_future(runtime.stopped.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    asyncio.run(main())
