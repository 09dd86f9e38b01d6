// Applications, sessions, tasks, failures.

import { h } from "./dom.js";
import { compact, duration, number, percent, rate, roughly, visible } from "./format.js";
import { LABEL, address, badge, bar, card, empty, failureList, link, sessionLink, taskLink, time, totalOf } from "./parts.js";
import { Table } from "./table.js";

const num = "num";

class ListPage {
  constructor(app) { this.app = app; this.offset = 0; this.limit = 60; }

  makeTable(label, columns, opens, none) {
    this.table = new Table({
      label, columns, opens, empty: none,
      sorts: (sort) => { this.table.toTop(); this.part(0, 60, false); this.app.change({ sort }); },
      asks: (offset, limit) => this.part(offset, limit, true),
    });
  }

  part(offset, limit, again) {
    this.offset = offset;
    this.limit = limit;
    if (again) this.app.again();
  }

  filter(words) {
    this.table.toTop();
    this.part(0, 60, false);
    this.app.change(words);
  }

  search(words, placeholder) {
    let waits = 0;
    return h("input", {
      class: "search", type: "search", id: "filter", placeholder, "aria-label": placeholder, value: words.text || "", spellcheck: "false", autocomplete: "off",
      oninput: (event) => { clearTimeout(waits); const text = event.target.value; waits = setTimeout(() => this.filter({ text }), 150); },
    });
  }

  chips(name, words, all) {
    return h("div", { class: "choice", role: "group", "aria-label": "State" }, all.map(([value, label]) =>
      h("button", { key: value || "all", type: "button", "aria-pressed": String((words[name] || "") === value), onclick: () => this.filter({ [name]: value }) }, label)));
  }

  chosen(words, name, label) {
    return words[name] && h("span", { class: "chosen-word" }, `${label} `, h("b", null, visible(words[name])),
      h("button", { type: "button", "aria-label": `Remove the filter ${label}`, onclick: () => this.filter({ [name]: "" }) }, "×"));
  }
}

export class SessionsPage extends ListPage {
  constructor(app) {
    super(app);
    this.title = "Sessions";
    this.makeTable("Sessions", [
      { name: "Session", label: "Session", sort: "id", class: "main", cell: (one) => h("div", { class: "two" }, sessionLink(one.id), bar(one.counts, "phone"), h("span", { class: "note" }, visible(one.application))) },
      { name: "Tasks", label: "Progress", sort: "progress", class: "progress", cell: (one) => h("div", { class: "two" }, bar(one.counts), h("span", { class: "note" }, `${percent(one.progress)} of ${compact(totalOf(one.counts))}`)) },
      { name: "Why", label: "Why", class: "reason", cell: (one) => h("span", { class: `why is-${one.level}`, title: visible(one.reason) }, h("i", { class: `dot is-${one.level}`, "aria-hidden": "true" }), visible(one.reason)) },
      { name: "Waiting", label: "Waiting", sort: "pending", class: `${num} p2`, cell: (one) => compact(one.counts.pending) },
      { name: "Running", label: "Running", sort: "running", class: `${num} p2`, cell: (one) => compact(one.counts.running) },
      { name: "Failed", label: "Failed", sort: "failed", class: `${num} p2`, cell: (one) => h("span", { class: one.counts.failed ? "bad" : "quiet" }, compact(one.counts.failed)) },
      { name: "Rate", label: "Rate", sort: "rate", class: `${num} p3`, cell: (one) => h("span", { class: one.rate ? "" : "quiet" }, one.rate ? rate(one.rate) : "–") },
      { name: "Left", label: "Left", class: `${num} p3`, cell: (one) => h("span", { class: one.eta === null ? "quiet" : "" }, one.eta !== null && one.eta < 1 ? "< 1 s" : roughly(one.eta)) },
      { name: "Created", label: "Created", sort: "created", class: `${num} p3`, cell: (one) => time(one.created) },
    ], (one) => app.go(address("session", { session: one.id })),
    () => (this.filtered
      ? empty("No session matches", "Remove a filter to see more.")
      : empty("No sessions yet", "A session appears here as soon as a client opens one.", 'from flamepy import create_session\nsession = create_session("my-app")')));
  }

  words(words) {
    return { text: words.text, application: words.application, state: words.state, sort: words.sort, offset: this.offset || "", limit: this.limit };
  }

  view(doc, words) {
    this.filtered = Boolean(words.text || words.application || words.state);
    this.table.take({ rows: doc.rows, matched: doc.matched, offset: doc.offset, sort: words.sort || "-created" });
    return [h("div", { class: "tools", key: "tools" }, this.search(words, "Filter by id or application"),
      this.chips("state", words, [["", "All"], ["attention", "Attention"], ["running", "Running"], ["waiting", "Waiting"], ["idle", "Idle"], ["closed", "Closed"]]),
      this.chosen(words, "application", "application"),
      h("span", { class: "matched", role: "status" }, doc.matched === doc.total ? `${number(doc.total)} sessions` : `${number(doc.matched)} of ${number(doc.total)} sessions`)),
    card(null, { class: "flush", key: "list" }, this.table.view())];
  }
}

export class TasksPage extends ListPage {
  constructor(app, inSession) {
    super(app);
    this.title = "Tasks";
    const columns = [
      { name: "Task", label: "Task", sort: "id", class: "main", cell: (one) => h("div", { class: "two" }, taskLink(one.session, one.id), !inSession && h("span", { class: "note" }, visible(one.session))) },
      { name: "State", label: "State", sort: "state", class: "state", cell: (one) => badge(one.state) },
      { name: "Error", label: "Error", sort: "error", class: "reason", cell: (one) => h("span", { class: "error-text", title: visible(one.error) }, visible(one.error)) },
      { name: "Application", label: "Application", class: "p2", cell: (one) => h("span", { class: "quiet" }, visible(one.application)) },
      { name: "Took", label: "Took", sort: "took", class: `${num} p2`, cell: (one) => h("span", { class: one.took === null ? "quiet" : "" }, one.took === 0 ? "< 1 s" : duration(one.took)) },
      { name: "Created", label: "Created", sort: "created", class: `${num} p3`, cell: (one) => time(one.created) },
      { name: "Ended", label: "Ended", sort: "ended", class: `${num} p3`, cell: (one) => time(one.ended) },
    ].filter((one) => !inSession || one.name !== "Application");
    this.makeTable("Tasks", columns, (one) => app.go(address("task", { session: one.session, task: one.id })),
      () => (this.filtered
        ? empty("No task matches", "Remove a filter to see more.")
        : empty("No tasks yet", "Tasks appear here as soon as a client creates one.")));
  }

  words(words) {
    return { session: words.session, application: words.application, text: words.text, state: words.state, sort: words.sort, offset: this.offset || "", limit: this.limit };
  }

  tools(doc, words, inSession) {
    return h("div", { class: "tools", key: "tools" }, this.search(words, "Filter by number or error"),
      this.chips("state", words, [["", "All"], ...["running", "pending", "succeed", "failed", "cancelled"].map((one) => [one, LABEL[one]])]),
      !inSession && this.chosen(words, "session", "session"), this.chosen(words, "application", "application"),
      h("span", { class: "matched", role: "status" }, `${number(doc.matched)} of ${number(doc.total)} tasks`,
        doc.left_out && h("span", { class: "left-out" }, `; ${doc.left_out}`)));
  }

  list(doc, words) {
    this.filtered = Boolean(words.text || words.application || words.state);
    this.table.take({ rows: doc.rows, matched: doc.matched, offset: doc.offset, sort: words.sort || "-created" });
    return this.table.view();
  }

  view(doc, words) {
    return [this.tools(doc, words, false), card(null, { class: "flush", key: "list" }, this.list(doc, words))];
  }
}

export class ApplicationsPage extends ListPage {
  constructor(app) {
    super(app);
    this.title = "Applications";
    this.makeTable("Applications", [
      { name: "Application", label: "Application", class: "main", cell: (one) => h("div", { class: "two" }, link(address("sessions", { application: one.name }), { class: "name" }, visible(one.name)), h("span", { class: "note" }, `${number(one.open_sessions)} open, ${number(one.closed_sessions)} closed sessions`)) },
      { name: "Tasks", label: "Tasks", class: "progress", cell: (one) => h("div", { class: "two" }, bar(one.counts), h("span", { class: "note" }, `${compact(totalOf(one.counts))} tasks`)) },
      { name: "Waiting", label: "Waiting", class: num, cell: (one) => compact(one.counts.pending) },
      { name: "Running", label: "Running", class: num, cell: (one) => compact(one.counts.running) },
      { name: "Failed", label: "Failed", class: `${num} p2`, cell: (one) => h("span", { class: one.counts.failed ? "bad" : "quiet" }, compact(one.counts.failed)) },
      { name: "Rate", label: "Rate", class: `${num} p2`, cell: (one) => rate(one.rate) },
      { name: "Left", label: "Left", class: `${num} p3`, cell: (one) => roughly(one.eta) },
      { name: "Executors", label: "Executors", class: `${num} p3`, cell: (one) => number(one.executors) },
    ], (one) => app.go(address("sessions", { application: one.name })),
    () => (this.filtered
      ? empty("No application matches", "Remove the filter to see more.")
      : empty("No application has a session", "Registered applications appear here when a session of theirs is opened.", "flamepy apps")));
  }

  words(words) { return { text: words.text }; }

  view(doc, words) {
    this.filtered = Boolean(words.text);
    this.table.take({ rows: doc.rows, matched: doc.rows.length, offset: 0, sort: "" });
    return [h("div", { class: "tools", key: "tools" }, this.search(words, "Filter by name"),
      h("span", { class: "matched", role: "status" }, `${number(doc.rows.length)} applications`)),
    card(null, { class: "flush", key: "list" }, this.table.view())];
  }
}

export class FailuresPage {
  constructor(app) { this.app = app; this.title = "Failures"; }

  words(words) { return { sort: words.sort, application: words.application }; }

  view(doc, words) {
    const order = h("div", { class: "choice", role: "group", "aria-label": "Order" }, [["", "Most frequent"], ["last", "Latest"]].map(([value, label]) =>
      h("button", { key: value || "count", type: "button", "aria-pressed": String((words.sort || "") === value), onclick: () => this.app.change({ sort: value }) }, label)));
    return [h("div", { class: "tools", key: "tools" }, order,
      h("span", { class: "matched", role: "status" }, `${number(doc.matched)} kinds`, doc.left_out && `; ${doc.left_out}`)),
    card(null, { key: "list" }, doc.rows.length ? failureList(doc.rows)
      : empty("No failures", "Failed tasks are grouped here by what their texts have in common; numbers and ids do not matter."))];
  }
}
