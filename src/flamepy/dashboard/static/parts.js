// What several pages are made of.

import { h } from "./dom.js";
import { ago, compact, full, number, visible } from "./format.js";

export const STATES = ["succeed", "failed", "cancelled", "running", "pending"];
export const LABEL = {
  pending: "Waiting", running: "Running", succeed: "Succeeded", failed: "Failed", cancelled: "Cancelled",
};

const PATHS = {
  overview: "M2 9l6-6 6 6M4 8v5.500h8V8",
  applications: "M2.500 2.500h4.500v4.500H2.500zM9 2.500h4.500v4.500H9zM2.500 9h4.500v4.500H2.500zM9 9h4.500v4.500H9z",
  sessions: "M2.500 4h11M2.500 8h11M2.500 12h7",
  tasks: "M2.500 4.500l1.500 1.500 2.500-3M2.500 11l1.500 1.500 2.500-3M9 4.500h4.500M9 11h4.500",
  failures: "M8 2.500l6 11H2zM8 6.500v3.500M8 11.800v.2",
  handlers: "M5 2.500v4M11 2.500v4M3.500 6.500h9v2a4.500 4.500 0 0 1-9 0zM8 13v1.500",
  lag: "M8 2.500a5.500 5.500 0 1 1-.01 0M8 5v3.200l2.200 1.500",
  feed: "M3 13a1 1 0 1 0 .01 0M2.500 8a5.500 5.500 0 0 1 5.500 5.500M2.500 3.500a10 10 0 0 1 10 10",
  nodes: "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5v.01M5 11v.01",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M4.500 3l8 5-8 5z",
  sun: "M8 5.200a2.800 2.800 0 1 1-.01 0M8 1.500v1.500M8 13v1.500M1.500 8h1.500M13 8h1.500M3.400 3.400l1 1M11.600 11.600l1 1M3.400 12.600l1-1M11.600 4.400l1-1",
  moon: "M13 9.800A5.500 5.500 0 1 1 6.500 2.800a4.500 4.500 0 0 0 6.500 7z",
  keys: "M1.500 4h13v8h-13zM4 6.500v.01M6.600 6.500v.01M9.300 6.500v.01M12 6.500v.01M4.500 9.700h7",
  back: "M9.500 3.500L5 8l4.500 4.500",
};

export function icon(name) {
  return h("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    h("path", { d: PATHS[name] || "" }));
}

// A link that changes the page without loading it.
export function link(address, props, ...kids) {
  return h("a", { ...props, href: address, "data-go": "1" }, ...kids);
}

export function address(page, words = {}) {
  const given = Object.entries(words).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return `/${page === "overview" ? "" : page}${text ? `?${text}` : ""}`;
}

export const sessionLink = (id, props) =>
  link(address("session", { session: id }), { class: "name", title: visible(id), ...props }, visible(id));
export const taskLink = (session, id, text) =>
  link(address("task", { session, task: id }), { class: "name" }, text || `#${id}`);

export function badge(state, text) {
  return h("span", { class: `badge is-${state}` }, h("i", { class: "dot", "aria-hidden": "true" }), text || LABEL[state] || state);
}

export function time(moment) {
  return h("time", { title: full(moment), datetime: full(moment), class: "quiet" }, ago(moment));
}

export const totalOf = (counts) => STATES.reduce((sum, name) => sum + counts[name], 0);

// How a session's tasks are shared out, as a bar; the numbers are its name for a screen reader.
export function bar(counts, more) {
  const total = totalOf(counts);
  const words = STATES.filter((name) => counts[name]).map((name) => `${number(counts[name])} ${LABEL[name].toLowerCase()}`);
  return h("div", { class: more ? `bar ${more}` : "bar", role: "img", "aria-label": words.join(", ") || "no tasks" },
    STATES.filter((name) => counts[name]).map((name) =>
      h("i", { key: name, class: `part is-${name}`, style: { "flex-grow": String(Math.max(counts[name] / total, 0.012)) } })));
}

export function tile({ label, value, state, sub, to, tone }) {
  const kids = [
    h("span", { class: "tile-label" }, state && h("i", { class: `dot is-${state}`, "aria-hidden": "true" }), label),
    h("span", { class: tone ? `tile-value ${tone}` : "tile-value" }, value),
    h("span", { class: "tile-sub" }, sub || "\u00a0"),
  ];
  return to ? link(to, { class: "tile", key: label }, kids) : h("div", { class: "tile", key: label }, kids);
}

export function card(title, props, ...kids) {
  const { more, note, ...rest } = props || {};
  return h("section", { ...rest, class: `card ${rest.class || ""}` },
    title && h("header", { class: "card-head" }, h("h2", null, title), note && h("span", { class: "note" }, note), more),
    kids);
}

export function empty(title, text, command) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", null, text),
    command && h("pre", { class: "command", tabindex: "0" }, command));
}

export function facts(rows) {
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) =>
    h("div", { key: name }, h("dt", null, name), h("dd", null, value))));
}

export function quantiles(title, found, format, note) {
  const cells = ["p50", "p90", "p99", "most"].map((name) =>
    h("div", { class: "quantile", key: name }, h("span", null, name === "most" ? "max" : name), h("b", null, format(found[name]))));
  return h("div", { class: "quantiles" }, h("h3", null, title), note && h("p", { class: "note" }, note),
    h("div", { class: "quantile-row" }, cells), h("p", { class: "note" }, `${number(found.count)} in the last 10 min`));
}

export function failureList(rows) {
  return h("ul", { class: "failures" }, rows.map((one) =>
    h("li", { key: one.key },
      h("div", { class: "failure-head" },
        h("span", { class: "count" }, compact(one.count), h("span", { class: "times" }, "×")), time(one.last)),
      link(address("tasks", { state: "failed", text: longest(one.text) }), { class: "failure-text" }, visible(one.text)),
      h("p", { class: "note" }, visible(one.applications.join(", "))))));
}

// The longest part of a text without a number in it, to look for.
export function longest(text) {
  return text.split("#").reduce((best, one) => (one.trim().length > best.length ? one.trim() : best), "").slice(0, 80);
}

export function feedList(rows) {
  return h("ol", { class: "feed" }, rows.map((one) => h("li", { key: one.key, class: `feed-row is-${one.what.replace(" ", "-")}` },
    h("time", { class: "quiet", title: full(one.at) }, ago(one.at)),
    h("span", { class: `badge is-${one.what.replace(" ", "-")}` }, h("i", { class: "dot", "aria-hidden": "true" }), LABEL[one.what] || one.what),
    h("span", { class: "feed-what" },
      one.session && sessionLink(one.session),
      one.task && (one.count > 1 ? h("b", { class: "times" }, `× ${number(one.count)}`) : taskLink(one.session, one.task)),
      one.text && h("span", { class: "feed-text" }, visible(one.text))))));
}
