"""Splitting one run of the tests into parts, and the parts as the run they were cut from."""

from agent_lsp.domain.sharding import Room, Shard, as_one, plan_shards, strayed
from agent_lsp.domain.verdict import CaseResult, LoadedFile, Outcome, SuiteReport

GIB = 1 << 30


def suite(seconds: dict[str, float], *, peak_bytes: int = 100 << 20, start_up_s: float = 0.5) -> SuiteReport:
    cases = {f"{path}::test": CaseResult(f"{path}::test", Outcome.PASSED, duration_s=s) for path, s in seconds.items()}
    total_s = sum(seconds.values()) + start_up_s
    return SuiteReport("pytest", cases, collected=len(cases), duration_s=total_s, peak_bytes=peak_bytes)


FOUR = suite({"a.py": 4.0, "b.py": 3.0, "c.py": 2.0, "d.py": 1.0})


def test_files_are_dealt_out_by_their_time_and_every_one_belongs_to_one_part() -> None:
    shards = plan_shards(FOUR, Room(2, 8 * GIB))
    assert len(shards) == 2
    assert shards[0].rest
    held = [{path for path in ("a.py", "b.py", "c.py", "d.py") if shard.may_hold(path)} for shard in shards]
    assert sorted(map(sorted, held)) == [["a.py", "d.py"], ["b.py", "c.py"]]
    assert [shard.may_hold("brand_new.py") for shard in shards] == [True, False]


def test_the_files_of_the_goal_tests_are_in_the_part_that_begins() -> None:
    assert plan_shards(FOUR, Room(2, 8 * GIB), first=("d.py",))[0].may_hold("d.py")


def test_what_is_short_or_lies_in_one_file_or_has_no_memory_is_not_split() -> None:
    assert not plan_shards(suite({"a.py": 0.5, "b.py": 0.5}), Room(2, 8 * GIB))
    assert not plan_shards(suite({"a.py": 30.0}), Room(2, 8 * GIB))
    assert not plan_shards(suite({"a.py": 30.0, "b.py": 0.1}), Room(2, 8 * GIB)), "nothing is gained"
    assert not plan_shards(FOUR, Room(1, 8 * GIB))
    assert not plan_shards(FOUR, Room(2, GIB // 4))
    assert len(plan_shards(FOUR, Room(4, 8 * GIB))) == 4


def test_a_suite_that_needs_much_memory_is_split_into_fewer_parts() -> None:
    large = suite({f"t{number}.py": 3.0 for number in range(8)}, peak_bytes=2 * GIB)
    assert len(plan_shards(large, Room(8, 14 * GIB))) == 3


def test_parts_read_as_the_run_they_were_cut_from() -> None:
    ids = ("b.py::x", "a.py::y")
    lines = ({"m.py": {1: frozenset({"a.py::y"})}}, {"m.py": {1: frozenset({"b.py::x"}), 2: frozenset({"b.py::x"})}})
    loaded = LoadedFile("m", "m.py", "00")
    parts = [
        SuiteReport(
            "pytest",
            {name: CaseResult(name, Outcome.PASSED)},
            collected=1,
            exit_status=0,
            executed=rows,
            executable={"m.py": frozenset({1, 2})},
            loaded=(loaded,),
            touched=frozenset({name[:4]}),
            not_found=missing,
            peak_bytes=size,
        )
        for name, rows, missing, size in (
            ("a.py::y", lines[0], ("b.py::x", "gone"), 5),
            ("b.py::x", lines[1], ("gone",), 7),
        )
    ]
    whole = as_one([*parts, SuiteReport("pytest", exit_status=5)], ids, 1.5)
    assert tuple(whole.cases) == ids
    assert (whole.collected, whole.exit_status, whole.duration_s, whole.peak_bytes) == (2, 0, 1.5, 7)
    assert whole.executed == {"m.py": {1: frozenset(ids), 2: frozenset({"b.py::x"})}}
    assert (whole.loaded, whole.touched) == ((loaded,), frozenset({"a.py", "b.py"}))


def test_what_no_part_found_was_not_found_and_what_another_part_has_was() -> None:
    parts = [SuiteReport("pytest", not_found=("b", "c")), SuiteReport("pytest", not_found=("c",))]
    assert as_one(parts, (), 1.0).not_found == ("c",)


def test_one_part_that_broke_off_or_was_tampered_with_spoils_the_whole() -> None:
    good = SuiteReport("pytest")
    assert not as_one([good, SuiteReport("pytest", finished=False, trouble="killed")], (), 1.0).finished
    assert as_one([good, SuiteReport("pytest", finished=False, trouble="killed")], (), 1.0).trouble == "killed"
    assert as_one([good, SuiteReport("pytest", tampered=True)], (), 1.0).tampered


def test_tests_that_only_one_of_both_runs_has_are_strays_unless_their_file_changed() -> None:
    other = suite({"a.py": 4.0, "b.py": 3.0, "c.py": 2.0, "e.py": 1.0})
    assert strayed(FOUR, other, ()) == ("d.py::test", "e.py::test")
    assert strayed(FOUR, other, ("d.py", "e.py")) == ()


def test_a_part_is_about_files_and_a_folder_may_hold_some() -> None:
    shard = Shard(("tests/a.py",))
    assert shard.may_hold("tests", is_file=False)
    assert not shard.may_hold("tests/b.py")
