"""In every editor, on the real product: a stated goal, its change over three files reviewed in parts, rolled back."""

import pytest

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.profiles.conftest import Desk, Sit
from tests.scenarios.scene import CONFIG
from tests.server.raw_client import path_for

CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n\n\ndef triple(a):\n    return a * 3\n"
AREA = "def square(w):\n    return w * w\n"
NAMES = "def full(a, b):\n    return a + ' ' + b\n"
TESTS = (
    "from area import square\nfrom calc import add, double, triple\nfrom names import full\n\n\n"
    "def test_add():\n    assert add(1, 2) == 3\n\n\n"
    "def test_double():\n    assert double(4) == 8\n    assert triple(4) == 12\n\n\n"
    "def test_square():\n    assert square(3) == 9\n\n\ndef test_full():\n    assert full('a', 'b') == 'a b'\n"
)
FILES = {"calc.py": CALC, "area.py": AREA, "names.py": NAMES, "tests/test_all.py": TESTS, "pyproject.toml": CONFIG}
GOAL = "# agent: make add add\n"
TYPED = "PI = 3  # ünsaved 👩\u200d🚀\n"

BRAIN_OF_REVIEW = (
    calls(
        edit("calc.py", "return a - b", "return a + b"),
        edit("calc.py", "return a * 2", "return a + a"),
        edit("calc.py", "return a * 3", "return a + a + a"),
        edit("area.py", "w * w", "w**2"),
        edit("names.py", "a + ' ' + b", "f'{a} {b}'"),
    ),
    calls(finish("add adds")),
)

WHY_STALE = {
    "vscode-1.139": "the editor did not apply the edit",
    "neovim-0.11.4": "the editor said that it applied the edit",
    "neovim-0.12": "the editor said that it applied the edit",
    "emacs-30.1-eglot": "Edits on `",
    "helix-25.07": "document has changed",
    "zed": "the document now holds another text",
}
"""What the person reads when the text moved under an accepted change, by how each editor refuses the edit."""


@pytest.mark.parametrize("name", WHY_STALE)
async def test_a_stated_goal_is_reviewed_hunk_by_hunk_past_a_refused_edit_and_rolled_back(sit: Sit, name: str) -> None:
    desk = await sit(name, FILES, ScriptedBrain(execution=BRAIN_OF_REVIEW))
    me, client = desk.person, desk.client
    calc, area = client.open(desk.root / "calc.py"), client.open(desk.root / "area.py")
    dirty = await proposed(desk, calc, area)
    if client.editor.lenses:
        assert [title for title in await me.lenses(calc) if title.startswith("Accept change")]

    typed = await typed_while_it_was_accepted(desk, calc, dirty)
    await me.press(calc, me.line_of(calc, "a - b"), "Accept change `return a + b`")
    await me.see(lambda: me.text(calc) == typed.replace("a - b", "a + b"))
    assert me.text(area) == AREA
    await me.press(calc, me.line_of(calc, "a * 3"), "Discard change `return a + a + a`")
    await me.see(
        lambda: not me.marks(calc, "a + a + a") and me.marks(calc, "`return a + a` (passed: 0 fixed, 0 broken)")
    )
    await me.press(calc, 0, "Accept all")
    await me.see(lambda: not me.marks(calc) and not me.marks(area))
    whole = typed.replace("a - b", "a + b").replace("a * 2", "a + a")
    assert (me.text(calc), me.text(area)) == (whole, AREA.replace("w * w", "w**2"))
    assert (desk.root / "names.py").read_text() == NAMES.replace("a + ' ' + b", "f'{a} {b}'")
    assert (desk.root / "calc.py").read_text() == CALC, "what is open is the person's to save"

    await me.press(calc, 0, "Roll back")
    await me.see(lambda: me.text(area) == AREA)
    await me.see(lambda: (desk.root / "names.py").read_text() == NAMES)
    await me.see(lambda: me.text(calc) == typed.replace("a - b", "a + b"))
    await me.press(calc, 0, "Roll back")
    await me.see(lambda: me.text(calc) == typed)
    await desk.leave()


async def test_an_editor_that_takes_no_edits_is_told_so_and_its_proposal_can_be_discarded(sit: Sit) -> None:
    desk = await sit("plain", FILES, ScriptedBrain(execution=BRAIN_OF_REVIEW))
    me, client = desk.person, desk.client
    calc, area = client.open(desk.root / "calc.py"), client.open(desk.root / "area.py")
    dirty = await proposed(desk, calc, area)
    await me.press(calc, me.line_of(calc, "a - b"), "Accept change `return a + b`")
    await me.see(lambda: me.messages("workspace/applyEdit"))
    assert "Save and close" in me.messages("workspace/applyEdit")[0]
    assert me.text(calc) == dirty
    await me.press(calc, 0, "Discard all")
    await me.see(lambda: not me.marks(calc) and not me.marks(area))
    assert (me.text(calc), me.text(area), (desk.root / "names.py").read_text()) == (dirty, AREA, NAMES)
    await desk.leave()


async def proposed(desk: Desk, calc: str, area: str) -> str:
    """States the goal above unsaved text, and looks at what comes of it; the text."""
    me = desk.person
    me.write(calc, "def add", GOAL + TYPED + "def add")
    await me.press(calc, 0, 'Agent: run "make add add"')
    await me.see(lambda: me.marks(calc, "Proposed:") and me.marks(area, "Proposed:"))
    if "window" in desk.client.editor.profile["capabilities"]:
        await me.see(lambda: me.progress("proven"))
    else:
        await me.see(lambda: me.messages("proven"))
    await me.see(lambda: len(me.marks(calc, "(proven: 1 fixed, 0 broken)")) == 3)
    await see_the_diff(desk, calc)
    return me.text(calc)


async def typed_while_it_was_accepted(desk: Desk, calc: str, dirty: str) -> str:
    """The edit meets a text that has just moved: it is not forced, its reason is told, the proposal comes back."""
    me, client = desk.person, desk.client
    client.before_edit = lambda: me.write(calc, "PI = 3 ", "PI = 3.14 ")
    await me.press(calc, me.line_of(calc, "a - b"), "Accept change `return a + b`")
    told = (await me.see(lambda: me.messages("ot applied")))[0]
    assert WHY_STALE[client.editor.name] in told
    typed = dirty.replace("PI = 3 ", "PI = 3.14 ")
    await me.see(lambda: me.marks(calc, "stale"))
    assert me.text(calc) == typed
    await me.see(lambda: len(me.marks(calc, "(proven: 1 fixed, 0 broken)")) == 3)
    assert me.text(calc) == typed
    return typed


async def see_the_diff(desk: Desk, uri: str) -> None:
    """In a document of the editor, or in the file that a message names."""
    me, client = desk.person, desk.client
    await me.press(uri, 0, "Show diff of 5 changes")
    await me.see(lambda: client.shown or me.messages("wrote it to"))
    where = client.shown[-1] if client.shown else me.messages("wrote it to")[0].split("wrote it to ")[1]
    if where.startswith("agent-lsp:"):
        text = (await client.request("workspace/textDocumentContent", {"uri": where}))["text"]
    else:
        text = path_for(where).read_text()
    assert "+    return a + b" in text
    assert "proven" in text
