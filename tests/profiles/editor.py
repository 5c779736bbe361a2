"""Owns editors in memory that behave as the real ones do, over the capabilities that the real ones declare.

`captured/*.json` hold what each declares, with where that was taken from. What it does beside is in `EDITORS`; the
comment of each entry names the source that it was read in.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.server.raw_client import Buffer, Json, RawClient, RpcError, uri_for

CAPTURED = Path(__file__).parent / "captured"

Refuse = Callable[[str], Json]


@dataclass(frozen=True)
class Editor:
    """One editor. `refuse` answers a workspace/applyEdit for another version, given its document."""

    name: str
    refuse: Refuse | None
    """None: an edit for a version of a while ago is moved over what was typed since, and applied."""
    first_version: int = 0
    holds_changes_s: float = 0.0
    lenses: bool = False
    asks_with_buttons: bool = True
    merges_equal_questions: bool = False
    """A question that equals one still shown takes its place, and the older is answered null."""
    hides_source_actions: bool = False
    """The ordinary menu leaves out `source.…`; another one shows only these."""
    hides_disabled: bool = True
    answers_unknown: bool = False
    """Requests that it does not know are answered null, not refused."""
    patience_s: float = 10.0
    """What it waits for an answer."""

    @property
    def profile(self) -> Json:
        """`clientInfo` and `capabilities`, as RawClient.initialize takes them."""
        found: Json = json.loads((CAPTURED / f"{self.name}.json").read_text())
        return found


def _without_a_reason(_: str) -> Json:
    return {"applied": False}


def _as_if_applied(_: str) -> Json:
    return {"applied": True}


def _by_an_error(what: str) -> Json:
    raise RpcError({"code": -32603, "message": f"Edits on `{what}' require another version"})


def _with_failed_change(_: str) -> Json:
    return {"applied": False, "failureReason": "document has changed", "failedChange": 0}


EDITORS = {
    editor.name: editor
    for editor in (
        # vscode-languageclient 11.0.0, client.ts: an edit of another version is answered applied: false. And
        # https://github.com/microsoft/vscode/tree/main/src/vs: editor/contrib/codeAction/common/types.ts (source ones
        # only when asked for), editor/contrib/codeAction/browser/codeActionController.ts (what is disabled only in a
        # menu of one kind, and there only while nothing else is). That equal questions are merged was seen there.
        Editor(
            "vscode-1.139",
            _without_a_reason,
            first_version=1,
            lenses=True,
            merges_equal_questions=True,
            hides_source_actions=True,
        ),
        # https://github.com/neovim/neovim/tree/master/runtime/lua/vim/lsp: util.lua, _changetracking.lua.
        Editor("neovim-0.11.4", _as_if_applied, holds_changes_s=0.15, lenses=True),
        Editor("neovim-0.12", _as_if_applied, holds_changes_s=0.15, lenses=True, hides_disabled=False),
        # https://github.com/emacs-mirror/emacs/blob/emacs-30/lisp/progmodes/eglot.el.
        Editor("emacs-30.1-eglot", _by_an_error, holds_changes_s=0.5, answers_unknown=True),
        # https://github.com/helix-editor/helix/blob/master/helix-view/src/handlers/lsp.rs: the version must be equal.
        Editor("helix-25.07", _with_failed_change, asks_with_buttons=False),
        Editor("helix-master", _with_failed_change),
        # https://github.com/zed-industries/zed/blob/main/crates/project/src/lsp_store.rs: on_lsp_workspace_edit always
        # answers applied: true, and buffer_snapshot_for_lsp_version keeps the last ten versions to apply edits to.
        Editor("zed", None, lenses=True),
        Editor("plain", _with_failed_change, asks_with_buttons=False),
    )
}


@dataclass
class ProfiledClient(RawClient):
    """A RawClient that behaves as one editor."""

    editor: Editor = field(default=EDITORS["plain"])
    shown: list[str] = field(default_factory=list)
    """URIs of documents that the server opened in front of the person."""
    asked: list[Json] = field(default_factory=list)
    """Parameters of window/showMessageRequest."""
    before_edit: Callable[[], None] | None = None
    """What the person does just before the next workspace/applyEdit arrives; done once."""
    slowest_answer_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._held: list[tuple[str, Json]] = []
        self._release: asyncio.TimerHandle | None = None
        self._typed: dict[str, list[tuple[int, int, str]]] = {}
        self._questions: list[tuple[Json, asyncio.Future[Json | None]]] = []
        capabilities = self.editor.profile["capabilities"]
        declared = {
            "window/workDoneProgress/create": has(capabilities, "window.workDoneProgress"),
            "client/registerCapability": capabilities != {},
            "workspace/codeLens/refresh": has(capabilities, "workspace.codeLens.refreshSupport"),
            "workspace/textDocumentContent/refresh": has(capabilities, "workspace.textDocumentContent"),
            "workspace/configuration": has(capabilities, "workspace.configuration"),
            "workspace/applyEdit": has(capabilities, "workspace.applyEdit"),
            "window/showDocument": has(capabilities, "window.showDocument.support"),
            "window/showMessageRequest": self.editor.asks_with_buttons,
        }
        self.handlers |= {"window/showDocument": self._show, "window/showMessageRequest": self._ask_person}
        for method, known in declared.items():
            if not known:
                del self.handlers[method]
                if self.editor.answers_unknown:
                    self.handlers[method] = lambda _: None

    # --- documents -------------------------------------------------------------------------------------------------

    def open(self, path: Path, text: str | None = None, *, uri: str | None = None) -> str:
        """Opens a document as this editor counts versions."""
        uri = uri or uri_for(path)
        content = path.read_bytes().decode() if text is None else text
        version = self.editor.first_version
        self.buffers[uri] = Buffer(uri, version, content, self.encoding)
        item = {"uri": uri, "languageId": "python", "version": version, "text": content}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def type(self, uri: str, start: int, end: int, text: str) -> None:
        """As the person types; where it was is remembered for edits of versions before it."""
        buffer = self.buffers[uri]
        change = (buffer.version, buffer.position(start)["line"], buffer.text[start:end] + text)
        self._typed.setdefault(uri, []).append(change)
        super().type(uri, start, end, text)

    def changed(self, uri: str, changes: Sequence[Json]) -> None:
        """The version moves at once; the message may be held back."""
        buffer = self.buffers[uri]
        buffer.version += 1
        params = {"textDocument": {"uri": uri, "version": buffer.version}, "contentChanges": list(changes)}
        self._held.append(("textDocument/didChange", params))
        if not self.editor.holds_changes_s:
            self._flush()
        elif self._release is None:
            self._release = asyncio.get_running_loop().call_later(self.editor.holds_changes_s, self._flush)

    def ask(self, method: str, params: Any) -> tuple[int, asyncio.Future[Any]]:
        """What is held back goes before a request, as in Neovim and eglot."""
        self._flush()
        msg_id, future = super().ask(method, params)
        began = time.monotonic()
        future.add_done_callback(lambda _: self._took(time.monotonic() - began))
        return msg_id, future

    def apply_edit(self, params: Json) -> Json:
        """As the editor: a stale edit is not applied, and answered in its own way; or it is moved, and applied."""
        if self.before_edit is not None:
            act, self.before_edit = self.before_edit, None
            act()
        if self.editor.refuse is None:
            return super().apply_edit({**params, "edit": {"documentChanges": self._moved(params["edit"])}})
        answer = super().apply_edit(params)
        return answer if answer["applied"] else self.editor.refuse(str(answer["failureReason"]))

    def _moved(self, edit: Json) -> list[Json]:
        """Edits of older versions as edits of the text as it is; here they are those of other lines."""
        parts = []
        for part in edit["documentChanges"]:
            uri, version = part["textDocument"]["uri"], part["textDocument"]["version"]
            now = self.buffers[uri].version
            since = [(line, text) for typed_on, line, text in self._typed.get(uri, ()) if typed_on >= version]
            edited = {row["range"][end]["line"] for row in part["edits"] for end in ("start", "end")}
            assert len(since) == now - version, "only typing is followed"
            assert not [line for line, text in since if line in edited or "\n" in text], "other lines, none added"
            parts.append({**part, "textDocument": {"uri": uri, "version": now}})
        return parts

    def _flush(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, []
        for method, params in held:
            self.notify(method, params)

    async def wait_exit(self, timeout_s: float = 10.0) -> int:
        """What is still asked is closed with the editor."""
        self._close_questions()
        return await super().wait_exit(timeout_s)

    async def kill(self) -> None:
        """As `wait_exit`."""
        self._close_questions()
        await super().kill()

    def _close_questions(self) -> None:
        for question in self.questions():
            self.choose(question, None)

    def _took(self, seconds: float) -> None:
        self.slowest_answer_s = max(self.slowest_answer_s, seconds)

    # --- what the server asks for ------------------------------------------------------------------------------------

    def questions(self, words: str = "") -> list[Json]:
        """The questions with buttons that are in front of the person."""
        return [params for params, answer in self._questions if words in params["message"] and not answer.done()]

    def choose(self, question: Json, title: str | None) -> None:
        """The person presses a button, or closes the question."""
        answer = next(answer for params, answer in self._questions if params is question)
        answer.set_result(None if title is None else {"title": title})

    def _show(self, params: Json) -> Json:
        self.shown.append(params["uri"])
        return {"success": True}

    async def _ask_person(self, params: Json) -> Json | None:
        if self.editor.merges_equal_questions:
            for shown in [shown for shown in self.questions() if shown == params]:
                self.choose(shown, None)
        self.asked.append(params)
        answer: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        self._questions.append((params, answer))
        return await answer


def has(capabilities: Json, path: str) -> bool:
    """Whether something is declared: true, or a table."""
    value: Any = capabilities
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value is not None and value is not False
