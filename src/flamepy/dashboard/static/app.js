// The frame around all pages: addresses, the stream, navigation, banners, keys, dialogs.

import { h, render } from "./dom.js";
import { duration, number, visible } from "./format.js";
import { Live } from "./live.js";
import { PAGES_OF } from "./pages.js";
import { address, icon, link } from "./parts.js";

const NAV = [
  ["overview", "Overview", "o"], ["applications", "Applications", "a"], ["sessions", "Sessions", "s"], ["tasks", "Tasks", "t"],
  ["failures", "Failures", "f"], ["handlers", "Handlers", "h"], ["lag", "Lag", "l"], ["feed", "Live feed", "e"], ["nodes", "Nodes and cache", "n"],
];
const PARENT = { session: "sessions", task: "tasks" };

class App {
  constructor(root) {
    this.root = root;
    this.document = null;
    this.actions = false;
    this.state = "connecting";
    this.refused = "";
    this.toast = "";
    this.dialog = null;
    this.locked = false;
    this.pages = {};
    this.waits = false;
    this.went = "";
    this.gotAt = 0;
    this.live = new Live({
      onDocument: (document) => { this.document = document; this.refused = ""; this.gotAt = Date.now(); this.soon(); },
      onState: (state) => { if (state === "locked") this.lock(); else { this.state = state; this.soon(); } },
      onRefused: (text) => { this.refused = text; this.soon(); },
    });
  }

  async start() {
    await this.enter();
    const about = await this.get("/api/about");
    if (about.error_status === 401) { this.lock(); return; }
    this.locked = false;
    this.actions = about.actions;
    addEventListener("popstate", () => this.arrive());
    document.addEventListener("click", (event) => this.click(event));
    document.addEventListener("keydown", (event) => this.key(event));
    setInterval(() => { if (!document.hidden) this.soon(); }, 5000);
    this.arrive();
  }

  // A token in the address's fragment, which no server sees, is exchanged for a cookie.
  async enter() {
    const found = /^#token=(.+)$/.exec(location.hash);
    if (!found) return;
    history.replaceState(null, "", location.pathname + location.search);
    await this.login(decodeURIComponent(found[1]));
  }

  async login(token) {
    return (await this.send("/login", { token })).known === true;
  }

  // ------------------------------------------------------------------ asking

  async get(path) {
    try {
      const answer = await fetch(path);
      const body = await answer.json();
      return answer.ok ? body : { ...body, error_status: answer.status };
    } catch {
      return { error: "the dashboard's server does not answer", error_status: 0 };
    }
  }

  async send(path, body) {
    try {
      const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json", "x-flamepy": "1" }, body: JSON.stringify(body) });
      return await answer.json();
    } catch {
      return { error: "the dashboard's server does not answer" };
    }
  }

  act(path, body, title, text, after) {
    this.dialog = { title, text, does: async () => {
      const answer = await this.send(`/api/actions/${path}`, body);
      this.say(answer.error || answer.text, Boolean(answer.error));
      if (after) after();
    } };
    this.draw();
  }

  say(text, bad) {
    this.toast = { text, bad };
    clearTimeout(this.toastEnds);
    this.toastEnds = setTimeout(() => { this.toast = ""; this.draw(); }, 8000);
    this.draw();
  }

  // ------------------------------------------------------------------ addresses

  get words() { return Object.fromEntries(new URLSearchParams(location.search)); }

  arrive() {
    const name = location.pathname.slice(1) || "overview";
    this.name = name in PAGES_OF ? name : "overview";
    const key = `${this.name}?${this.words.session || ""}/${this.words.task || ""}`;
    if (key !== this.went) {
      this.pages = {};
      this.document = null;
      this.refused = "";
      this.went = key;
      scrollTo(0, 0);
    }
    this.current = this.pages[this.name] || (this.pages[this.name] = new PAGES_OF[this.name](this));
    this.again();
    this.draw();
    const here = document.querySelector(".nav [aria-current]");
    if (here) here.scrollIntoView({ block: "nearest", inline: "center" });
  }

  again() { this.live.open(this.name, this.current.words(this.words)); }

  go(to) {
    history.pushState(null, "", to);
    this.arrive();
    const title = document.querySelector("h1");
    if (title) title.focus({ preventScroll: true });
  }

  change(words) {
    const next = address(this.name, { ...this.words, ...words });
    history.replaceState(null, "", next);
    this.again();
    this.draw();
  }

  click(event) {
    const found = event.target.closest("a[data-go]");
    if (!found || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.go(found.getAttribute("href"));
  }

  // ------------------------------------------------------------------ keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.dialog || this.locked) return;
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "Escape" && typing) { typing.blur(); return; }
    if (typing) return;
    if (this.prefix) {
      this.prefix = false;
      const to = NAV.find(([, , key]) => key === event.key);
      if (to) { event.preventDefault(); this.go(address(to[0])); }
      return;
    }
    const table = document.querySelector(".table");
    if (event.key === "g") { this.prefix = true; setTimeout(() => { this.prefix = false; }, 1500); }
    else if (event.key === "/") { const box = document.getElementById("filter"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
    else if (event.key === "?") this.help();
    else if (event.key === "p" && this.current.toggle) this.current.toggle();
    else if ((event.key === "j" || event.key === "k") && table && !event.target.closest(".table")) { table.focus(); table.onkeydown(event); }
  }

  help() {
    const rows = [["g then " + NAV.map(([, , key]) => key).join(" "), NAV.map(([, label]) => label).join(", ")], ["/", "Filter"], ["j, k, arrows", "Move in a table"], ["Enter", "Open the chosen row"], ["p", "Pause the live feed"], ["Esc", "Leave the filter"], ["?", "This list"]];
    this.dialog = { title: "Keys", list: rows };
    this.draw();
  }

  theme() {
    const dark = this.dark;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("flamepy-theme", dark ? "light" : "dark"); } catch { /* no storage */ }
    dispatchEvent(new Event("themechange"));
    this.draw();
  }

  get dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  // ------------------------------------------------------------------ drawing

  soon() {
    if (this.waits) return;
    this.waits = true;
    const draw = () => { if (this.waits) { this.waits = false; this.draw(); } };
    if (document.hidden) setTimeout(draw, 0); else requestAnimationFrame(draw);
  }

  draw() {
    if (this.locked) { this.drawLock(); return; }
    const body = this.document ? this.current.view(this.document, this.words)
      : this.refused ? [h("section", { class: "card" }, h("p", { class: "bad" }, this.refused))] : [h("p", { class: "loading" }, "Reading")];
    const title = this.current.title;
    document.title = `${title} · Flame`;
    const back = PARENT[this.name];
    render(this.root, h("div", { class: "frame" }, this.nav(),
      h("div", { class: "content" }, this.banner(),
        h("header", { class: "head" },
          back && link(address(back), { class: "back", "aria-label": `All ${back}` }, icon("back")),
          h("h1", { tabindex: "-1", title: visible(title) }, visible(title)), this.pill()),
        h("main", { id: "main", tabindex: "-1", class: `page is-${this.name}` }, body)),
      h("div", { class: "toasts", role: "status", "aria-live": "polite" }, this.toast && h("p", { class: this.toast.bad ? "toast bad" : "toast" }, visible(this.toast.text))),
      this.dialogView()));
  }

  nav() {
    const top = this.document && this.document.top;
    const here = PARENT[this.name] || this.name;
    const hints = { sessions: top && top.attention, failures: top && top.failed_recently };
    return h("nav", { class: "nav", "aria-label": "Pages" },
      link("/", { class: "brand", "aria-label": "Flame" }, h("img", { src: "/static/icon.svg", alt: "", width: "26", height: "26" }), h("span", null, "Flame")),
      h("ul", null, NAV.map(([name, label, key]) => h("li", { key: name },
        link(address(name), { class: "nav-link", "aria-current": name === here ? "page" : null, title: `${label} (g ${key})` }, icon(name), h("span", null, label),
          hints[name] > 0 && h("span", { class: `hint is-${name}`, "aria-label": name === "sessions" ? `${hints[name]} need attention` : `${hints[name]} in the last 10 minutes` }, number(Math.min(hints[name], 999)), hints[name] > 999 && "+"))))),
      h("div", { class: "nav-end" },
        h("button", { type: "button", class: "quiet-button", onclick: () => this.help(), "aria-label": "Keys", title: "Keys (?)" }, icon("keys")),
        h("button", { type: "button", class: "quiet-button", onclick: () => this.theme(), "aria-label": this.dark ? "Light colours" : "Dark colours", title: this.dark ? "Light colours" : "Dark colours" }, icon(this.dark ? "sun" : "moon"))));
  }

  pill() {
    const top = this.document && this.document.top;
    if (!top) return h("span", { class: "pill" }, this.state === "lost" ? "no answer" : "connecting");
    const bad = top.away_for !== null || this.state === "lost";
    const word = this.state === "lost" ? "paused" : top.away_for !== null ? "away" : top.age === null ? "connecting" : !top.synced ? "reading" : "live";
    return h("span", { class: `pill ${bad ? "is-bad" : word === "live" ? "is-good" : ""}`, title: `connection: ${top.connection}` },
      h("i", { class: "dot", "aria-hidden": "true" }), h("b", null, word), h("span", { class: "pill-where" }, visible(top.endpoint.replace(/^https?:\/\//, ""))));
  }

  banner() {
    const top = this.document && this.document.top;
    if (this.state === "lost") {
      const age = this.gotAt ? `What you see is ${duration((Date.now() - this.gotAt) / 1000)} old. ` : "";
      return h("div", { class: "banner", role: "alert", key: "banner" }, h("b", null, "The dashboard's server does not answer. "), age, "It is asked again and again.");
    }
    if (top && top.away_for !== null) {
      return h("div", { class: "banner", role: "alert", key: "banner" }, h("b", null, "The engine does not answer"), ` for ${duration(top.away_for)}. `,
        top.age === null ? "Nothing is known of it yet. " : `What you see is ${duration(top.age)} old. `, h("span", { class: "banner-why" }, visible(top.away_reason)));
    }
    return h("div", { key: "banner", role: "alert", class: "no-banner" });
  }

  dialogView() {
    const one = this.dialog;
    if (!one) return null;
    const close = () => { this.dialog = null; this.draw(); };
    return h("dialog", {
      key: "dialog", "aria-labelledby": "dialog-title", mounted: (node) => node.showModal(), onclose: close, oncancel: close,
    },
    h("h2", { id: "dialog-title" }, visible(one.title)),
    one.text && h("p", null, visible(one.text)),
    one.list && h("dl", { class: "keys" }, one.list.map(([key, what]) => h("div", { key }, h("dt", null, key), h("dd", null, what)))),
    h("div", { class: "buttons end" },
      h("button", { type: "button", class: "button", onclick: close }, one.does ? "Cancel" : "Close"),
      one.does && h("button", { type: "button", class: "button strong", onclick: () => { const does = one.does; close(); does(); } }, visible(one.title))));
  }

  // ------------------------------------------------------------------ the token

  lock() {
    this.locked = true;
    this.wrong = "";
    this.draw();
  }

  drawLock() {
    document.title = "Token · Flame";
    render(this.root, h("main", { class: "lock", id: "main" }, h("form", {
      class: "card", onsubmit: async (event) => {
        event.preventDefault();
        if (await this.login(document.getElementById("token").value)) { location.reload(); return; }
        this.wrong = "That is not the token.";
        this.draw();
      },
    },
    h("img", { src: "/static/icon.svg", alt: "", width: "40", height: "40" }),
    h("h1", null, "This dashboard needs its token"),
    h("p", { class: "note" }, "It was printed when the dashboard was started, or is in FLAME_DASHBOARD_TOKEN there."),
    h("label", { for: "token" }, "Token"),
    h("input", { id: "token", type: "password", autocomplete: "current-password", class: "search" }),
    h("p", { class: "bad", role: "alert" }, this.wrong || ""),
    h("button", { class: "button strong", type: "submit" }, "Open"))));
  }
}

const app = new App(document.getElementById("app"));
document.getElementById("app").replaceChildren();
app.start();
