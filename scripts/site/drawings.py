"""Draws the flowcharts of the pages as SVG, without a browser or a network.

Of Mermaid it knows what the pages use: ``flowchart TB`` or ``LR``, nodes ``a["text"]`` and
``a[(text)]``, edges ``a --> b`` and ``a -- "text" --> b``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from textwrap import wrap

NODE = r'([\w]+)(?:\["([^"]*)"\]|\[\(([^)]*)\)\]|\[([^\]]*)\])?'
EDGE = re.compile(rf'^\s*{NODE}\s*(?:--\s*(?:"([^"]*)"|(\S+))\s*)?-->\s*{NODE}\s*$')
ALONE = re.compile(rf"^\s*{NODE}\s*$")
WIDTH = 26  # characters of a node's line
CHARACTER, LINE, PADDING = 7.2, 18, 12
ON_EDGE_CHARACTER = 6.6
GAP = {"TB": (24, 34), "LR": (24, 34)}  # between nodes beside and after one another
ON_EDGE = 24  # characters of a line on an edge


@dataclass
class Box:
    """A node, or what an edge says, with its place."""

    lines: list[str]
    rank: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Its width in pixels."""
        return max(map(len, self.lines)) * CHARACTER + 2 * PADDING

    @property
    def height(self) -> float:
        """Its height in pixels."""
        return len(self.lines) * LINE + 2 * PADDING


def svg(text: str) -> str:
    """Return a flowchart as SVG that takes its colour from the text around it.

    Raises:
        ValueError: a line is not one of those that this module knows.
    """
    first, *rest = text.strip().splitlines()
    direction = first.split()[1]
    boxes: dict[str, Box] = {}
    edges: list[tuple[str, str, list[str]]] = []
    for line in rest:
        single = ALONE.match(line)
        if single is not None:
            label = single[2] or single[3] or single[4] or single[1]
            boxes[single[1]] = Box(wrap(label, WIDTH))
            continue
        found = EDGE.match(line)
        if found is None:
            raise ValueError(f"not an edge that can be drawn: {line!r}")
        ends = []
        for at in (1, 7):
            key = found[at]
            label = found[at + 1] or found[at + 2] or found[at + 3]
            box = boxes.setdefault(key, Box([key]))
            box.lines = wrap(label, WIDTH) if label else box.lines
            ends.append(key)
        said = found[5] or found[6] or ""
        edges.append((ends[0], ends[1], wrap(said, ON_EDGE)))
    for _ in boxes:  # the longest way to each
        for start, end, _said in edges:
            if boxes[end].rank <= boxes[start].rank < len(boxes):
                boxes[end].rank = boxes[start].rank + 1
    return drawn(boxes, edges, place(boxes, edges, direction))


def place(boxes: dict[str, Box], edges: list[tuple[str, str, list[str]]], way: str) -> bool:
    """Give each box its place; return whether ranks follow one another downwards.

    A chain from left to right that would be too wide for a page goes downwards as well.
    """
    down = way == "TB" or len({box.rank for box in boxes.values()}) > 4
    beside, after = GAP[way]
    lines = [line for *_, said in edges for line in said]
    most = max((len(said) for *_, said in edges), default=0)
    after += 12 + (most * LINE if down else max(map(len, lines), default=0) * ON_EDGE_CHARACTER)
    at = 0.0
    for rank in sorted({box.rank for box in boxes.values()}):
        row = [box for box in boxes.values() if box.rank == rank]
        across = 0.0
        for box in row:
            box.x, box.y = (across, at) if down else (at, across)
            across += (box.width if down else box.height) + beside
        at += max(box.height if down else box.width for box in row) + after
    widest = max((box.x + box.width if down else box.y + box.height) for box in boxes.values())
    for rank in {box.rank for box in boxes.values()}:
        row = [box for box in boxes.values() if box.rank == rank]
        used = max((box.x + box.width if down else box.y + box.height) for box in row)
        for box in row:
            if down:
                box.x += (widest - used) / 2
            else:
                box.y += (widest - used) / 2
    return down


def drawn(boxes: dict[str, Box], edges: list[tuple[str, str, list[str]]], down: bool) -> str:
    """Return the SVG of what has its place."""
    side = 0 if not down else max((len(line) for *_, s in edges for line in s), default=0) * 4
    width = max(box.x + box.width for box in boxes.values()) + 2 * side + 4
    height = max(box.y + box.height for box in boxes.values()) + 4
    parts = [
        f'<svg class="drawing" viewBox="{-side - 2:.0f} -2 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" xmlns="http://www.w3.org/2000/svg" role="img">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/>'
        "</marker></defs>",
    ]
    for start, end, said in edges:
        one, two = boxes[start], boxes[end]
        if down:
            x1, y1 = one.x + one.width / 2, one.y + one.height
            x2, y2 = two.x + two.width / 2, two.y
        else:
            x1, y1 = one.x + one.width, one.y + one.height / 2
            x2, y2 = two.x, two.y + two.height / 2
        parts.append(
            f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="currentColor" fill="none" '
            'stroke-width="1.5" marker-end="url(#tip)"/>'
        )
        x, y = (x1 + x2) / 2 + (8 if down else 0), (y1 + y2) / 2 - (len(said) - 1) * LINE / 2
        y -= 0 if down else 7  # above the line
        anchor = "start" if down else "middle"
        parts += [
            f'<text x="{x:.0f}" y="{y + at * LINE + 4:.0f}" text-anchor="{anchor}" '
            f'class="said">{escape(line)}</text>'
            for at, line in enumerate(said)
        ]
    for box in boxes.values():
        parts.append(
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" '
            f'height="{box.height:.0f}" rx="6"/>'
        )
        parts += [
            f'<text x="{box.x + box.width / 2:.0f}" '
            f'y="{box.y + PADDING + at * LINE + 13:.0f}" text-anchor="middle">{escape(line)}</text>'
            for at, line in enumerate(box.lines)
        ]
    return "".join([*parts, "</svg>"])
