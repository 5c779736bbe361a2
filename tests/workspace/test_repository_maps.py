"""Holds the maps of a workspace to reading each version of a file once, and never what is hidden."""

from pathlib import Path

from agent_lsp.domain.repository_map import Wish
from agent_lsp.workspace.repository_maps import StoredMaps
from agent_lsp.workspace.snapshot import GitTrees


class Reading:
    """A workspace, its trees, and which blobs were read."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.trees, self.file = root, GitTrees(root, cache), cache / "symbols.json.z"
        self.maps = StoredMaps(self.trees, self.file)

    async def draw(self, *hidden: str) -> str:
        tree = (await self.trees.snapshot(())).tree
        return await self.maps.draw(tree, Wish("ship the order"), hidden, 5000)

    def known(self) -> set[str]:
        """Names of all definitions that were ever read."""
        return {row.name for said in (self.maps._said or {}).values() for row in said.definitions}


async def test_each_version_of_a_file_is_read_once_and_kept_for_the_next_process(tmp_path: Path) -> None:
    root, cache = tmp_path / "work", tmp_path / "cache"
    root.mkdir()
    (root / "order.py").write_text("def ship_order():\n    pack()\n")
    (root / "pack.py").write_text("def pack():\n    pass\n")
    (root / "secret.py").write_text("def hidden_thing():\n    pass\n")
    (root / ".gitignore").write_text("made.py\n")
    (root / "made.py").write_text("def made_up():\n    pass\n")
    reading = Reading(root, cache)
    first = await reading.draw("secret.py")
    assert first.startswith("order.py\n     1  def ship_order()\n")
    assert "pack.py" in first
    assert reading.known() == {"ship_order", "pack"}, "ignored and hidden files are not read"

    (root / "pack.py").write_text("def pack():\n    pass\n\n\ndef unpack():\n    pass\n")
    again = Reading(root, cache)
    kept = reading.file.stat().st_mtime_ns
    assert "     5  def unpack()" in await again.draw("secret.py")
    assert reading.file.stat().st_mtime_ns > kept
    kept = reading.file.stat().st_mtime_ns
    await again.draw("secret.py")
    assert reading.file.stat().st_mtime_ns == kept, "nothing new, nothing written"


async def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    root, cache = tmp_path / "work", tmp_path / "cache"
    root.mkdir()
    (root / "order.py").write_text("def ship_order():\n    pass\n")
    reading = Reading(root, cache)
    wanted = await reading.draw()
    reading.file.write_bytes(b"not zlib")
    assert await Reading(root, cache).draw() == wanted


async def test_reading_stops_when_its_time_is_over_and_goes_on_with_the_next_map(tmp_path: Path) -> None:
    root, cache = tmp_path / "work", tmp_path / "cache"
    root.mkdir()
    (root / "order.py").write_text("def ship_order():\n    pass\n")
    reading = Reading(root, cache)
    reading.maps = StoredMaps(reading.trees, reading.file, wait_s=-1.0)
    assert await reading.draw() == ""
    reading.maps = StoredMaps(reading.trees, reading.file)
    assert "ship_order" in await reading.draw()
