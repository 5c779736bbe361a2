"""What the machine has to give: free memory as the kernel and the container tell it."""

from pathlib import Path

from agent_lsp.workspace import machine

MIB = 1 << 20


def test_the_free_memory_is_the_machines_or_less_where_a_container_has_a_limit(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {4 << 20} kB\n")
    assert machine.free_bytes(meminfo, tmp_path) == 4 << 30
    (tmp_path / "memory.max").write_text(f"{900 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{700 * MIB}\n")
    assert machine.free_bytes(meminfo, tmp_path) == 200 * MIB
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {100 * MIB}\n")
    assert machine.free_bytes(meminfo, tmp_path) == 300 * MIB
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_bytes(meminfo, tmp_path) == 4 << 30


def test_this_machine_has_a_core_and_some_memory() -> None:
    assert machine.room().cores >= 1
    assert machine.room().free_bytes > 0
