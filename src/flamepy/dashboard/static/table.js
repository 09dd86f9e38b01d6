// A table of any length: only the rows in sight, and a few around them, are in the page. The server filters,
// sorts and cuts; scrolling asks for another part.

import { h, render } from "./dom.js";
import { number } from "./format.js";

const ROW = 46; // px, as in style.css
const AROUND = 15; // rows before and after those in sight
const TALLEST = 8000000; // px; browsers draw no taller element, so longer lists are scrolled in proportion

export class Table {
  // columns: [{ name, label, sort, class, cell(row) }]; asks(offset, limit) when another part is needed.
  constructor({ label, columns, asks, sorts, opens, empty }) {
    Object.assign(this, { label, columns, asks, sorts, opens, empty });
    this.node = null;
    this.offset = 0;
    this.rows = [];
    this.matched = 0;
    this.loaded = false;
    this.chosen = -1;
    this.height = 600;
    this.timer = 0;
    this.wanted = "0:60";
    this.resized = new ResizeObserver(() => this.scrolled());
  }

  take({ rows, matched, offset, sort }) {
    Object.assign(this, { rows, matched, offset, sort, loaded: true });
  }

  get first() {
    const node = this.node;
    if (!node) return 0;
    if (!this.squeezed) return Math.floor(node.scrollTop / ROW);
    const range = TALLEST - node.clientHeight;
    return Math.round((node.scrollTop / range) * Math.max(0, this.matched - this.seen));
  }

  get seen() { return Math.max(1, Math.ceil((this.node ? this.node.clientHeight : this.height) / ROW)); }
  get squeezed() { return this.matched * ROW > TALLEST; }

  scrolled() {
    const first = this.first;
    const from = Math.max(0, Math.min(first, Math.max(0, this.matched - this.seen)) - AROUND);
    const inside = first >= this.offset && first + this.seen <= this.offset + this.rows.length;
    if (this.squeezed) this.draw();
    if (inside || this.offset + this.rows.length >= this.matched && first >= this.offset) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const limit = this.seen + 2 * AROUND;
      const wanted = `${from}:${limit}`;
      if (wanted !== this.wanted) { this.wanted = wanted; this.asks(from, limit); }
    }, 60);
  }

  toTop() {
    this.wanted = "0:60";
    this.chosen = -1;
    if (this.node) this.node.scrollTop = 0;
  }

  draw() { if (this.node) render(this.node, this.body()); }

  key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: this.seen, PageUp: -this.seen }[event.key];
    if (event.target.closest("a, button, input, select") && event.key === "Enter") return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      const row = this.rows[this.chosen - this.offset];
      if (row && this.opens) this.opens(row);
      return;
    }
    if (step === undefined && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.matched - 1 : this.chosen + step;
    this.chosen = Math.max(0, Math.min(this.matched - 1, to));
    if (!this.squeezed) {
      const y = this.chosen * ROW;
      if (y < this.node.scrollTop + ROW) this.node.scrollTop = Math.max(0, y - ROW);
      else if (y > this.node.scrollTop + this.node.clientHeight - 2 * ROW) this.node.scrollTop = y - this.node.clientHeight + 2 * ROW;
    }
    this.draw();
  }

  head() {
    return h("thead", null, h("tr", { "aria-rowindex": "1" }, this.columns.map((one) => {
      const down = this.sort === `-${one.sort}`;
      const up = this.sort === one.sort;
      return h("th", { key: one.name, class: one.class, scope: "col", "aria-sort": down ? "descending" : up ? "ascending" : null },
        one.sort
          ? h("button", { class: "sort", type: "button", onclick: () => this.sorts(down ? one.sort : `-${one.sort}`) },
            one.label, h("span", { class: "arrow", "aria-hidden": "true" }, down ? "↓" : up ? "↑" : ""))
          : one.label || h("span", { class: "hidden" }, one.name));
    })));
  }

  body() {
    const above = this.squeezed
      ? Math.max(0, (this.node ? this.node.scrollTop : 0) - (this.first - this.offset) * ROW)
      : this.offset * ROW;
    const whole = Math.min(TALLEST, this.matched * ROW);
    const below = Math.max(0, whole - above - this.rows.length * ROW);
    const gap = (name, height) => height > 0 && h("tr", { key: name, class: "gap", "aria-hidden": "true", style: { height: `${height}px` } },
      h("td", null));
    return h("table", { "aria-label": this.label, "aria-rowcount": String(this.matched + 1) }, this.head(),
      h("tbody", null, gap("~above", above),
        this.rows.map((row, place) => h("tr", {
          key: row.key,
          class: this.offset + place === this.chosen ? "row chosen" : "row",
          "aria-rowindex": String(this.offset + place + 2),
          onclick: (event) => { if (this.opens && !event.target.closest("a, button")) this.opens(row); },
        }, this.columns.map((one) => h("td", { key: one.name, class: one.class }, one.cell(row))))),
        gap("~below", below)));
  }

  view() {
    if (this.loaded && !this.matched) return h("div", { class: "table none", key: "none" }, this.empty());
    return h("div", {
      class: "table", key: "table", tabindex: "0", role: "region", "aria-label": `${this.label}, ${number(this.matched)} rows`,
      onscroll: () => this.scrolled(),
      onkeydown: (event) => this.key(event),
      mounted: (node) => { this.node = node; this.resized.observe(node); },
    }, this.body());
  }
}
