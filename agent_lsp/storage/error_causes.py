"""Owns the likely causes of an error and what mends them, by the type and words of the error."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """What may have led to an error, and what to try; each entry is one sentence."""

    causes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Symptom:
    """What the heuristics look at. `lineage` are the names of the error's classes, the most special first.

    `details` holds the plain attributes that errors carry: errno, filename, name, hint, code.
    """

    lineage: tuple[str, ...]
    message: str
    details: Mapping[str, str] = field(default_factory=dict)


def advise(symptoms: Sequence[Symptom]) -> Advice:
    """What is known of an error and of what lies beneath it, without repetition; the hints of our errors first."""
    found = [advice for symptom in symptoms if (advice := _advise_one(symptom)) is not None]
    if found:
        causes = dict.fromkeys(line for advice in found for line in advice.causes)
        fixes = dict.fromkeys(line for advice in found for line in advice.fixes)
        return Advice(tuple(causes), tuple(fixes))
    return Advice(
        ("No rule of the log knows this kind of error; the last frame of the stack in this project is the place.",),
        ("Read the code at `location` with the values that `message` names, and the log lines of the same run.",),
    )


def _advise_one(symptom: Symptom) -> Advice | None:
    """The advice of the most special class that has one."""
    hint = symptom.details.get("hint", "")
    hints = (hint,) if hint else ()
    for name in symptom.lineage:
        rule = _RULES.get(name)
        if rule is not None:
            advice = rule(symptom)
            return Advice(advice.causes, hints + advice.fixes)
    return Advice((), hints) if hints else None


def _import(symptom: Symptom) -> Advice:
    name = symptom.details.get("name") or symptom.message.rpartition("'")[0].rpartition("'")[2] or "the module"
    if name.startswith("agent_lsp"):
        return Advice(
            ("The installation of agent-lsp is incomplete or mixes two versions.",),
            ("Install it again: `pip install --force-reinstall agent-lsp-server`.",),
        )
    return Advice(
        (
            f"{name} is not installed in the interpreter named under `versions`.",
            "A file of the workspace has the same name and hides the package.",
            "Two modules import each other, and one is not finished yet.",
        ),
        (
            f"Install {name} with `python -m pip install` in that interpreter, or set `tests.interpreter`.",
            "Look for a file or folder of that name in the workspace, and break the circle of imports.",
        ),
    )


def _missing_file(symptom: Symptom) -> Advice:
    path = symptom.details.get("filename") or "The file"
    return Advice(
        (f"{path} was deleted, moved or never made.", "The path is relative and the working folder is another one."),
        ("Check the path and its folder, and make them first where the code expects them.",),
    )


def _permission(symptom: Symptom) -> Advice:
    path = symptom.details.get("filename") or "The file or folder"
    return Advice(
        (f"{path} belongs to another user, is read-only, or lies on a read-only mount.",),
        (f"Check `ls -ld` of {path} and of its folder, and change owner or mode.",),
    )


def _os_error(symptom: Symptom) -> Advice:
    number = symptom.details.get("errno", "")
    known = {
        str(errno.ENOSPC): (
            "The disk is full, or its quota is.",
            "Free space (`df -h`, `df -i`); the caches of agent-lsp lie in the user cache folder.",
        ),
        str(errno.EDQUOT): ("The quota of the disk is used up.", "Free space or raise the quota."),
        str(errno.EMFILE): ("The process has too many open files.", "Raise `ulimit -n`, or look for files left open."),
        str(errno.ENFILE): ("The machine has too many open files.", "Close programs, or raise `fs.file-max`."),
        str(errno.EROFS): ("The file system is mounted read-only.", "Mount it writable or choose another folder."),
        str(errno.ENOMEM): ("The machine has no memory left.", "Close programs, or lower the number of workers."),
    }
    if number in known:
        cause, fix = known[number]
        return Advice((cause,), (fix,))
    return Advice(
        ("The operating system refused; `message` says what and where.",),
        ("Check that the path, mount or device named there exists and may be used by this user.",),
    )


def _key(symptom: Symptom) -> Advice:
    return Advice(
        (f"The mapping has no key {symptom.message}.", "The data has another shape than the code expects."),
        ("Print the keys that are there; use `.get` with a default only where the key may really be missing.",),
    )


def _index(_: Symptom) -> Advice:
    return Advice(
        ("The sequence is shorter than the code expects, often empty.", "The index is off by one."),
        ("Check the length at `location`, and the bounds of the loop.",),
    )


def _attribute(symptom: Symptom) -> Advice:
    name = symptom.details.get("name", "")
    if "'NoneType'" in symptom.message:
        return Advice(
            ("A call before returned None where an object was expected.",),
            ("Find where the value is set, and treat the None there.",),
        )
    return Advice(
        (
            f"The object has no attribute {name or 'of that name'}: a typing mistake, or another type than expected.",
            "The installed version of a library has another interface; compare `versions`.",
        ),
        ("Check the type of the object at `location` and the spelling of the name.",),
    )


def _name(symptom: Symptom) -> Advice:
    name = symptom.details.get("name") or "The name"
    return Advice(
        (f"{name} is misspelt, not imported, or used before it is set.",),
        ("Import or define it before `location`; a branch that sets it may not have run.",),
    )


def _type(symptom: Symptom) -> Advice:
    message = symptom.message
    if "argument" in message:
        return Advice(
            ("The call does not fit the signature: an argument is missing, too many, or named differently.",),
            ("Compare the call at `location` with the definition of the function that `message` names.",),
        )
    if "NoneType" in message:
        return Advice(
            ("A value is None where an object was expected.",),
            ("Find where the value is set, and treat the None there.",),
        )
    return Advice(
        ("A value has another type than the operation takes.",),
        ("Check the types of the values at `location`; run the type checker on that file.",),
    )


def _json(_: Symptom) -> Advice:
    return Advice(
        ("The text is not JSON: empty, cut off, or an error page in its place.",),
        ("Look at the text around the position that `message` names, and at who wrote it.",),
    )


def _toml(_: Symptom) -> Advice:
    return Advice(
        ("A TOML file has a syntax error at the line that `message` names.",),
        ("Mend that line: strings need quotes, tables are `[name]`, keys are unique.",),
    )


def _unicode(_: Symptom) -> Advice:
    return Advice(
        ("The bytes are in another encoding than the one they are read or written with.",),
        ("Open the file with its real encoding, or read bytes; `file -i PATH` guesses it.",),
    )


def _syntax(_: Symptom) -> Advice:
    return Advice(
        ("The Python source at `location` does not parse; an edit may have left it unfinished.",),
        ("Mend the marked line or the one before it: brackets, colons, quotes, indent.",),
    )


def _timeout(_: Symptom) -> Advice:
    return Advice(
        ("The other side did not answer in time: busy, hanging, or not there.",),
        ("Try again; raise the time limit (`tests.timeout_s`, `model.request_timeout_s`) if it is only slow.",),
    )


def _connection(_: Symptom) -> Advice:
    return Advice(
        ("Nothing answers at that address, a proxy or firewall stands between, or the connection broke.",),
        (
            "Check `model.base_url` (or ANTHROPIC_BASE_URL) and the network; `agent-lsp doctor` tries the endpoint.",
            "Behind a proxy set HTTPS_PROXY.",
        ),
    )


def _http_status(symptom: Symptom) -> Advice:
    status = symptom.details.get("status_code", "")
    table = {
        "401": ("The key is missing, wrong or expired.", "Set ANTHROPIC_API_KEY (or what `model.api_key_env` names)."),
        "403": ("The key may not use this model or address.", "Check the key's rights, `model.name` and its region."),
        "404": ("The model or the address does not exist.", "Check `model.name` and `model.base_url`."),
        "413": ("The request is too large.", "Narrow the goal or its scope."),
        "429": ("The endpoint limits the rate or the quota is used up.", "Wait, or raise the limit of the account."),
        "529": ("The endpoint is overloaded.", "Wait and try again."),
    }
    if status in table:
        cause, fix = table[status]
        return Advice((cause,), (fix,))
    if status.startswith("5"):
        return Advice(("The endpoint had an error of its own.",), ("Wait and try again; see its status page.",))
    return Advice(("The endpoint refused the request.",), ("Read `message`; it is the endpoint's own text.",))


def _assertion(_: Symptom) -> Advice:
    return Advice(
        ("The code gives another value than the assertion expects.", "The expectation is out of date."),
        ("Compare both sides of the assertion; mend the code, and the test only if it is wrong.",),
    )


def _test_failure(symptom: Symptom) -> Advice:
    raised = symptom.details.get("raised", "")
    if raised and raised not in ("AssertionError", "Failed"):
        inner = _RULES.get(raised.rpartition(".")[2])
        if inner is not None:
            advice = inner(Symptom((raised,), symptom.message, symptom.details))
            return Advice((f"The test raised {raised}.", *advice.causes), advice.fixes)
    return Advice(
        ("The code under test gives another value than the test expects, or the test is out of date.",),
        ("Run this test alone, compare both sides of the assertion, and mend the code before the test.",),
    )


def _recursion(_: Symptom) -> Advice:
    return Advice(
        ("A function calls itself without an end, or the data contains itself.",),
        ("Find the case that should stop the recursion in the frames that repeat.",),
    )


def _memory(_: Symptom) -> Advice:
    return Advice(("The process ran out of memory.",), ("Work on less data at once, or give the process more.",))


def _value(_: Symptom) -> Advice:
    return Advice(
        ("A value has the right type and a content that the function does not take.",),
        ("Check the value that `message` names where it comes in.",),
    )


def _logged(_: Symptom) -> Advice:
    return Advice(
        ("The code noticed the trouble itself; `message` is its own account of it.",),
        ("Read the code at `location`, and the lines of the same run just before this block.",),
    )


def _own(cause: str, fix: str) -> Callable[[Symptom], Advice]:
    return lambda symptom: Advice((cause,), () if symptom.details.get("hint") else (fix,))


_DOCTOR: Final = "Run `agent-lsp doctor`; it names what is missing."

_RULES: Final[Mapping[str, Callable[[Symptom], Advice]]] = {
    "TestFailure": _test_failure,
    "LoggedError": _logged,
    "ConfigError": _own("A setting is unknown, of a wrong type, or not allowed there.", "See docs/configuration.md."),
    "NoModelError": _own("The goal needs a language model and none is configured.", "Set ANTHROPIC_API_KEY."),
    "StaleError": _own("The text changed since it was tested.", "Validate the proposal again (`agent.revalidate`)."),
    "ModelUnavailableError": _own("The model's endpoint gives no answer now.", "Wait and try again."),
    "ModelRejectedError": _own("The model's endpoint refused the request for good.", "Check key, model and address."),
    "ModelBrokenError": _own("The model's answer ended before it was whole.", "Try again; look for a proxy's limit."),
    "CandidateError": _own("The copy of the workspace could not be made or was lost.", _DOCTOR),
    "RunnerUnavailableError": _own("The tests could not be started.", "Set `tests.interpreter`. " + _DOCTOR),
    "SnapshotError": _own("The workspace could not be read as it stands.", "Check the files that `message` names."),
    "LinkClosedError": _own("The other process of agent-lsp is gone.", "Read the error block before this one."),
    "BudgetSpentError": _own("A limit of the section `budget` was reached.", "Raise the limit or narrow the goal."),
    "APIStatusError": _http_status,
    "HTTPStatusError": _http_status,
    "APITimeoutError": _timeout,
    "APIConnectionError": _connection,
    "ConnectError": _connection,
    "TransportError": _connection,
    "ModuleNotFoundError": _import,
    "ImportError": _import,
    "FileNotFoundError": _missing_file,
    "NotADirectoryError": _missing_file,
    "PermissionError": _permission,
    "TimeoutError": _timeout,
    "ConnectionError": _connection,
    "gaierror": _connection,
    "JSONDecodeError": _json,
    "TOMLDecodeError": _toml,
    "UnicodeError": _unicode,
    "SyntaxError": _syntax,
    "OSError": _os_error,
    "KeyError": _key,
    "IndexError": _index,
    "AttributeError": _attribute,
    "NameError": _name,
    "TypeError": _type,
    "RecursionError": _recursion,
    "MemoryError": _memory,
    "AssertionError": _assertion,
    "ValueError": _value,
}
