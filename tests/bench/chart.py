"""Owns the chart of docs/benchmarks.md: each server beside the baseline, on a logarithmic scale, as an SVG.

Bars begin at the baseline, 1 ×, and reach to the left where a server takes less and to the right where it takes more.
Figures of which more is better are turned round (time instead of rate), so that left is always better.
"""

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from tests.bench.measure import Comparison

_LEAST: Final = 0.01
_MOST: Final = 100.0
_TICKS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
_WIDTH: Final = 920
_LEFT: Final = 262
_RIGHT: Final = 862
_BAR: Final = 11
_GAP: Final = 18
_HEAD: Final = 104
_FOOT: Final = 34

_STYLE: Final = """
  .card { fill: #ffffff; stroke: #d0d7de; } .band { fill: #f6f8fa; }
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 11px; fill: #57606a; }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328; } .row { font-size: 12px; fill: #1f2328; }
  .ours-text { font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d8dee4; } .base { stroke: #57606a; stroke-width: 1.5; }
  .aim { stroke: #1a7f37; stroke-width: 1.5; stroke-dasharray: 3 3; } .mark { fill: #1a7f37; }
  .aim-text { fill: #1a7f37; font-weight: 600; } .inside { fill: #ffffff; }
  .halo { paint-order: stroke; stroke-width: 4px; stroke-linejoin: round; stroke: #ffffff; }
  .s0 { fill: #0969da; } .s1 { fill: #bf8700; } .s2 { fill: #cf5f8f; } .s3 { fill: #8c959f; } .s4 { fill: #57a05a; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; } .band { fill: #161b22; }
    text { fill: #9198a1; } .title, .row, .ours-text { fill: #f0f6fc; }
    .grid { stroke: #262c36; } .base { stroke: #9198a1; } .aim { stroke: #3fb950; } .aim-text, .mark { fill: #3fb950; }
    .inside { fill: #0d1117; } .halo { stroke: #0d1117; }
    .s0 { fill: #4493f8; } .s1 { fill: #d29922; } .s2 { fill: #db7aa5; } .s3 { fill: #6e7681; } .s4 { fill: #4c9a52; }
  }
"""


def chart(rows: Sequence[Comparison], servers: Sequence[str], baseline: str, caption: str) -> str:
    """The SVG. `servers` are drawn in their order, ours first; a row without the baseline's figure is left out."""
    drawn = [row for row in rows if row.figures.get(baseline) and row.unit]
    height_px = len(servers) * _BAR + _GAP
    total_px = _HEAD + len(drawn) * height_px + _FOOT
    label = f"{', '.join(servers)} compared with {baseline} in {len(drawn)} measurements"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total_px}" role="img"',
        f' aria-label="{escape(label)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{total_px - 1}" rx="8"/>',
        _text(20, 28, f"The edge beside other servers ({baseline} = 1)", "title"),
        _text(20, 47, caption),
        *_legend(servers, baseline),
        *_grid(total_px, len(drawn), height_px),
    ]
    for number, row in enumerate(drawn):
        parts += _group(row, servers, baseline, _HEAD + number * height_px)
    base_x, end = _x(1.0), total_px - _FOOT
    parts.append(f'<line class="base" x1="{base_x:.1f}" y1="{_HEAD - 4}" x2="{base_x:.1f}" y2="{end}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _legend(servers: Sequence[str], baseline: str) -> list[str]:
    parts, x = [], 20.0
    for number, name in enumerate(servers):
        parts.append(f'<rect class="s{number % 5}" x="{x:.0f}" y="60" width="11" height="11" rx="2"/>')
        parts.append(_text(x + 16, 70, name, "" if number else "ours-text"))
        x += 34 + 6.6 * len(name)
    parts.append(f'<line class="base" x1="{x + 5:.0f}" y1="59" x2="{x + 5:.0f}" y2="72"/>')
    parts.append(_text(x + 14, 70, baseline))
    x += 32 + 6.6 * len(baseline)
    parts += _aim_mark(x + 5, 61, 73)
    parts.append(_text(x + 14, 70, "our aim", "aim-text"))
    return parts


def _grid(total_px: int, rows: int, height_px: int) -> list[str]:
    parts = []
    for number in range(0, rows, 2):
        y = _HEAD + number * height_px
        parts.append(f'<rect class="band" x="1" y="{y}" width="{_WIDTH - 2}" height="{height_px}"/>')
    for tick in _TICKS:
        x = _x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_HEAD}" x2="{x:.1f}" y2="{total_px - _FOOT}"/>')
        parts.append(_text(x, _HEAD - 8, f"{tick:g} ×", anchor="middle"))
    parts.append(_text(_x(0.1), total_px - 13, "← less time or memory", anchor="middle"))
    parts.append(_text(_x(10), total_px - 13, "more →", anchor="middle"))
    return parts


def _group(row: Comparison, servers: Sequence[str], baseline: str, top: int) -> list[str]:
    bars_px = len(servers) * _BAR
    middle = top + (bars_px + _GAP) / 2
    parts = [_text(20, middle - 2, row.name.replace("`", ""), "row")]
    parts.append(_text(20, middle + 13, f"{baseline} {row.text(baseline)}"))
    aim = _aim(row, baseline)
    if aim is not None:
        parts += _aim_mark(_x(aim), top + _GAP / 2 - 3, top + _GAP / 2 + bars_px)
    for number, name in enumerate(servers):
        share = _share(row, name, baseline)
        if share is not None:
            y = top + _GAP / 2 + number * _BAR
            begin, end = sorted((_x(share), _x(1.0)))
            parts.append(_bar(number, begin, y, max(end - begin, 1.5)))
            parts.append(_label(row.text(name), share, y + _BAR - 2.5, "ours-text" if number == 0 else ""))
    return parts


def _label(text: str, share: float, y: float, style: str) -> str:
    """Beyond the bar's end; inside it, and marked, where the chart's edge cuts the bar off."""
    x = _x(share)
    if share < _LEAST:
        return _text(x + 5, y, f"\u00ab {text}", f"inside {style}".strip())
    if share > _MOST:
        return _text(x - 5, y, f"{text} \u00bb", f"inside {style}".strip(), "end")
    return _text(x - 5 if share < 1 else x + 6, y, text, f"halo {style}".strip(), "end" if share < 1 else "start")


def _aim_mark(x: float, top: float, bottom: float) -> list[str]:
    return [
        f'<line class="aim" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>',
        f'<path class="mark" d="M{x - 4.5:.1f} {top - 3:.1f}h9l-4.5 6z"/>',
    ]


def _bar(number: int, x: float, y: float, width: float) -> str:
    return f'<rect class="s{number % 5}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR - 2}" rx="1.5"/>'


def _share(row: Comparison, name: str, baseline: str) -> float | None:
    """How many times the baseline's time or memory; nothing, and less, counts as next to nothing."""
    ratio = row.ratio(name, baseline)
    if ratio is None:
        return None
    if row.more_is_better:
        return 1 / ratio if ratio > 0 else None
    return max(ratio, _LEAST / 10)


def _aim(row: Comparison, baseline: str) -> float | None:
    figure = row.figures.get(baseline)
    if row.bound is not None and figure:
        return row.bound / figure
    if row.aim is None:
        return None
    return 1 / row.aim if row.more_is_better else row.aim


def _x(share: float) -> float:
    inside = min(max(share, _LEAST), _MOST)
    return _LEFT + (_RIGHT - _LEFT) * math.log(inside / _LEAST) / math.log(_MOST / _LEAST)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
