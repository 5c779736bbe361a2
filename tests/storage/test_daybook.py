"""What models were used in a day: counted by many processes together, and never in the way of a run."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent_lsp.domain.task import Budget, DayUse
from agent_lsp.storage.daybook import StoredDaybook

ONE = DayUse(tokens=10, cost_usd=0.25, turns=1, answer_s=2.0)
ADDS = """
import asyncio, sys
from pathlib import Path
from agent_lsp.domain.task import DayUse
from agent_lsp.storage.daybook import StoredDaybook
async def main():
    daybook = StoredDaybook(Path(sys.argv[1]), lambda: "2026-11-22")
    for _ in range(50):
        daybook.add(DayUse(1, 0.5, 1, 1.0))
        await asyncio.sleep(0)
    await daybook.close()
asyncio.run(main())
"""


async def test_what_was_added_is_there_at_once_and_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "usage.json"
    daybook = StoredDaybook(path, lambda: "2026-11-22")
    assert daybook.used() == DayUse()
    daybook.add(ONE)
    daybook.add(ONE)
    assert daybook.used() == DayUse(20, 0.5, 2, 4.0), "before it is written"
    await daybook.close()
    assert StoredDaybook(path, lambda: "2026-11-22").used() == daybook.used() == DayUse(20, 0.5, 2, 4.0)
    assert StoredDaybook(path, lambda: "2026-11-23").used() == DayUse()


def test_processes_that_count_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    running = [subprocess.Popen([sys.executable, "-c", ADDS, str(path)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert StoredDaybook(path, lambda: "2026-11-22").used() == DayUse(200, 100.0, 200, 200.0)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"2026-11-22": 3}', '{"2026-11-22": {"turns": -1, "tokens": "x"}}'])
async def test_a_file_that_makes_no_sense_counts_from_zero(tmp_path: Path, text: str) -> None:
    (tmp_path / "usage.json").write_text(text)
    daybook = StoredDaybook(tmp_path / "usage.json", lambda: "2026-11-22")
    assert daybook.used() == DayUse()
    daybook.add(ONE)
    await daybook.close()
    assert daybook.used() == ONE


async def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_text("a file")
    daybook = StoredDaybook(tmp_path / "taken" / "usage.json", lambda: "2026-11-22")
    daybook.add(ONE)
    await asyncio.wait_for(daybook.close(), 10)
    assert "cannot be kept" in caplog.text


async def test_only_the_last_days_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text(
        json.dumps({f"2026-{month:02}-{day:02}": {"turns": 1} for month in (8, 9, 10) for day in range(1, 29)})
    )
    daybook = StoredDaybook(path, lambda: "2026-11-22")
    daybook.add(ONE)
    await daybook.close()
    kept = json.loads(path.read_text())
    assert len(kept) == 60
    assert max(kept) == "2026-11-22"


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        (Budget(None, None, None, None), ""),
        (Budget(21, None, None, None), ""),
        (Budget(20, None, None, None), "20 tokens"),
        (Budget(None, 0.5, None, None), "0.5 US dollars"),
        (Budget(None, None, 4.0, None), "4 seconds of answers"),
        (Budget(None, None, None, 2), "2 turns"),
    ],
)
def test_each_limit_of_a_day_is_told_by_name(limits: Budget, over: str) -> None:
    assert (ONE + ONE).over(limits) == over
