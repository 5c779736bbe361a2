"""Masking: what must never reach the log, what must stay readable, and what it costs."""

import statistics
import subprocess
import sys
import time

import pytest

from agent_lsp.storage.redaction import MASK, Redactor, suspicious

LETTERS = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor({})


# Parts are joined here so that no scanner of this repository takes them for leaked keys.
SECRETS = {
    "anthropic key": ("the key sk-ant-{} was refused", "api03-" + LETTERS * 2),
    "openai key": ("using {}", "sk-" + "proj-" + LETTERS),
    "bearer": ("header Bearer {} sent", LETTERS),
    "authorization header": ("Authorization: Basic {}", "dXNlcjpwYXNzd29yZA=="),
    "authorization in a dict": ("{{'authorization': 'Bearer {}', 'accept': '*/*'}}", LETTERS[:20]),
    "authorization in JSON": ('{{"Authorization": "Bearer {}"}}', LETTERS[:20]),
    "x-api-key header": ("x-api-key: {}", "abc123def456"),
    "header tuples": ("[(b'x-api-key', b'{}')]", "abc123def456"),
    "password assignment": ("password={} user=me", "hunter2"),
    "password of digits": ("password: {}", "12345678"),
    "password that begins as code does": ("password={} end", "strong1getint"),
    "password with blanks": ("PASSWORD = '{}'", "correct horse battery"),
    "password in YAML": ("db_password: {}", "s3cr3t-thing"),
    "password in JSON": ('{{"password": "{}"}}', "s3cr3t"),
    "escaped JSON": ('"{{\\"api_key\\": \\"{}\\"}}"', "abcd1234efgh"),
    "token in a query": ("GET /x?access_token={}&y=1", "abcdef123456"),
    "argument of a command": ("mysql --password {} -u me", "hunter22"),
    "environment line": ("export MY_API_KEY={}", "abcdef123456"),
    "url with login": ("cloning https://me:{}@example.org/x.git", "s3cr3tpw"),
    "url with token": ("cloning https://{}@example.org/x.git", "abcdef0123456789abcdef"),
    "database url": ("postgresql://app:{}@db:5432/x", "pw12345"),
    "aws key id": ("found {} in file", "AKIA" + "IOSFODNN7EXAMPLQ"),
    "aws secret": ("aws_secret_access_key = '{}'", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "github token": ("remote said {}", "ghp_" + LETTERS),
    "gitlab token": ("remote said {}", "glpat-" + LETTERS[:20]),
    "slack token": ("posting with {}", "xoxb-" + "123456789012-123456789012-abcdefABCDEF"),
    "json web token": ("got {}", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + LETTERS),
    "stripe": ("charge {}", "sk_live_" + LETTERS[:24]),
    "sendgrid": ("mail {}", "SG." + LETTERS[:22] + "." + (LETTERS + LETTERS)[:43]),
    "telegram": ("bot {}", "110201543:" + (LETTERS + LETTERS)[:35]),
    "twilio": ("call {}", "SK" + "0123456789abcdef" * 2),
    "azure": ("AccountKey={}", (LETTERS * 3)[:86] + "=="),
    "cookie": ("Set-Cookie: {}", "session=0123abcd4567"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_masked_and_the_text_around_it_stays(kind: str, redactor: Redactor) -> None:
    template, secret = SECRETS[kind]
    masked = redactor.mask(template.format(secret))
    assert secret not in masked
    assert MASK in masked
    assert masked[:3] == template.format(secret)[:3]


@pytest.mark.parametrize("end", ["-----END RSA PRIVATE KEY-----", ""])
def test_a_private_key_is_masked_as_a_whole(end: str, redactor: Redactor) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0Z3V\nS5JJcds3xfn/ygWyF3+Q==\n" + end
    for text in (f"before {key}", "before " + key.replace("\n", "\\n")):
        masked = redactor.mask(text)
        assert "MIIEp" not in masked
        assert "S5JJ" not in masked
        assert masked.startswith("before ")


PLAIN = [
    "compute(1,2) took 3.5 ms",
    "run r_4f2a9c1b step 2 begins",
    "tests/test_tokens.py::test_token_count passed",
    "usage: input_tokens=1234 output_tokens=99",
    "snapshot tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "def login(user, password=None): return self.password",
    "KeyError: 'x'",
    "https://example.org/path?query=1",
    "max_tokens: int = 16000",
    "password = os.environ['DB_PASSWORD_NAME']",
    "def connect(password: str, token: str = None)",
    "model.api_key_env is not set",
    "the token was refused",
]


@pytest.mark.parametrize("line", PLAIN)
def test_ordinary_lines_stay_as_they_are(line: str, redactor: Redactor) -> None:
    assert redactor.mask(line) == line


def test_values_of_secret_variables_are_masked_in_every_spelling() -> None:
    value = 'p&ss "w/rd"\\x'
    redactor = Redactor({"DB_PASSWORD": value, "SHORT_KEY": "abc", "HOME": "/home/me", "MY_SECRET": "supersecretvalue"})
    for text in (value, repr(value), value.replace('"', '\\"').replace("\\x", "\\\\x"), "p%26ss%20%22w%2Frd%22%5Cx"):
        assert "w" not in redactor.mask(f"it is {text} here").replace("was", "")
    assert redactor.mask("supersecretvalue") == MASK
    assert redactor.mask("abc in /home/me") == "abc in /home/me"


def test_a_value_can_be_hidden_later() -> None:
    redactor = Redactor({})
    assert redactor.mask("plain words here") == "plain words here"
    redactor.hide("plain words")
    assert redactor.mask("plain words here") == "*** here"


def test_a_secret_deep_in_a_very_long_line_is_found_quickly(redactor: Redactor) -> None:
    line = "x=1 " * 20_000 + "password='hunter2 and more' " + "token " * 20_000
    started = time.perf_counter()
    masked = redactor.mask(line)
    assert time.perf_counter() - started < 5
    assert "hunter2" not in masked


@pytest.mark.parametrize(
    "part", ["a", "password", "://", "=", "-----BEGIN ", "token:", "'", "key ", "eyJ", "aws", "\\"]
)
def test_no_text_makes_the_patterns_slow(part: str, redactor: Redactor) -> None:
    started = time.perf_counter()
    redactor.mask(part * (16_000 // len(part)))
    assert time.perf_counter() - started < 3


def test_most_lines_are_cleared_in_microseconds(redactor: Redactor) -> None:
    lines = [f"2026 INFO step {n} of run r_{n} read src/shop/prices.py and wrote 3 hunks" for n in range(1000)]
    assert not any(suspicious(line) for line in lines)
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for line in lines:
            redactor.mask(line)
        rounds.append((time.perf_counter() - started) / len(lines) * 1e6)
    assert statistics.median(rounds) < 100, f"{rounds} µs a line"


def test_the_detectors_are_loaded_only_for_a_suspicious_line() -> None:
    code = (
        "import sys; from agent_lsp.storage.redaction import Redactor; r = Redactor({}); r.mask('plain line');"
        "a = 'detect_secrets' in sys.modules; r.mask('password=hunter22'); print(a, 'detect_secrets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False True\n"
