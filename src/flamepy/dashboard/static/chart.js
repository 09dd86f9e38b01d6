// Charts over time, with uPlot. A bucket in which the engine was not seen is a gap.

import { h } from "./dom.js";
import { compact, duration, moment, rate } from "./format.js";

const POINTS = 150;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  // series: [{ name, label, color, fill }]; perSecond: counts become rates.
  constructor({ label, series, perSecond, height }) {
    Object.assign(this, { label, series, perSecond, height: height || 220 });
    this.plot = null;
    this.node = null;
    this.columns = null;
    this.resized = new ResizeObserver(() => this.size());
    const themes = matchMedia("(prefers-color-scheme: dark)");
    themes.addEventListener("change", () => this.remake());
    addEventListener("themechange", () => this.remake());
  }

  // Buckets are put together so that a point is some pixels wide; a part of the last one is left out.
  data() {
    const { step, start, values } = this.columns;
    const count = values[this.series[0].name].length;
    const together = Math.max(1, Math.ceil(count / POINTS));
    const first = Math.round(start / step);
    const skipped = (together - (first % together)) % together;
    const points = Math.max(1, Math.floor((count - skipped - (this.perSecond ? 1 : 0)) / together));
    const times = Array.from({ length: points }, (_, place) => start + (skipped + place * together) * step);
    const lines = this.series.map((one) => times.map((_, place) => {
      const from = skipped + place * together;
      const known = values[one.name].slice(from, from + together).filter((value) => value !== null);
      if (!known.length) return null;
      const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
      return this.perSecond ? mean / step : mean;
    }));
    return [times, ...lines];
  }

  options(width) {
    const axis = { stroke: style("--muted"), font: `11px ${style("--font")}`, ticks: { show: false }, grid: { stroke: style("--line"), width: 1 } };
    return {
      width, height: this.height,
      padding: [10, 8, 0, 0],
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high || 0, this.perSecond ? 0.1 : 1) * 1.1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 26, gap: 6, space: 70, values: (_, ticks) => ticks.map((one) => this.tick(one)) },
        { ...axis, size: 48, space: 36, values: (_, ticks) => ticks.map((one) => (this.perSecond ? rate(one) : compact(one))) },
      ],
      series: [{}, ...this.series.map((one) => ({
        label: one.label, stroke: style(one.color), width: 1.8, points: { show: false }, spanGaps: false,
        fill: one.fill ? `color-mix(in srgb, ${style(one.color)} 14%, transparent)` : undefined,
      }))],
      hooks: { setCursor: [(plot) => this.pointed(plot)] },
    };
  }

  tick(at) {
    const date = new Date(at * 1000);
    if (this.columns.step >= 300) return date.toLocaleDateString([], { weekday: "short", day: "numeric" });
    return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  }

  pointed(plot) {
    const place = plot.cursor.idx;
    const box = this.node && this.node.parentNode.querySelector(".chart-now");
    if (!box) return;
    if (place === null || place === undefined) { box.textContent = ""; return; }
    const words = this.series.map((one, at) => {
      const value = plot.data[at + 1][place];
      return `${one.label} ${value === null || value === undefined ? "unknown" : this.perSecond ? rate(value) : compact(Math.round(value))}`;
    });
    box.textContent = `${moment(plot.data[0][place])}  ${words.join("  ")}`;
  }

  take(columns) {
    if (columns === this.columns) return;
    this.columns = columns;
    this.draw();
  }

  draw() {
    if (!this.node || !this.columns) return;
    if (this.plot) this.plot.setData(this.data());
    else if (this.node.clientWidth) this.plot = new uPlot(this.options(this.node.clientWidth), this.data(), this.node);
  }

  size() {
    if (!this.node || !this.node.clientWidth) return;
    if (this.plot) this.plot.setSize({ width: this.node.clientWidth, height: this.height });
    else this.draw();
  }

  remake() {
    if (this.plot) { this.plot.destroy(); this.plot = null; }
    this.draw();
  }

  words() {
    if (!this.columns) return this.label;
    const { step, values } = this.columns;
    const count = values[this.series[0].name].length;
    const sums = this.series.map((one) => {
      const column = values[one.name];
      if (this.perSecond) return `${compact(column.reduce((sum, value) => sum + (value || 0), 0))} ${one.label.toLowerCase()}`;
      return `${one.label.toLowerCase()} ${compact(column[count - 1] || 0)}`;
    });
    return `${this.label}, last ${duration(step * count)}: ${sums.join(", ")}`;
  }

  view() {
    return h("div", { class: "chart", key: this.label },
      h("div", { class: "chart-head" },
        h("div", { class: "legend" }, this.series.map((one) => h("span", { key: one.name, class: "legend-entry" },
          h("i", { class: `dot is-${one.state}`, "aria-hidden": "true" }), one.label))),
        h("output", { class: "chart-now", foreign: true, "aria-hidden": "true" })),
      h("div", {
        class: "plot", role: "img", "aria-label": this.words(), foreign: true, style: { height: `${this.height}px` },
        mounted: (node) => {
          this.node = node;
          if (this.plot) { this.plot.destroy(); this.plot = null; }
          this.resized.disconnect();
          this.resized.observe(node);
          requestAnimationFrame(() => this.draw());
        },
      }));
  }
}
