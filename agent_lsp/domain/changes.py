"""Owns the change: files before and after, hunks with stable ids, subsets of hunks, the unified diff."""

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath

from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.languages import is_code
from agent_lsp.domain.text import Decoded, decode, decode_like, split_lines


class ChangeKind(StrEnum):
    """What happens to a file; PROTOCOL.md section 4."""

    MODIFY = "modify"
    CREATE = "create"
    DELETE = "delete"
    RENAME = "rename"


class HunkClass(StrEnum):
    """What a file is to the gate: edits of tests and of their configuration are classes of their own."""

    SOURCE = "source"
    TEST = "test"
    CONFIG = "config"


class FileMode(StrEnum):
    """git's file modes that a candidate keeps."""

    FILE = "100644"
    EXECUTABLE = "100755"
    SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file's content and mode; for a symlink the content is its target."""

    content: bytes
    mode: FileMode = FileMode.FILE

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes: what a verdict is bound to."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file before and after. `path` is POSIX and relative to the root; `old_path` only for a rename.

    `before` is None for a created file, `after` is None for a deleted one. `shipped` says of a file with a test's name
    that it is source all the same.
    """

    path: str
    before: Entry | None
    after: Entry | None
    old_path: str | None = None
    shipped: bool = False

    @property
    def kind(self) -> ChangeKind:
        """The kind follows from what is there before and after."""
        if self.old_path is not None:
            return ChangeKind.RENAME
        if self.before is None:
            return ChangeKind.CREATE
        return ChangeKind.DELETE if self.after is None else ChangeKind.MODIFY

    @property
    def base_path(self) -> str:
        """Where the file is before the change."""
        return self.old_path or self.path

    @property
    def classes(self) -> frozenset[HunkClass]:
        """What the file is to the gate, before and after."""
        return frozenset({HunkClass.SOURCE} if self.shipped else {classify(self.path), classify(self.base_path)})


@dataclass(frozen=True, slots=True)
class Hunk:
    """Whole lines `[start_line, end_line)` of the base, zero-based, replaced by `new_text`.

    A change without text (binary content, mode or a pure rename or deletion of an empty file) is one hunk
    with empty texts: it can only be taken or left as a whole.
    """

    id: HunkId
    start_line: int
    end_line: int
    old_text: str
    new_text: str
    hunk_class: HunkClass


@dataclass(frozen=True, slots=True)
class FileHunks:
    """A file's edit with its hunks, in order."""

    edit: FileEdit
    hunks: tuple[Hunk, ...]


_CONFIG_NAMES = frozenset(
    {
        "conftest.py",
        "pytest.toml",
        ".pytest.toml",
        "pytest.ini",
        ".pytest.ini",
        "tox.ini",
        "tox.toml",
        "hatch.toml",
        "setup.cfg",
        "pyproject.toml",
        "noxfile.py",
        ".coveragerc",
        ".coveragerc.toml",
        "agent-lsp.toml",
        "package.json",
        "sitecustomize.py",
        "usercustomize.py",
    }
)
_TEST_DIRS = frozenset(
    {"test", "tests", "__tests__", "spec", "specs", "__snapshots__", "fixtures", "testdata", "test_data", "test-data"}
)
_RECORDED_DIRS = frozenset({"snapshots", "golden", "goldens", "cassettes"})
"""What lies in them is expected or replayed by tests, unless it is code."""

_RECORDED = (".snap", ".ambr", ".golden")

_SCRIPT_TEST = re.compile(r"(?:test|test-.+|.+[_-]test)\.[cm]?[jt]sx?|.+_test\.go")
_SCRIPT_CONFIG = re.compile(r"(?:vitest|vite|jest)\.(?:config|workspace|setup)\.\w+")


def classify(path: str) -> HunkClass:
    """The class of a file by its name and folders: `config` over `test` over `source`."""
    pure = PurePosixPath(path)
    name = pure.name
    if name in _CONFIG_NAMES or name.endswith(".pth") or _SCRIPT_CONFIG.fullmatch(name):
        return HunkClass.CONFIG
    folders = [part.lower() for part in pure.parts[:-1]]
    if _TEST_DIRS.intersection(folders) or folders[:1] == ["testing"]:
        return HunkClass.TEST  # `testing` below a package is what the package offers to others' tests
    if _RECORDED_DIRS.intersection(folders) and not is_code(path):
        return HunkClass.TEST
    stem = pure.stem
    if name.endswith(".py") and (stem.startswith("test_") or stem.endswith("_test") or stem in {"test", "tests"}):
        return HunkClass.TEST
    if _SCRIPT_TEST.fullmatch(name):
        return HunkClass.TEST
    if ".test." in name or ".spec." in name or ".approved." in name or name.endswith(_RECORDED):
        return HunkClass.TEST
    return HunkClass.SOURCE


def hunk_id(path: str, old_text: str, new_text: str, occurrence: int) -> HunkId:
    """Stable id: the same change of the same file has the same id wherever its lines have moved to."""
    key = "\0".join((path, old_text, new_text, str(occurrence))).encode("utf-8", "surrogatepass")
    return HunkId("h_" + hashlib.sha256(key).hexdigest()[:12])


def hunks_of(edit: FileEdit) -> FileHunks:
    """The edit cut into the smallest runs of changed lines."""
    old, new = _text_of(edit.before), _text_of(edit.after, _decoded(edit.before))
    hunk_class = max((classify(edit.path), classify(edit.base_path)), key=list(HunkClass).index)
    spans = [] if old is None or new is None else _changed_spans(split_lines(old), split_lines(new))
    seen: dict[tuple[str, str], int] = {}
    hunks = []
    for start, end, old_text, new_text in spans or [(0, 0, "", "")]:
        occurrence = seen.get((old_text, new_text), 0)
        seen[old_text, new_text] = occurrence + 1
        identity = hunk_id(edit.path, old_text, new_text, occurrence)
        hunks.append(Hunk(identity, start, end, old_text, new_text, hunk_class))
    return FileHunks(edit, tuple(hunks))


def select(edit: FileEdit, wanted: Collection[HunkId]) -> FileEdit | None:
    """The edit with only the wanted hunks, or None if none of them is here.

    A rename, creation or deletion goes with any of its hunks; a deletion or a change without text is
    taken whole.
    """
    file = hunks_of(edit)
    chosen = [hunk for hunk in file.hunks if hunk.id in wanted]
    if not chosen:
        return None
    if len(chosen) == len(file.hunks) or edit.after is None:
        return edit
    base = _decoded(edit.before)
    text = apply_hunks(base.text if base else "", chosen)
    content = base.encode(text) if base else text.encode("utf-8")
    return replace(edit, after=replace(edit.after, content=content))


def apply_hunks(text: str, hunks: Iterable[Hunk]) -> str:
    """The base text with these hunks applied; they do not overlap."""
    lines = split_lines(text)
    for hunk in sorted(hunks, key=lambda h: h.start_line, reverse=True):
        lines[hunk.start_line : hunk.end_line] = [hunk.new_text]
    return "".join(lines)


def lines_after(hunks: Sequence[Hunk], hunk: Hunk) -> range:
    """The hunk's lines in the file after the whole change, one-based; for a pure deletion the line that follows."""
    shift = 0
    for earlier in hunks:
        if earlier.id == hunk.id:
            break
        shift += len(split_lines(earlier.new_text)) - (earlier.end_line - earlier.start_line)
    first = hunk.start_line + shift + 1
    return range(first, first + max(1, len(split_lines(hunk.new_text))))


def unified_diff(edits: Sequence[FileEdit]) -> str:
    """A diff in git's style, with git's words for binary files and missing final newlines."""
    return "".join(_file_diff(edit) for edit in edits)


def _decoded(entry: Entry | None, like: Decoded | None = None) -> Decoded | None:
    return None if entry is None or entry.mode is FileMode.SYMLINK else decode_like(entry.content, like)


def _text_of(entry: Entry | None, like: Decoded | None = None) -> str | None:
    """Text to compare: empty for a file that is not there, None for content that is not text."""
    if entry is None:
        return ""
    decoded = _decoded(entry, like)
    return None if decoded is None else decoded.text


def _changed_spans(old: list[str], new: list[str]) -> list[tuple[int, int, str, str]]:
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return [
        (head + i1, head + i2, "".join(a[i1:i2]), "".join(b[j1:j2]))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _file_diff(edit: FileEdit) -> str:
    before_mode = edit.before.mode.value if edit.before else None
    after_mode = edit.after.mode.value if edit.after else None
    lines = [f"diff --git a/{edit.base_path} b/{edit.path}\n"]
    if before_mode is None:
        lines.append(f"new file mode {after_mode}\n")
    elif after_mode is None:
        lines.append(f"deleted file mode {before_mode}\n")
    elif before_mode != after_mode:
        lines += [f"old mode {before_mode}\n", f"new mode {after_mode}\n"]
    if edit.old_path is not None:
        lines += [f"rename from {edit.old_path}\n", f"rename to {edit.path}\n"]
    old = edit.before.content if edit.before else b""
    new = edit.after.content if edit.after else b""
    if old == new:
        return "".join(lines)
    source = f"a/{edit.base_path}" if edit.before else "/dev/null"
    target = f"b/{edit.path}" if edit.after else "/dev/null"
    old_text = decode(old)
    new_text = decode_like(new, old_text)
    if old_text is None or new_text is None:
        return "".join([*lines, f"Binary files {source} and {target} differ\n"])
    return "".join([*lines, *_unified(source, target, old_text.text, new_text.text)])


def _unified(source: str, target: str, old: str, new: str) -> Iterable[str]:
    for number, line in enumerate(difflib.unified_diff(_lf_lines(old), _lf_lines(new), source, target)):
        if number < 2 or line.startswith("@@") or line.endswith("\n"):
            yield line
        else:
            yield line + "\n\\ No newline at end of file\n"


def _lf_lines(text: str) -> list[str]:
    """Lines as git counts them: only `\\n` ends one."""
    return [line + "\n" for line in text.split("\n")[:-1]] + (
        [text.rsplit("\n", 1)[-1]] if not text.endswith("\n") and text else []
    )
