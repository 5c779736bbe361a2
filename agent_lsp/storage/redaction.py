"""Owns the masking of secrets in text: one quick look clears most lines, the rest are searched closely.

Three nets, in this order: the values of secret-looking environment variables, patterns of our own, and the
detectors of detect-secrets. Its entropy detectors are left out (they flag `compute(1,2)`), and so is its
detector of public addresses (an address is no secret, and a version number looks like one).
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol
from urllib.parse import quote

from agent_lsp.storage.code_words import of_words, reads_as_code

MASK: Final = "***"
MIN_VALUE_LENGTH: Final = 8
"""Shorter values of environment variables are words that stand everywhere."""

_MIN_FOUND_LENGTH: Final = 4
_WINDOW_CHARS: Final = 600
_OVERLAP_CHARS: Final = 200

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)

_TRIGGERS: Final = (
    "key", "token", "secret", "pass", "pwd", "auth", "bearer", "credential", "cookie", "contrase",
    "://", "-----begin", "private", "sk-", "sk_", "rk_", "eyj", "akc", "xox", "sg.", "hooks.slack", "aws", "pypi-",
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat", "gldt-", "glft-", "glrt-", "hf_", "aiza", "npm_",
    "akia", "asia",
)  # fmt: skip
_LONG_TOKEN = re.compile(r"[A-Za-z0-9_\-+=]{20,}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Ids of git and sha256 sums: long, everywhere, and no secret."""

_KEY_BLOCK = re.compile(
    r"(-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----)"
    r"(?:(?:(?!-----BEGIN ).){0,20000}?-----END (?P=kind)-----|[A-Za-z0-9+/=\\\s]*)",
    re.DOTALL,
)
_NAME = (
    r"[\w.\-]{0,40}(?:api_?-?key|access_?-?key|private_?-?key|secret_?-?key|auth_?-?key|account_?-?key|client_?-?secret"
    r"|password|passwd|passphrase|pwd|secret|token|credentials?)[\w\-]{0,20}"
)
_ASSIGNED = re.compile(
    rf"(?P<lead>\b{_NAME}['\"\\]{{0,3}}\]?\s{{0,4}}"
    r"(?::\s{0,4}[A-Za-z_][\w.\[\]| ]{0,40}=\s{0,4}(?=[rbf]?[\"'`])|(?::=|=>|[:=])\s{0,4})[rbf]?)"
    rf"(?:(?P<quote>\\?[\"'`])(?P<quoted>(?:(?!(?P=quote)).){{1,2000}})(?P=quote)|(?P<bare>[^\s\"'`,;&)\]}}<>]{{3,2000}}))",
    re.IGNORECASE,
)
_FLAG = re.compile(
    r"(?P<lead>--?(?:api-?key|token|password|passwd|secret|auth-token|access-token)[ =])(?P<bare>[^\s\"']{3,2000})",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<lead>\b(?:proxy-)?authorization['\"\\]{0,3}\s{0,4}[:=]\s{0,4}(?:b?['\"\\]{1,3})?(?:(?:bearer|basic|token|digest|negotiate)\s{1,4})?"
    r"|\b(?:x-api-key|x-auth-token|private-token|(?:set-)?cookie)['\"\\]{0,3}\s{0,4}[:,=]\s{0,4}(?:b?['\"\\]{1,3})?)"
    r"(?P<bare>[^\s\"'\\,]{3,4000})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<lead>\bbearer\s{1,4})(?P<bare>[A-Za-z0-9._~+/\-]{8,4000}=*)", re.IGNORECASE)
_URL_LOGIN = re.compile(
    r"(?P<lead>\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@'\"]{0,200}:)(?P<bare>[^\s/@'\"]{1,500})(?=@)", re.IGNORECASE
)
_URL_USER = re.compile(r"(?P<lead>\bhttps?://)(?P<bare>[A-Za-z0-9_\-]{16,500})(?=@)", re.IGNORECASE)
_SHAPED = re.compile(
    r"\b(?P<lead>sk-ant-|sk-proj-|sk-or-|sk-|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xox[abposr]-|hf_|AIza|npm_|pypi-|"
    r"(?:sk|rk|pk)_(?:live|test)_|AKIA|ASIA|ABIA|ACCA)(?P<bare>[A-Za-z0-9_\-]{12,1000})"
)
_JWT = re.compile(r"(?P<lead>\beyJ)(?P<bare>[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{4,8000}(?:\.[A-Za-z0-9_\-]*)?)")
_PATTERNS: Final = (_HEADER, _BEARER, _URL_LOGIN, _URL_USER, _SHAPED, _JWT, _ASSIGNED, _FLAG)

_PLAIN_WORD = re.compile(
    r"(?i:none|null|true|false|str|int|bytes|bool|float|any|self|cls)|\*+|\.\.\.|\{\w*|\$\{?[A-Z_][A-Z0-9_]*|%[srd(]\S*"
    r"|(?:os|self|settings|config|args|request|environ)[.\[]\S*|(?:len|int|str|[Oo]ptional|get\w*|load\w*)[(\[]\S*"
)
"""Right-hand sides that are code and hold no secret: `token=None`, `password: str`, `key = os.environ[...`."""

_COUNT = re.compile(r"\d{1,12}")
"""What may follow a name with `token` in it, as in `max_tokens=16000`; a password of digits is a password."""


class _Detector(Protocol):
    """The part of a detect-secrets plugin that is used."""

    def analyze_string(self, string: str) -> Iterable[str]: ...


_DETECTORS: Final = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "ibm_cloud_iam": "IbmCloudIamDetector",
    "ibm_cos_hmac": "IbmCosHmacDetector",
    "jwt": "JwtTokenDetector",
    "keyword": "KeywordDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "softlayer": "SoftlayerDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""Module and class of each detector that is used."""

_NEEDS_QUOTES: Final = "keyword"
"""The slowest detector; all its patterns want a quotation mark."""


class Redactor:
    """Masks secrets; loads detect-secrets (0.2 s, 5 MiB) when a line first looks suspicious."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._known = _known_values(environ)
        self._detectors: Mapping[str, _Detector] | None = None

    def hide(self, *values: str) -> None:
        """Further values to mask wherever they stand, such as a key that the settings led to."""
        self._known = tuple(sorted({*self._known, *_spellings(values)}, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """The text with every secret replaced by `***`. Only a private key takes its line ends with it."""
        return self._masked(text, _Stars())

    def name(self, text: str, name: Callable[[str], str]) -> str:
        """The text with every secret replaced by what `name` says of it, so that it can be put back.

        For text in which code must stay readable: what is plainly code (`token = lexer.next()`) is no secret here.
        """
        return self._masked(text, _Names(name))

    def _masked(self, text: str, hiding: "_Hiding") -> str:
        for value in self._known:
            if value in text:
                text = text.replace(value, hiding.hidden(value))
        if not suspicious(text):
            return text
        text = _KEY_BLOCK.sub(lambda match: match[1] + hiding.hidden(match[0][len(match[1]) :]), text)
        return "".join(self._mask_line(line, hiding) for line in text.splitlines(keepends=True))

    def _mask_line(self, line: str, hiding: "_Hiding") -> str:
        if not suspicious(line):
            return line
        for pattern in _PATTERNS:
            line = pattern.sub(lambda match: _replacement(match, hiding), line)
        for secret in self._found_by_detectors(line, hiding):
            line = line.replace(secret, hiding.hidden(secret))
        return line

    def _found_by_detectors(self, line: str, hiding: "_Hiding") -> list[str]:
        if self._detectors is None:
            self._detectors = _load_detectors()
        found: set[str] = set()
        for start in range(0, max(len(line), 1), _WINDOW_CHARS - _OVERLAP_CHARS):
            window = line[start : start + _WINDOW_CHARS]
            if not suspicious(window):
                continue
            quoted = any(mark in window for mark in "\"'`")
            for name, detector in self._detectors.items():
                if quoted or name != _NEEDS_QUOTES:
                    found.update(detector.analyze_string(window))
        clean = (secret for secret in found if len(secret) >= _MIN_FOUND_LENGTH and not hiding.spares_found(secret))
        return sorted((s for s in clean if not _PLAIN_WORD.fullmatch(s)), key=len, reverse=True)


def suspicious(text: str) -> bool:
    """The quick look: whether any net could catch something here. False for most lines of a log."""
    lowered = text.lower()
    if any(trigger in lowered for trigger in _TRIGGERS):
        return True
    return any(_looks_made(match.group()) for match in _LONG_TOKEN.finditer(text))


def _looks_made(token: str) -> bool:
    return any(map(str.isdigit, token)) and not _DIGEST.fullmatch(token)


def _replacement(match: re.Match[str], hiding: "_Hiding") -> str:
    groups = match.groupdict()
    if hiding.spares(match):
        return match.group()
    if groups.get("quoted") is not None:
        return f"{groups['lead']}{groups['quote']}{hiding.hidden(groups['quoted'])}{groups['quote']}"
    bare, lead = groups["bare"], groups["lead"]
    if _PLAIN_WORD.fullmatch(bare) or (_COUNT.fullmatch(bare) and "token" in lead.lower()):
        return match.group()
    return f"{lead}{hiding.hidden(bare)}"


class _Hiding(Protocol):
    """What stands in a secret's place, and what is left alone."""

    def hidden(self, secret: str) -> str: ...
    def spares(self, match: re.Match[str]) -> bool: ...
    def spares_found(self, secret: str) -> bool: ...


class _Stars:
    """For the log: nothing is spared, nothing comes back."""

    def hidden(self, secret: str) -> str:
        del secret
        return MASK

    def spares(self, match: re.Match[str]) -> bool:
        del match
        return False

    def spares_found(self, secret: str) -> bool:
        return MASK in secret


class _Names:
    """For what a model reads."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.hidden = name

    def spares(self, match: re.Match[str]) -> bool:
        return reads_as_code(match)

    def spares_found(self, secret: str) -> bool:
        return of_words(secret)


def _known_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Secret values of the environment, longest first."""
    values = [value for name, value in environ.items() if _SECRET_NAME.search(name)]
    return tuple(sorted(_spellings(values), key=len, reverse=True))


def _spellings(values: Iterable[str]) -> set[str]:
    """The forms in which values get printed; short ones are left out."""
    forms: set[str] = set()
    for raw in values:
        value = raw.strip()
        if len(value) >= MIN_VALUE_LENGTH:
            forms |= {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
            forms |= {line for line in value.splitlines() if len(line) >= 3 * MIN_VALUE_LENGTH}
    return forms


def _load_detectors() -> Mapping[str, _Detector]:
    from importlib import import_module

    return {
        module: getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in _DETECTORS.items()
    }
