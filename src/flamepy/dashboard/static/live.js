// The stream of one page: a document, then what changes of it. Survives a restart of the server, a lost network
// and a sleeping tab; a hidden tab holds no connection, of which a browser has few.

import { apply } from "./changes.js";
import { clock } from "./format.js";

const SILENCE = 12000; // ms without a word after which the server counts as lost
const HIDDEN = 20000; // ms after which a hidden tab lets its connection go

export class Live {
  constructor({ onDocument, onState, onRefused }) {
    this.onDocument = onDocument;
    this.onState = onState;
    this.onRefused = onRefused;
    this.source = null;
    this.address = "";
    this.last = "";
    this.document = null;
    this.heardAt = 0;
    this.state = "connecting";
    this.tries = 0;
    this.again = 0;
    this.hiding = 0;
    setInterval(() => this.watch(), 2000);
    document.addEventListener("visibilitychange", () => this.visible());
    window.addEventListener("online", () => this.reopen());
    window.addEventListener("pageshow", (event) => { if (event.persisted) this.reopen(); });
  }

  open(page, words) {
    const given = Object.entries(words).filter(([, value]) => value !== "" && value !== undefined && value !== null);
    const address = new URLSearchParams([["page", page], ...given]).toString();
    if (address === this.address) return;
    this.address = address;
    this.last = "";
    this.document = null;
    this.reopen();
  }

  reopen() {
    clearTimeout(this.again);
    if (this.source) this.source.close();
    if (!this.address) return;
    const more = this.last ? `&last=${encodeURIComponent(this.last)}` : "";
    const source = new EventSource(`/api/stream?${this.address}${more}`);
    this.source = source;
    const on = (name, act) => source.addEventListener(name, (event) => {
      if (source !== this.source) return;
      this.heard();
      act(event);
    });
    on("document", (event) => this.take(event, JSON.parse(event.data)));
    on("change", (event) => {
      if (this.document) this.take(event, apply(this.document, JSON.parse(event.data)));
      else { this.last = ""; this.reopen(); }
    });
    on("beat", (event) => clock(JSON.parse(event.data)));
    on("failed", (event) => this.onRefused(JSON.parse(event.data)));
    source.onerror = () => {
      if (source !== this.source) return;
      this.become("lost");
      if (source.readyState === EventSource.CLOSED) this.tryAgain();
    };
  }

  take(event, document) {
    this.last = event.lastEventId;
    this.document = document;
    this.onDocument(document);
  }

  heard() {
    this.heardAt = Date.now();
    this.tries = 0;
    this.become("live");
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }

  async tryAgain() {
    this.tries += 1;
    let status = 0;
    try { status = (await fetch(`/api/page?${this.address}`)).status; } catch { /* away */ }
    if (status === 401) { this.onState("locked"); return; }
    this.again = setTimeout(() => this.reopen(), Math.min(10000, 500 * 2 ** Math.min(this.tries, 5)));
  }

  watch() {
    if (document.hidden || !this.source) return;
    if (this.heardAt && Date.now() - this.heardAt > SILENCE) {
      this.become("lost");
      this.heardAt = Date.now();
      this.reopen();
    }
  }

  visible() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        if (this.source) { this.source.close(); this.source = null; }
      }, HIDDEN);
    } else if (!this.source || Date.now() - this.heardAt > SILENCE) {
      this.reopen();
    }
  }
}
