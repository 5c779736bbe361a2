"""Holds the veil to what it promises: no secret passes, code stays readable, and what is put back is the real text."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from agent_lsp.agent.private_files import PrivateFiles
from agent_lsp.agent.veil import PLACEHOLDER, Veil
from agent_lsp.domain.conversation import (
    Message,
    ModelRequest,
    ModelTurn,
    Phase,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
)
from agent_lsp.domain.errors import ToolError
from agent_lsp.settings.model import PRIVATE
from agent_lsp.storage.mask_key import mask_key
from agent_lsp.storage.redaction import Redactor


def veil(environ: dict[str, str] | None = None, key: bytes = b"key") -> Veil:
    return Veil(Redactor(environ or {}).name, key)


HIDDEN = [
    'password = "hunter2"',
    "DB_PASSWORD=hunter",
    "  password: correcthorse",
    'API_KEY: Final = "a1b2c3d4e5f6"',
    "postgres://user:pw12345@host/db",
    "Authorization: Bearer abc.def.ghi123",
    "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCY1",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nxyz=\n-----END RSA PRIVATE KEY-----\n",
]
CODE = [
    "token = lexer.next()",
    "password: str",
    "f(token=token, password=password)",
    "def seek(self, cookie, whence=0):",
    'password = form.cleaned_data["password"]',
    "  token: string;",
    'token_type = "bearer"',
    "token: AuthToken = tokens[i]",
    'password = "${DB_PASSWORD}"',
    "const token = await getToken()",
    "the bearer authentication of the cookie",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_is_a_placeholder_and_comes_back_byte_for_byte(text: str) -> None:
    cover = veil()
    masked = cover.mask(text)
    assert PLACEHOLDER.search(masked), masked
    assert masked != text
    assert cover.put_back({"new_text": [masked]}) == {"new_text": [text]}


@pytest.mark.parametrize("text", CODE)
def test_code_that_only_looks_like_a_secret_stays_readable(text: str) -> None:
    assert veil().mask(text) == text


def test_one_secret_has_one_name_everywhere_and_under_one_key_in_every_run(tmp_path: Path) -> None:
    key = mask_key(tmp_path / "deep" / "key")
    assert mask_key(tmp_path / "deep" / "key") == key
    cover = veil(key=key)
    first = cover.mask('password = "hunter2secret"')
    second = cover.mask("it printed hunter2secret in the middle")
    assert PLACEHOLDER.findall(first) == PLACEHOLDER.findall(second) != []
    assert veil(key=key).mask('password = "hunter2secret"') == first
    assert veil(key=b"another").mask('password = "hunter2secret"') != first


def test_a_secret_that_is_found_late_is_masked_in_earlier_texts_too() -> None:
    cover = veil()
    assert cover.mask("value is hunter2secret") == "value is hunter2secret"
    cover.mask('password = "hunter2secret"')
    assert "hunter2secret" not in cover.mask("value is hunter2secret")


def test_a_placeholder_that_was_never_given_out_is_refused_unless_a_file_says_it() -> None:
    cover = veil()
    with pytest.raises(ToolError, match="never given out"):
        cover.put_back("x = <secret-0badc0de>")
    cover.mask("docs speak of <secret-0badc0de> here")
    assert cover.put_back("x = <secret-0badc0de>") == "x = <secret-0badc0de>"


async def test_a_request_is_masked_whole_and_the_models_own_words_go_back_as_it_said_them() -> None:
    class Keen:
        name = "keen"
        asked: ModelRequest

        async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
            self.asked = request
            return ModelTurn((Text("Yes."),), StopReason.END, "keen")

    async def lines() -> Iterable[str]:
        return ["# of the person", "DB_PASSWORD=OnlyTheDisk42", "X=1"]

    own = Message("assistant", (Text("I wrote password = 'made-up99'"), ToolCall("c1", "search", {"pattern": "x"})))
    messages = (
        Message("user", (Text("password = 'hunter2secret'"),)),
        own,
        Message("user", (ToolResult("c1", "3:# of the person\nOnlyTheDisk42 X=1"),)),
    )
    model = Keen()
    cover = Veil(Redactor({"MY_TOKEN": "qwertyuiop12345"}).name, b"key", lines)
    await cover.respond(model, ModelRequest(Phase.EXECUTION, "qwertyuiop12345", messages, ()), lambda _: None)
    shown = repr(model.asked)
    assert all(text not in shown for text in ("hunter2secret", "of the person", "OnlyTheDisk42", "qwertyuiop12345"))
    assert "X=1" in shown, "what is too short to be known is no secret"
    assert model.asked.messages[1] is own


def test_masking_much_code_is_quick_and_done_once() -> None:
    source = (Path(__file__).parent.parent.parent / "agent_lsp" / "workspace" / "runners").glob("*.py")
    text = "".join(path.read_text() for path in source)[:200_000]
    cover = veil()
    cover.mask('password = "hunter2"')  # loads the detectors
    began_s = time.process_time()
    cover.mask(text)
    first_s = time.process_time() - began_s
    began_s = time.process_time()
    for _ in range(100):
        cover.mask(text)
    assert time.process_time() - began_s < first_s
    assert first_s < 2.0, f"{first_s:.3f} s for {len(text)} characters; 0.03 s where nothing else runs"


def test_the_patterns_for_private_files_spare_what_only_looks_alike() -> None:
    private = PrivateFiles((*PRIVATE, "notes/"))
    for path in (".env", "a/.env.local", "certs/server.pem", "home/.ssh/config", "id_rsa", "notes/a/b.txt", ".netrc"):
        assert path in private, path
    for path in (".env.example", "id_generator.py", "keys.py", "src/notes.txt", "environment.py", "a/id_rsa.pub"):
        assert path not in private, path
    assert ".env" not in PrivateFiles()
