// Numbers, durations and moments for people.

const whole = new Intl.NumberFormat("en");
const compactForm = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const compact = (value) => (value < 100000 ? number(value) : compactForm.format(value));

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.0009995) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${three(seconds * 1000)} ms`;
  if (seconds < 100) return `${three(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// How long something will take, or took by a clock of whole seconds.
export function roughly(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return "under 1 s";
  return seconds < 100 ? `${Math.round(seconds)} s` : duration(seconds);
}

function three(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(2).replace(/\.?0+$/, "");
}

export function rate(perSecond) {
  if (!perSecond) return "0/s";
  if (perSecond >= 0.5) return `${perSecond >= 100 ? whole.format(Math.round(perSecond)) : three(perSecond)}/s`;
  if (perSecond * 60 >= 0.5) return `${three(perSecond * 60)}/min`;
  return `${three(perSecond * 3600)}/h`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (count >= 1024 && place < units.length - 1) { count /= 1024; place += 1; }
  return `${place ? three(count) : count} ${units[place]}`;
}

export const percent = (part) => (part === null || part === undefined ? "–" : `${part >= 1 ? 100 : Math.floor(part * 1000) / 10}%`);

// The server's clock, by what it said last.
let offset = 0;
export const now = () => Date.now() / 1000 + offset;
export function clock(serverNow) { offset = serverNow - Date.now() / 1000; }

export function ago(moment) {
  if (moment === null || moment === undefined) return "–";
  const seconds = Math.max(0, now() - moment);
  return seconds < 1.5 ? "just now" : `${seconds < 90 ? Math.round(seconds) + " s" : duration(seconds)} ago`;
}

export function moment(value) {
  if (value === null || value === undefined) return "–";
  const date = new Date(value * 1000);
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

export const full = (value) => (value ? new Date(value * 1000).toISOString() : "");

// Control characters and those that turn the direction of a line are shown as what they are.
export function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
