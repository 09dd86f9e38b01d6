// Handlers, lag, the live feed, nodes and cache.

import { h } from "./dom.js";
import { ago, bytes, compact, duration, number, percent, rate, visible } from "./format.js";
import { address, badge, card, empty, facts, feedList, icon, link, quantiles, sessionLink, taskLink, tile, time, totalOf } from "./parts.js";

export class HandlersPage {
  constructor(app) {
    this.app = app;
    this.title = "Handlers";
    this.letters = null;
    this.dead = -1;
    this.whole = false;
  }

  words() { return {}; }

  async read(dead) {
    if (dead === this.dead) return;
    this.dead = dead;
    this.letters = await this.app.get("/api/deadletters");
    this.app.draw();
  }

  view(doc) {
    this.read(doc.rows.reduce((sum, one) => sum + one.dead, 0));
    if (!doc.rows.length) {
      return [card(null, { key: "none" }, empty("No informer runs in this process",
        "Handlers are shown by the process that has them. Start yours with a dashboard:", "flamepy run --http 127.0.0.1:8081 --dashboard"))];
    }
    return [h("div", { class: "handlers", key: "all" }, doc.rows.map((one) => this.handler(one))),
      card("Dead letters", { key: "letters", note: this.letters && this.letters.total ? `${number(this.letters.total)} events whose handling failed for good` : null }, this.list())];
  }

  handler(one) {
    const held = !one.state.startsWith("active");
    const act = this.app.actions && h("button", {
      type: "button", class: "button small",
      onclick: () => this.app.act(held ? "handler/resume" : "handler/pause", { name: one.name }, held ? `Resume ${one.name}` : `Pause ${one.name}`,
        held ? "Events that wait are delivered." : "Nothing is delivered to it until it is resumed; its events wait."),
    }, held ? "Resume" : "Pause");
    const level = one.stuck ? "attention" : held ? "paused" : one.queued > 1000 ? "waiting" : "running";
    return card(visible(one.name), { key: one.name, more: act, note: null },
      h("p", { class: `why is-${level}` }, h("i", { class: `dot is-${level}`, "aria-hidden": "true" }),
        one.stuck ? `${number(one.stuck)} callback stuck for ${duration(one.running_for)}` : visible(one.state), !one.synced && ", still reading the present state"),
      h("div", { class: "tiles small" },
        tile({ label: "Queue", value: compact(one.queued), sub: one.queued ? `oldest ${duration(one.oldest_age)}` : "empty" }),
        tile({ label: "Delivered", value: compact(one.delivered), sub: rate(one.rate) }),
        tile({ label: "p50", value: duration(one.took.p50), sub: `p99 ${duration(one.took.p99)}` }),
        tile({ label: "Failures", value: compact(one.failures), tone: one.failures ? "bad" : "", sub: `${number(one.retries)} retries` })),
      (one.dead || one.missed || one.coalesced) > 0 && h("p", { class: "note" },
        [[one.dead, "dead letters"], [one.missed, "ends missed"], [one.coalesced, "changes merged"], [one.slow, "slow callbacks"]].filter(([count]) => count).map(([count, what]) => `${number(count)} ${what}`).join(", ")),
      one.outbox && h("p", { class: "note" }, `Outbox: ${number(one.outbox.waiting)} wait${one.outbox.waiting ? `, the oldest ${duration(one.outbox.oldest_age)}` : ""}, ${number(one.outbox.sent)} sent${one.outbox.dropped ? `, ${number(one.outbox.dropped)} dropped` : ""}`),
      one.outbox && one.outbox.disabled && h("p", { class: "why is-attention" }, h("i", { class: "dot is-attention", "aria-hidden": "true" }), `Nothing is sent: ${visible(one.outbox.disabled)}`),
      one.last_error && h("details", { key: "error" }, h("summary", null, `Last error, ${ago(one.last_error_at)}`), h("pre", { class: "long", tabindex: "0" }, visible(one.last_error))),
      one.stack && h("details", { key: "stack" }, h("summary", null, "Where it is stuck"), h("pre", { class: "long", tabindex: "0" }, visible(one.stack))));
  }

  list() {
    const found = this.letters;
    if (!found) return h("p", { class: "note" }, "reading");
    if (found.error || found.why) return empty("None are kept", found.error || found.why);
    if (!found.rows.length) return empty("No dead letters", "An event whose handling failed for good would be kept here, to be looked at and handled again.");
    const again = (ids, title) => this.app.act("deadletters/retry", { ids }, title, "Its handler gets the event again, within about a second.", () => { this.dead = -1; });
    return h("div", null,
      this.app.actions && h("div", { class: "buttons" }, h("button", { type: "button", class: "button", onclick: () => again(found.rows.map((one) => one.id), `Handle ${found.rows.length} again`) }, `Handle all ${found.rows.length} again`)),
      h("ul", { class: "plain letters" }, found.rows.slice().reverse().slice(0, this.whole ? undefined : 20).map((one) => h("li", { key: one.key },
        h("details", null,
          h("summary", null, h("b", null, visible(one.informer)), ` ${visible(one.callback)}`,
            h("span", { class: "note" }, ` ${one.attempts} attempts, ${ago(Date.parse(one.failed_at) / 1000)}${one.retrying ? ", to be handled again" : ""}`),
            h("span", { class: "error-text block" }, visible(one.error))),
          h("p", { class: "note" }, one.event.session && sessionLink(one.event.session), " ", one.event.task && taskLink(one.event.session, one.event.task)),
          h("pre", { class: "long", tabindex: "0" }, visible(one.traceback))),
        this.app.actions && h("button", { type: "button", class: "button small", onclick: () => again([one.id], "Handle it again") }, "Handle again")))),
      found.rows.length > 20 && !this.whole && h("p", { class: "center" }, h("button", { type: "button", class: "button small", onclick: () => { this.whole = true; this.app.draw(); } }, `Show all ${found.rows.length}`)));
  }
}

export class LagPage {
  constructor(app) { this.app = app; this.title = "Lag"; }

  words() { return {}; }

  view(doc) {
    const read = totalOf(doc.read);
    const counted = totalOf(doc.counted);
    return [
      card("From change to handled", { key: "way", note: "last 10 minutes" },
        h("ol", { class: "way" },
          h("li", null, quantiles("1. Seen", doc.lag.observed, duration, "from the engine's end of a task to our reading it; estimated, by two clocks, of which the engine's may have whole seconds")),
          h("li", null, quantiles("2. Started", doc.lag.started, duration, "from there to the start of a callback")),
          h("li", null, quantiles("3. Handled", doc.lag.done, duration, "the callback itself")))),
      h("div", { class: "grid even", key: "two" },
        card("Seen by", { note: "which reply showed a change, and how late" }, doc.by_source.length
          ? h("ul", { class: "plain" }, doc.by_source.map((one) => h("li", { key: one.key, class: "spread" }, h("b", null, one.key),
            h("span", { class: "note" }, `${number(one.count)} changes, p50 ${duration(one.p50)}, p99 ${duration(one.p99)}`))))
          : empty("Nothing ended in the last 10 minutes", "")),
        card("What looking costs", null, facts([
          ["Polls", number(doc.polls)], ["Calls answered", number(doc.calls)], ["Attempts that failed", number(doc.call_failures)],
          ["Tasks read one by one", `${number(read)} of ${number(counted)}`],
          ["Ends that changed later", number(doc.drifts)], ["Ends never read", number(doc.missed)],
        ]))),
      card("Tasks, from creation to end", { key: "took" }, quantiles("", doc.took, duration, "by the engine's own clock, which may have whole seconds")),
    ];
  }
}

export class FeedPage {
  constructor(app) { this.app = app; this.title = "Live feed"; this.held = null; }

  words(words) { return { kind: words.kind }; }

  toggle() {
    this.held = this.held ? null : this.app.document.rows;
    this.app.draw();
  }

  view(doc, words) {
    const rows = this.held || doc.rows;
    const newest = doc.rows.length ? Number(doc.rows[0].key) : 0;
    const heldAt = this.held && this.held.length ? Number(this.held[0].key) : newest;
    return [h("div", { class: "tools", key: "tools" },
      h("button", { type: "button", class: "button", "aria-pressed": String(Boolean(this.held)), onclick: () => this.toggle() }, icon(this.held ? "play" : "pause"), this.held ? "Continue" : "Pause"),
      h("div", { class: "choice", role: "group", "aria-label": "Kind" }, [["", "All"], ["task", "Tasks"], ["session", "Sessions"], ["notice", "Notices"]].map(([value, label]) =>
        h("button", { key: value || "all", type: "button", "aria-pressed": String((words.kind || "") === value), onclick: () => { this.held = null; this.app.change({ kind: value }); } }, label))),
      h("span", { class: "matched", role: "status" }, this.held ? `paused; ${number(newest - heldAt)} newer lines wait` : "bursts are one line with their number")),
    card(null, { key: "list" }, rows.length ? feedList(rows) : empty("Quiet", "Changes appear here as they happen."))];
  }
}

export class NodesPage {
  constructor(app) { this.app = app; this.title = "Nodes and cache"; this.cache = null; this.text = ""; }

  words() { return {}; }

  async read() {
    this.cache = "reading";
    this.app.draw();
    this.cache = await this.app.get(`/api/cache?${new URLSearchParams({ text: this.text })}`);
    this.app.draw();
  }

  view(doc) {
    if (this.cache === null) { this.cache = "reading"; this.read(); }
    const busy = (one) => (one.executors ? one.bound / one.executors : 0);
    return [
      h("div", { class: "handlers", key: "nodes" }, doc.nodes.length ? doc.nodes.map((one) => card(visible(one.name), { key: one.key, more: badge(one.state === "ready" ? "succeed" : "failed", one.state.replace("_", " ")) },
        h("div", { class: "bar tall", role: "img", "aria-label": `${one.bound} of ${one.executors} executors busy` },
          one.bound > 0 && h("i", { key: "busy", class: "part is-running", style: { "flex-grow": String(busy(one)) } }),
          busy(one) < 1 && h("i", { key: "free", class: "part is-free", style: { "flex-grow": String(1 - busy(one)) } })),
        facts([["Executors busy", `${number(one.bound)} of ${number(one.executors)}`], ["CPUs", number(one.cpu)], ["Memory", bytes(one.memory)], one.gpu && ["GPUs", number(one.gpu)],
          ["System", visible([one.os, one.arch].filter(Boolean).join(", ") || "–")], one.addresses.length && ["Addresses", visible(one.addresses.join(", "))]])))
        : card(null, { key: "none" }, empty(doc.known ? "The engine has no node" : "Not read yet", doc.known ? "Without a node no task runs." : ""))),
      card("Executors", { key: "executors", note: `services, as seen every two seconds; ${number(doc.top.service_starts)} starts (estimated), ${number(doc.top.service_crashes)} failed starts` },
        doc.executors.length ? h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Executors" }, h("table", { class: "small-table" },
          h("thead", null, h("tr", null, ["Executor", "State", "Session", "Application", "Node", "Since"].map((one) => h("th", { key: one, scope: "col" }, one)))),
          h("tbody", null, doc.executors.slice(0, 500).map((one) => h("tr", { key: one.key }, h("td", null, h("code", null, visible(one.id))), h("td", null, badge(one.state, one.state)),
            h("td", null, one.session && sessionLink(one.session)), h("td", null, visible(one.application)), h("td", null, visible(one.node)), h("td", null, time(one.since)))))))
          : empty("No executor runs", "An engine starts one when a session has tasks.")),
      doc.executors.length > 500 && h("p", { class: "note", key: "cut" }, `the first 500 of ${number(doc.executors.length)}`),
      this.objects(),
    ];
  }

  objects() {
    const found = this.cache;
    const more = h("button", { type: "button", class: "button small", onclick: () => this.read() }, "Read again");
    if (found === "reading") return card("Object cache", { key: "cache" }, h("p", { class: "note" }, "reading"));
    if (found.error || found.why) return card("Object cache", { key: "cache", more }, empty("The cache cannot be read", found.error || found.why));
    if (!found.rows.length) return card("Object cache", { key: "cache", more }, empty("The cache is empty", "Objects appear here when a client puts some."));
    return card("Object cache", { key: "cache", more, note: `${number(found.matched)} objects, ${bytes(found.bytes)}${found.rows.length < found.matched ? `; the largest ${number(found.rows.length)}` : ""}` },
      h("div", { class: "scroll-x tall", tabindex: "0", role: "region", "aria-label": "Objects" }, h("table", { class: "small-table" }, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Key"), h("th", { scope: "col", class: "num" }, "Size"))),
        h("tbody", null, found.rows.slice(0, 500).map((one) => h("tr", { key: one.key }, h("td", null, h("code", null, visible(one.key))), h("td", { class: "num" }, bytes(one.bytes))))))));
  }
}
