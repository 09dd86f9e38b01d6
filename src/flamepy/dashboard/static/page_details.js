// One session, one task.

import { h } from "./dom.js";
import { ago, bytes, compact, duration, full, moment, number, percent, rate, roughly, visible } from "./format.js";
import { LABEL, address, badge, bar, card, empty, facts, icon, link, sessionLink, tile, totalOf } from "./parts.js";
import { TasksPage } from "./page_lists.js";

export class SessionPage {
  constructor(app) {
    this.app = app;
    this.title = "Session";
    this.tasks = new TasksPage(app, true);
  }

  words(words) { return { ...this.tasks.words(words), session: words.session, application: "" }; }

  view(doc, words) {
    if (!doc.session) {
      return [card(null, { key: "gone" }, empty("This session is not here", `${visible(words.session || "")} was deleted, or never existed.`),
        h("p", { class: "center" }, link(address("sessions"), { class: "more" }, "All sessions")))];
    }
    const one = doc.session;
    this.title = one.id;
    const counts = one.counts;
    const act = (kind, title, text) => this.app.actions && h("button", { type: "button", class: "button", onclick: () => this.app.act(`session/${kind}`, { session: one.id }, title, text) }, title);
    return [
      h("div", { class: "lead", key: "lead" },
        h("p", { class: `why big is-${one.level}` }, h("i", { class: `dot is-${one.level}`, "aria-hidden": "true" }), visible(one.reason)),
        h("div", { class: "buttons" },
          one.state === "open" && act("close", "Close session", `Waiting tasks of ${one.id} are cancelled; tasks that run keep it from closing.`),
          one.state === "closed" && act("delete", "Delete session", `${one.id} and all its tasks are deleted. This cannot be undone.`))),
      h("div", { class: "tiles", key: "tiles" },
        tile({ label: "Done", value: percent(one.progress), sub: `${compact(counts.succeed + counts.failed + counts.cancelled)} of ${compact(totalOf(counts))}` }),
        tile({ label: "Waiting", state: "pending", value: compact(counts.pending) }),
        tile({ label: "Running", state: "running", value: compact(counts.running), sub: `${number(doc.executors.length)} executors` }),
        tile({ label: "Succeeded", state: "succeed", value: compact(counts.succeed) }),
        tile({ label: "Failed", state: "failed", value: compact(counts.failed), tone: counts.failed ? "bad" : "" }),
        tile({ label: "Rate", value: rate(one.rate), sub: one.eta === null ? "" : `${roughly(one.eta)} left` })),
      bar(counts, "tall"),
      h("div", { class: "grid wide-left", key: "more" },
        h("div", { key: "tasks" }, this.tasks.tools(doc.tasks, words, true), card(null, { class: "flush" }, this.tasks.list(doc.tasks, words))),
        h("div", { class: "stack", key: "facts" },
          card("About", null, facts([
            ["Application", link(address("sessions", { application: one.application }), { class: "name" }, visible(one.application))],
            ["State", badge(one.state, one.state)],
            ["Created", h("span", { title: full(one.created) }, ago(one.created))],
            one.ended && ["Closed", h("span", { title: full(one.ended) }, ago(one.ended))],
            ["Priority", number(one.priority)],
            ["Executors", `${number(one.min_instances)} to ${one.max_instances === null ? "any number" : number(one.max_instances)}`],
            one.resreq && ["Each needs", `${one.resreq.cpu} CPU, ${bytes(one.resreq.memory)}${one.resreq.gpu ? `, ${one.resreq.gpu} GPU` : ""}`],
            ["Common data", one.common_data === null ? "none" : bytes(one.common_data)],
          ])),
          doc.executors.length > 0 && card("Executors", null, h("ul", { class: "plain" }, doc.executors.map((each) => h("li", { key: each.key },
            badge(each.state, each.state), h("span", { class: "note" }, `${visible(each.node)}, since ${ago(each.since)}`))))),
          doc.events.length > 0 && card("Engine events", null, h("ul", { class: "plain" }, doc.events.slice().reverse().map((each, place) => h("li", { key: String(place) },
            h("span", { class: "note" }, each.at ? ago(each.at) : `code ${each.code}`), h("p", { class: "wrap" }, visible(each.text)))))))),
    ];
  }
}

export class TaskPage {
  constructor(app) {
    this.app = app;
    this.title = "Task";
    this.at = "";
    this.detail = null;
    this.seen = null;
    this.shown = {};
  }

  words(words) { return { session: words.session, task: words.task }; }

  async read(words, state) {
    const at = `${words.session}/${words.task}`;
    if (at !== this.at) { this.detail = null; this.shown = {}; this.why = null; }
    if (at === this.at && state === this.seen) return;
    this.at = at;
    this.seen = state;
    if (!/^\d+$/.test(words.task || "")) {
      this.detail = { error: "A task's id is a number.", error_status: 400 };
      return;
    }
    const query = new URLSearchParams({ session: words.session || "", task: words.task || "" });
    const [detail, why] = await Promise.all([this.app.get(`/api/task?${query}`), this.app.get(`/api/explain?${query}`)]);
    if (at !== this.at) return;
    this.detail = detail;
    this.why = why;
    this.app.draw();
  }

  async preview(words, of) {
    const query = new URLSearchParams({ session: words.session, task: words.task, of });
    this.shown = { ...this.shown, [of]: { text: "", kind: "reading" } };
    this.app.draw();
    this.shown = { ...this.shown, [of]: await this.app.get(`/api/preview?${query}`) };
    this.app.draw();
  }

  view(doc, words) {
    this.title = `Task ${words.task || ""}`;
    this.read(words, doc.state);
    const detail = this.detail && !this.detail.error_status ? this.detail : null;
    const state = detail ? detail.task.state : doc.state;
    if (!state && this.detail) {
      return [card(null, { key: "gone" }, empty("This task is not here", this.detail.error), h("p", { class: "center" }, link(address("sessions"), { class: "more" }, "All sessions")))];
    }
    const application = doc.application;
    return [
      h("div", { class: "lead", key: "lead" },
        h("p", { class: "big" }, state ? badge(state) : "reading"),
        h("p", { class: "note" }, "in ", sessionLink(words.session), application && [" of ", visible(application)])),
      detail && detail.error && card("Error", { key: "error", class: "is-error", note: detail.error_length > detail.error.length ? `the first ${number(detail.error.length)} of ${number(detail.error_length)} characters` : null },
        h("pre", { class: "long", tabindex: "0" }, visible(detail.error))),
      h("div", { class: "grid even", key: "both" },
        card("Timeline", { note: "by the engine's clock, and as seen from here" }, this.timeline(doc, detail)),
        h("div", { class: "stack" },
          card("About", null, facts([
            detail && detail.task.took !== null && ["Took", detail.task.took === 0 ? "under 1 s" : duration(detail.task.took)],
            detail && ["Created", h("span", { title: full(detail.task.created) }, `${ago(detail.task.created)}`)],
            detail && ["Input", this.payload(words, "input", detail.input_size)],
            detail && ["Output", this.payload(words, "output", detail.output_size)],
            detail && ["Event key", h("code", { class: "wrap" }, visible(detail.key))],
          ])),
          ["input", "output"].filter((of) => this.shown[of]).map((of) => this.previewed(of)),
          card("What handlers did", null, this.explained()))),
    ];
  }

  payload(words, of, size) {
    if (size === null) return h("span", { class: "quiet" }, "none");
    return h("span", null, bytes(size), " ", !this.shown[of] && h("button", { type: "button", class: "button small", onclick: () => this.preview(words, of) }, `Show ${of}`));
  }

  previewed(of) {
    const one = this.shown[of];
    const note = one.kind === "reading" ? "reading" : one.error ? one.error : `${one.kind}${one.cut ? ", the beginning" : ""}`;
    return card(of === "input" ? "Input" : "Output", { key: of, note }, h("pre", { class: "long", tabindex: "0" }, visible(one.text || "")));
  }

  timeline(doc, detail) {
    const engine = detail ? detail.events.filter((one) => one.at).map((one) => ({ ...one, from: "engine" })) : [];
    if (detail && !engine.some((one) => one.state === "pending")) engine.unshift({ state: "pending", at: detail.task.created, from: "engine" });
    if (!engine.length && !doc.timeline.length) return empty("No transition is known", "It ended before this dashboard began to look, and was forgotten.");
    const steps = engine.map((one, place) => ({ ...one, took: place + 1 < engine.length ? engine[place + 1].at - one.at : null }));
    const whole = steps.reduce((sum, one) => sum + (one.took || 0), 0);
    return h("div", null,
      whole > 0 && h("div", { class: "bar tall", role: "img", "aria-label": steps.filter((one) => one.took !== null).map((one) => `${LABEL[one.state] || one.state} for ${duration(one.took)}`).join(", ") },
        steps.filter((one) => one.took).map((one, place) => h("i", { key: String(place), class: `part is-${one.state}`, style: { "flex-grow": String(Math.max(one.took / whole, 0.01)) } }))),
      h("ol", { class: "timeline" }, steps.map((one, place) => {
        const seen = doc.timeline.find((each) => each.state === one.state);
        return h("li", { key: `${place}${one.state}` }, h("i", { class: `dot is-${one.state}`, "aria-hidden": "true" }),
          h("div", null, h("b", null, LABEL[one.state] || one.state), h("time", { class: "quiet", title: full(one.at) }, moment(one.at)),
            one.took !== null && h("span", { class: "note" }, `for ${duration(one.took)}`),
            seen && h("p", { class: "note" }, seen.initial ? `it was so when this dashboard began to look (${seen.source})`
              : `seen here at ${moment(seen.at)} by ${seen.source}, about ${duration(Math.max(0, seen.at - one.at))} later`)));
      }), steps.length === 0 && doc.timeline.map((one, place) => h("li", { key: String(place) }, h("i", { class: `dot is-${one.state}`, "aria-hidden": "true" }),
        h("div", null, h("b", null, LABEL[one.state] || one.state), h("time", { class: "quiet" }, moment(one.at)), h("p", { class: "note" }, `by ${one.source}`))))));
  }

  explained() {
    if (!this.why) return h("p", { class: "note" }, "reading");
    if (this.why.error) return h("p", { class: "note" }, this.why.error);
    const known = this.why.observed.length ? h("ul", { class: "plain" }, this.why.observed.map((one) => h("li", { key: one, class: "note wrap" }, visible(one)))) : null;
    if (!this.why.handlers.length) return h("div", null, known, h("p", { class: "note" }, "No informer runs in this process."));
    return h("div", null, known, h("ul", { class: "plain" }, this.why.handlers.map((one) => h("li", { key: one.name },
      h("b", null, visible(one.name)), h("p", { class: "note wrap" }, visible(one.text || "")),
      (one.notes || []).map((note, place) => h("p", { key: String(place), class: "note wrap" }, visible(typeof note === "string" ? note : `${note.state} ${note.stage}${note.detail ? ` (${note.detail})` : ""}, ${duration(note.age)} ago`)))))));
  }
}
