"""lsprotocol as the edge loads it: the same classes, built when they are first used."""

import json
import subprocess
import sys

DESCRIBE = """
import json, attrs
from lsprotocol import converters, types
converters.get_converter()
found = {}
for name, cls in types.ALL_TYPES_MAP.items():
    if isinstance(cls, type) and attrs.has(cls):
        rows = [(a.name, str(a.type), repr(a.default), bool(a.validator), a.init) for a in attrs.fields(cls)]
        found[name] = [rows, "__setattr__" in vars(cls)]
print(json.dumps(found))
"""

COUNT = """
classes = [cls for cls in types.ALL_TYPES_MAP.values() if isinstance(cls, type)]
built = lambda: sum(1 for cls in classes if isinstance(vars(cls).get("__attrs_attrs__"), tuple))
"""

LIGHT = "from agent_lsp.server.light_types import load_light_types\nload_light_types()\n"


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_class_has_the_fields_types_defaults_and_checks_that_lsprotocol_gives_it() -> None:
    light, shipped = json.loads(_run(LIGHT + DESCRIBE)), json.loads(_run(DESCRIBE))
    assert len(shipped) > 500
    assert light == shipped


def test_a_class_is_built_by_its_first_instance_and_by_nothing_before() -> None:
    code = """
from lsprotocol import types
from pygls.protocol import default_converter
converter = default_converter()
before = built()
place = types.Position(line=3, character=1)
assert built() == before + 1 < 60, (before, built())
assert place < types.Position(line=3, character=2)
assert converter.unstructure(types.Range(start=place, end=place))["end"] == {"line": 3, "character": 1}
for wrong in (lambda: types.Position(line=-1, character=0), lambda: setattr(place, "line", "x")):
    try:
        wrong()
    except (TypeError, ValueError):
        continue
    raise AssertionError("taken")
"""
    _run(LIGHT + "from lsprotocol import types\n" + COUNT + code)


def test_threads_that_need_a_class_at_the_same_time_get_one_and_the_same() -> None:
    code = """
import sys, threading
from lsprotocol import types
sys.setswitchinterval(1e-6)
failed = []
barrier = threading.Barrier(8)
def use():
    try:
        barrier.wait()
        for _ in range(3):
            place = types.Position(line=1, character=2)
            report = types.WorkDoneProgressReport(percentage=3)
            edit = types.TextEdit(range=types.Range(start=place, end=place), new_text="x")
            assert (edit.range.end.character, report.percentage, report.kind) == (2, 3, "report")
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failed, failed
"""
    _run(LIGHT + code)


def test_types_that_were_imported_before_stay_as_they_are() -> None:
    _run("from lsprotocol import types\nkept = types.Position\n" + LIGHT + "assert types.Position is kept\n")
