// The first page: how the whole engine is, and what to look at.

import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { compact, duration, number, rate, roughly, visible } from "./format.js";
import { address, bar, card, empty, failureList, feedList, link, sessionLink, tile, totalOf } from "./parts.js";

const SPANS = [["10m", "10 min"], ["2h", "2 h"], ["7d", "7 days"]];

export class OverviewPage {
  constructor(app) {
    this.app = app;
    this.title = "Overview";
    this.ended = new Chart({
      label: "Tasks that ended", perSecond: true,
      series: [
        { name: "succeeded", label: "Succeeded", color: "--succeed", state: "succeed", fill: true },
        { name: "failed", label: "Failed", color: "--failed", state: "failed", fill: true },
      ],
    });
    this.load = new Chart({
      label: "Tasks in the engine", height: 150,
      series: [
        { name: "running", label: "Running", color: "--running", state: "running", fill: true },
        { name: "pending", label: "Waiting", color: "--pending", state: "pending" },
      ],
    });
  }

  words(words) { return { span: words.span || "" }; }

  view(doc, words) {
    const { top } = doc;
    this.ended.take(doc.series);
    this.load.take(doc.series);
    if (!totalOf(top.counts) && !top.open_sessions && !top.closed_sessions && top.away_for === null && top.age !== null) {
      return [card(null, { class: "hello" }, empty("Nothing has run here yet",
        `The engine at ${top.endpoint} answers and has no sessions. Register an application and give it work; this page follows.`,
        "flamepy apps\nflamepy sessions\nflamepy watch"))];
    }
    const span = words.span || "10m";
    const spans = h("div", { class: "choice", role: "group", "aria-label": "Time span" }, SPANS.map(([name, label]) =>
      h("button", { key: name, type: "button", "aria-pressed": String(name === span), onclick: () => this.app.change({ span: name === "10m" ? "" : name }) }, label)));
    return [
      this.tiles(doc),
      h("div", { class: "grid wide-left", key: "first" }, h("div", { class: "stack" },
        card("Throughput", { more: spans, note: doc.restored ? `continued after ${duration(doc.restored)}` : null },
          this.ended.view(), this.load.view()),
        card("Active sessions", { more: link(address("sessions"), { class: "more" }, "all sessions") }, this.active(doc)),
        card("Applications", { more: link(address("applications"), { class: "more" }, "all") }, this.applications(doc))),
      h("div", { class: "stack" },
        card("Needs attention", { more: top.attention > doc.attention.length && link(address("sessions", { state: "attention" }), { class: "more" }, `all ${top.attention}`) },
          doc.attention.length
            ? h("ul", { class: "attention" }, doc.attention.map((one) => h("li", { key: one.key },
              sessionLink(one.id), h("p", null, visible(one.reason)))))
            : empty("All well", "No session waits for a service that does not start, is overdue, or stands still.")),
        card("Latest failures", { more: link(address("failures"), { class: "more" }, "all") },
          doc.failures.length ? failureList(doc.failures) : empty("No failures", "None since this dashboard began to look.")),
        card("Live", { more: link(address("feed"), { class: "more" }, "feed") },
          doc.feed.length ? feedList(doc.feed) : empty("Quiet", "Changes appear here as they happen.")))),
    ];
  }

  tiles({ top, took }) {
    const counts = top.counts;
    const left = counts.pending + counts.running;
    return h("div", { class: "tiles", key: "tiles" },
      tile({ label: "Running", state: "running", value: compact(counts.running), to: address("tasks", { state: "running" }),
        sub: top.executors === null ? "" : `on ${number(top.executors_bound)} of ${number(top.executors)} executors` }),
      tile({ label: "Waiting", state: "pending", value: compact(counts.pending), to: address("tasks", { state: "pending" }),
        sub: left && top.eta !== null ? `done in ${top.eta < 1 ? "" : "about "}${roughly(top.eta)}` : left ? "" : "nothing left to do" }),
      tile({ label: "Succeeded", state: "succeed", value: compact(counts.succeed), to: address("tasks", { state: "succeed" }),
        sub: took.count ? `mostly ${took.p50 < 1 ? "" : "in "}${roughly(took.p50)}` : "" }),
      tile({ label: "Failed", state: "failed", value: compact(counts.failed), to: address("failures"), tone: top.failed_recently ? "bad" : "",
        sub: top.failed_recently ? `${number(top.failed_recently)} in 10 min` : "none in 10 min" }),
      tile({ label: "Throughput", value: rate(top.rate), sub: "over the last minute" }),
      tile({ label: "Sessions", value: compact(top.open_sessions), to: address("sessions", { state: "open" }),
        sub: `open; ${compact(top.closed_sessions)} closed` }));
  }

  active(doc) {
    if (!doc.active.length) return empty("No session is running tasks", "Open sessions are on the page of sessions.");
    return h("ul", { class: "lines" }, doc.active.map((one) => h("li", { key: one.key, class: "line" },
      h("div", { class: "line-name" }, sessionLink(one.id), h("span", { class: "note" }, visible(one.application))),
      h("div", { class: "line-bar" }, bar(one.counts), h("span", { class: "note" },
        `${compact(one.counts.succeed + one.counts.failed + one.counts.cancelled)} of ${compact(totalOf(one.counts))}`)),
      h("div", { class: "line-end" }, h("b", null, rate(one.rate)), h("span", { class: "note" }, one.eta === null ? "" : `${roughly(one.eta)} left`)))));
  }

  applications(doc) {
    return h("ul", { class: "lines" }, doc.applications.map((one) => h("li", { key: one.key, class: "line" },
      h("div", { class: "line-name" }, link(address("sessions", { application: one.name }), { class: "name" }, visible(one.name)),
        h("span", { class: "note" }, `${number(one.open_sessions)} open, ${number(one.closed_sessions)} closed`)),
      h("div", { class: "line-bar" }, bar(one.counts), h("span", { class: "note" },
        `${compact(one.counts.running)} running, ${compact(one.counts.pending)} waiting`)),
      h("div", { class: "line-end" }, h("b", null, rate(one.rate)), one.failures ? h("span", { class: "note bad" }, `${compact(one.failures)} failed`) : h("span", { class: "note" }, "")))));
  }
}
