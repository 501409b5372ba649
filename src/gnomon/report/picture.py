"""picture: a scene as SVG: vCPUs with their TLBs above, tables by level, pages with their copies below, rmap chains at the foot.

Colours come from the page's style sheet. What shows a word has its index in `data-at`, so that a viewer can mark it.
"""

from __future__ import annotations

from html import escape

from gnomon.report.scene import Chain, Page, Scene, Table, Vcpu

BOX, GAP, LINE, ROW_GAP, LEAST_WIDTH = 164, 12, 17, 30, 340
PAGE_BOX = 104
LETTER = 5.9
"""Width of a letter of the picture's font, in its own units."""
NOTHING = "\N{EN DASH}"
SHOWN_FLAGS = ("W", "MMU_W", "A", "D")


class _Canvas:
    def __init__(self):
        self.parts: list[str] = []
        self.arrows: list[str] = []
        self.width, self.y = LEAST_WIDTH, 4
        self.tops: dict[int, tuple[float, float]] = {}  # word where a frame begins: middle of the upper edge of its box

    def box(self, x, y, w, h, kind: str, at: int = 0) -> None:
        self.width = max(self.width, x + w + 2)
        mark = f' data-at="{at}"' if at else ""
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="3"{mark}/>')

    def text(self, x, y, text: str, kind: str = "", room: float = 0) -> None:
        letters = int(room / LETTER) if room else len(text)
        shown = text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
        title = f"<title>{escape(text)}</title>" if shown != text else ""
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{title}{escape(shown)}</text>')

    def arrow(self, x, y, to: int, kind: str) -> None:
        """From a point to the box of the frame that begins at `to`, once all boxes are placed."""
        self.arrows.append((x, y, to, kind))

    def svg(self, label: str) -> str:
        lines = []
        for x, y, to, kind in self.arrows:
            if to in self.tops:
                tx, ty = self.tops[to]
                bend = max(14.0, abs(ty - y) / 2)
                path = f"M{x:g} {y:g}C{x + 14:g} {y:g} {tx:g} {ty - bend:g} {tx:g} {ty:g}"
                lines.append(f'<path class="arrow {kind}" d="{path}" marker-end="url(#arrowhead)"/>')
        body = "".join(self.parts) + "".join(lines)
        size = f'viewBox="0 0 {self.width:g} {self.y:g}" style="max-width:{1.25 * self.width:g}px"'
        return f'<svg role="img" aria-label="{escape(label)}" {size}>{body}</svg>'


def picture(scene: Scene) -> str:
    """One scene as an svg element."""
    canvas = _Canvas()
    if scene.vcpus:
        _row(canvas, scene.vcpus, _vcpu, BOX)
    for level in sorted({t.level for t in scene.tables}, reverse=True):
        _row(canvas, [t for t in scene.tables if t.level == level], _table, BOX)
    if scene.pages:
        _row(canvas, scene.pages, _page, PAGE_BOX)
    for chain in scene.chains:
        _chain(canvas, chain)
    return canvas.svg("page tables, TLBs, pages and rmaps at this step")


def _row(canvas: _Canvas, things, draw, width: int) -> None:
    deepest = canvas.y
    for n, thing in enumerate(things):
        deepest = max(deepest, draw(canvas, thing, 2 + n * (width + GAP), canvas.y))
    canvas.y = deepest + ROW_GAP


def _vcpu(canvas: _Canvas, vcpu: Vcpu, x: float, y: float) -> float:
    lines = max(1, len(vcpu.tlb)) + 1 + (vcpu.requests != "0")
    height = LINE * (lines + 1) + 4
    canvas.box(x, y, BOX, height, "vcpu")
    canvas.text(x + 6, y + LINE - 4, f"{vcpu.name}", "name")
    canvas.text(x + 60, y + LINE - 4, vcpu.mode, "busy" if vcpu.mode == "in guest" else "dim")
    at = y + LINE
    if vcpu.requests != "0":
        canvas.text(x + 6, at + LINE - 5, f"asked: {vcpu.requests}", "asked", BOX - 10)
        at += LINE
    canvas.text(x + 6, at + LINE - 5, "root" if any(vcpu.roots) else "no root", "dim")
    for root in vcpu.roots:
        if root:
            canvas.arrow(x + 32, at + LINE - 8, root, "walk")
    at += LINE
    for cached in vcpu.tlb:
        canvas.box(x + 4, at + 1, BOX - 8, LINE - 2, "cell", cached.at)
        canvas.text(x + 8, at + LINE - 5, f"TLB {cached.page}: {' '.join(cached.kinds)}", "", BOX - 16)
        canvas.arrow(x + BOX - 6, at + LINE / 2, cached.target, "cached")
        at += LINE
    if not vcpu.tlb:
        canvas.text(x + 6, at + LINE - 5, "TLB empty", "dim")
    return y + height


def _table(canvas: _Canvas, table: Table, x: float, y: float) -> float:
    height = LINE * (len(table.entries) + 1) + 4
    canvas.box(x, y, BOX, height, "table" if table.used else "table gone")
    canvas.tops[table.at] = (x + BOX / 2, y)
    room = BOX - 14 - LETTER * len(table.owner)
    canvas.text(x + 6, y + LINE - 4, table.name, "name" if table.used else "name dim", room)
    canvas.text(x + BOX - 6 - LETTER * len(table.owner), y + LINE - 4, table.owner, "dim")
    for n, entry in enumerate(table.entries):
        at = y + LINE * (n + 1) + 1
        canvas.box(x + 4, at, BOX - 8, LINE - 2, "cell", entry.at)
        canvas.text(x + 8, at + LINE - 6, str(entry.at - table.at), "dim")
        if not entry.target:
            canvas.text(x + 24, at + LINE - 6, NOTHING, "dim")
            continue
        left = x + 22
        for flag in SHOWN_FLAGS:
            wide = LETTER * len(flag) + 6
            has = flag in entry.flags
            if flag == "MMU_W" and table.level > 1 and not has:
                continue
            canvas.box(left, at + 2, wide, LINE - 6, f"flag {'on' if has else 'off'} {flag}")
            canvas.text(left + 3, at + LINE - 6, flag, "flagged" if has else "unflagged")
            left += wide + 3
        if entry.level:
            canvas.text(x + BOX - 26, at + LINE - 6, f"L{entry.level}", "dim")
        canvas.arrow(x + BOX - 8, at + LINE / 2, entry.target, "walk" if "W" in entry.flags else "walk readonly")
    return y + height


def _page(canvas: _Canvas, page: Page, x: float, y: float) -> float:
    copied = page.copy is not None
    height = LINE * (4 if copied else 3) + 4
    canvas.box(x, y, PAGE_BOX, height, "page")
    if page.at:
        canvas.tops[page.at] = (x + PAGE_BOX / 2, y)
    canvas.text(x + 6, y + LINE - 4, f"page {page.index}", "name")
    canvas.text(x + 48, y + LINE - 4, page.frame, "dim", PAGE_BOX - 50)
    canvas.box(x + 4, y + LINE + 1, PAGE_BOX - 8, LINE - 2, "cell", page.at)
    canvas.text(x + 8, y + 2 * LINE - 4, f"holds {page.value}" if page.at else "untouched", "", PAGE_BOX - 14)
    if copied:
        same = page.copy == page.value
        fine = same or page.dirty or page.snapshot  # what is logged will be copied again
        canvas.box(x + 4, y + 2 * LINE + 1, PAGE_BOX - 8, LINE - 2, "cell" if fine else "cell differs", page.copy_at)
        canvas.text(x + 8, y + 3 * LINE - 4, f"copy {'=' if same else '≠'} {page.copy}", "", PAGE_BOX - 14)
    logs = " ".join(name for name, on in (("dirty", page.dirty), ("snapshot", page.snapshot)) if on)
    canvas.text(x + 6, y + height - 6, logs or "not logged", "asked" if logs else "dim")
    return y + height


def _chain(canvas: _Canvas, chain: Chain) -> None:
    y, x = canvas.y, 2.0
    wide = LETTER * len(chain.name) + 12
    canvas.box(x, y, wide, LINE, "cell", chain.at)
    canvas.text(x + 6, y + LINE - 5, chain.name, "name")
    x += wide
    deepest = y + LINE
    for at, name, slots in chain.links:
        canvas.parts.append(f'<path class="arrow link" d="M{x:g} {y + LINE / 2:g}h14" marker-end="url(#arrowhead)"/>')
        x += 18
        wide = LETTER * max(len(name), *(len(text) for _, text in slots)) + 14
        height = LINE * (len(slots) + bool(name)) + 2
        canvas.box(x, y, wide, height, "table" if name else "cell", 0 if name else at)
        if name:
            canvas.text(x + 6, y + LINE - 5, name, "name")
        for n, (where, text) in enumerate(slots):
            top = y + LINE * (n + bool(name))
            if name:
                canvas.box(x + 3, top, wide - 6, LINE - 2, "cell", where)
            canvas.text(x + 7, top + LINE - 5, text or NOTHING, "" if text else "dim")
        x += wide
        deepest = max(deepest, y + height)
    if chain.end:
        if chain.links:
            canvas.parts.append(f'<path class="arrow link" d="M{x:g} {y + LINE / 2:g}h14" marker-end="url(#arrowhead)"/>')
            x += 18
        canvas.text(x + 4, y + LINE - 5, chain.end, "dim")
        canvas.width = max(canvas.width, x + 8 + LETTER * len(chain.end))
    canvas.y = deepest + GAP
