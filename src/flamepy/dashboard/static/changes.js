// Applies what the server says that changed of a document (flamepy.dashboard.changes says what there is).

export function apply(old, change) {
  if ("v" in change) return change.v;
  if ("c" in change) return columns(old, change);
  if ("r" in change) return rows(old, change);
  const made = { ...old };
  for (const [name, one] of Object.entries(change.d)) made[name] = apply(old[name], one);
  for (const name of change.x || []) delete made[name];
  return made;
}

function rows(old, change) {
  if (!change.o) return old.map((row) => change.r[row.key] || row);
  const known = new Map(old.map((row) => [row.key, row]));
  return change.o.map((key) => change.r[key] || known.get(key));
}

function columns(old, change) {
  const values = {};
  for (const [name, end] of Object.entries(change.c)) {
    const before = old.values[name];
    const kept = before.slice(change.s);
    values[name] = [...kept.slice(0, before.length - end.length), ...end];
  }
  return { step: old.step, start: old.start + change.s * old.step, values };
}
