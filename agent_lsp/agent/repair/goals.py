"""Owns which goals the embedded engine serves: those that ask for failing tests to pass, and nothing more."""

import re

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.task import Goal

_TEST_ID = re.compile(r"[\w./-]+\.py(?:::[\w.-]+(?:\[[^\]\s]*\])?)*")
_TEST_NAME = re.compile(r"\btest_\w+")
_TESTS = re.compile(r"\b(tests?|test ?cases?|test ?suites?|suites?|pytest|unittests?|ci|build|failures?|testing)\b")
_MEND = re.compile(
    r"\b(fix|fixes|fixing|fixed|repair|repairs|mend|correct|resolve|solve|heal|debug|sort out|unbreak)\b"
)
_MAKE = re.compile(r"\b(make|get|let|have|turn|bring|be|is|are|so that|so|until|want|need|should|must)\b")
_PASS = re.compile(
    r"\b(pass|passes|passing|passed|green|succeed|succeeds|work|works|working|fail|fails|failing|failed|red)\b"
)
_AIM = re.compile(r"\b(pass|passes|green|succeed|succeeds|work|works)\b")
_NOT_WANTED = re.compile(r"\b(?:do not|don't|dont|never|without|no need to|not to|instead of)\b[^.,;!]*")
_OTHER_WORK = re.compile(
    r"\b(add(?:ing)?|writ(?:e|ing)|creat(?:e|ing)|implement(?:ing)?|refactor(?:ing)?|renam(?:e|ing)|remov(?:e|ing)"
    r"|delet(?:e|ing)|skip(?:ping)?|document(?:ing|ation)?|docstrings?|comments?|typos?|style|lint|format(?:ting)?"
    r"|migrat(?:e|ing)|convert(?:ing)?|port(?:ing)?|upgrad(?:e|ing)|fast(?:er)?|slow|speed|quick(?:er)?|flaky"
    r"|coverage|explain|describe|why|how|deprecat\w*|warnings?|typing|annotations?|rewrit(?:e|ing)|replac(?:e|ing)"
    r"|introduc(?:e|ing)|move|moving|split(?:ting)?|new)\b"
)


def serves(goal: Goal) -> bool:
    """Whether the goal is of the kind "make the failing tests pass". A rule of its words: no model reads it."""
    text = _NOT_WANTED.sub(" ", _without_ids(goal.text.lower()))
    if _OTHER_WORK.search(text):
        return False
    mends, aims = bool(_MEND.search(text)), bool(_MAKE.search(text) and _AIM.search(text))
    if goal.tests:
        return mends or aims or not text.strip(" .!")
    about_tests = bool(_TESTS.search(text) or named_tests(goal.text))
    if not about_tests:
        return False
    if mends:
        return bool(_TESTS.search(text) or _PASS.search(text) or named_tests(goal.text))
    return aims


def named_tests(text: str) -> tuple[str, ...]:
    """Ids, files and names of tests that a goal's text mentions, in order."""
    ids = [found for found in _TEST_ID.findall(text) if "test" in found.rsplit("/", 1)[-1].lower()]
    rest = _TEST_ID.sub(" ", text)
    return tuple(dict.fromkeys([*(name.removeprefix("./") for name in ids), *_TEST_NAME.findall(rest)]))


def is_named(case: CaseId, names: tuple[str, ...]) -> bool:
    """Whether a test is one of those that were named by id, by a part of an id, by file or by bare name."""
    parts = re.split(r"::|\.(?=\w+$)", case.partition("[")[0])
    return any(case == name or case.startswith((name + "::", name + "[")) or name in parts for name in names)


def _without_ids(text: str) -> str:
    return _TEST_NAME.sub(" tests ", _TEST_ID.sub(lambda found: " tests " if "test" in found.group() else " ", text))
