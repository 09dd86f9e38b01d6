// A small tree of elements: `h` describes, `render` changes the page into it. Every text becomes a text node,
// and no attribute is a program: whatever a task says is shown, never run.

const SVG = "http://www.w3.org/2000/svg";
const svgTags = new Set(["svg", "path", "rect", "circle", "line", "g", "title"]);

export function h(tag, props, ...kids) {
  return { tag, props: props || {}, kids: flat(kids, []), key: props ? props.key : undefined };
}

function flat(kids, out) {
  for (const kid of kids) {
    if (kid === null || kid === undefined || kid === false || kid === true) continue;
    if (Array.isArray(kid)) flat(kid, out);
    else out.push(typeof kid === "object" ? kid : { text: String(kid) });
  }
  return out;
}

function make(tree) {
  if (tree.text !== undefined) {
    const node = document.createTextNode(tree.text);
    node.was = tree;
    return node;
  }
  const svg = svgTags.has(tree.tag) && tree.tag !== "title";
  const node = svg ? document.createElementNS(SVG, tree.tag) : document.createElement(tree.tag);
  node.was = { tag: tree.tag, props: {}, kids: [], key: tree.key };
  update(node, tree);
  if (tree.props.mounted) queueMicrotask(() => tree.props.mounted(node)); // once it is in the page
  return node;
}

function set(node, name, value, before) {
  if (name === "key" || name === "mounted" || name === "foreign") return;
  if (name === "class") {
    if (node.getAttribute("class") !== value) node.setAttribute("class", value || "");
  } else if (name === "style") {
    for (const part of Object.keys(before || {})) if (!value || !(part in value)) node.style.removeProperty(part);
    for (const part of Object.keys(value || {})) {
      if (!before || before[part] !== value[part]) node.style.setProperty(part, value[part]);
    }
  } else if (name.startsWith("on")) {
    node[name.toLowerCase()] = value || null;
  } else if (name === "value") {
    if (node.value !== value && document.activeElement !== node) node.value = value;
  } else if (name === "checked" || name === "open" || name === "disabled" || name === "hidden") {
    node[name] = Boolean(value);
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

function update(node, tree) {
  const was = node.was;
  if (tree.text !== undefined) {
    if (was.text !== tree.text) node.data = tree.text;
    node.was = tree;
    return;
  }
  for (const name of Object.keys(was.props)) {
    if (!(name in tree.props)) set(node, name, undefined, was.props[name]);
  }
  for (const [name, value] of Object.entries(tree.props)) {
    if (was.props[name] !== value || name === "value") set(node, name, value, was.props[name]);
  }
  if (!tree.props.foreign) reconcile(node, tree.kids);
  node.was = tree;
}

function fits(node, tree) {
  const was = node.was;
  if (!was) return false;
  if (tree.text !== undefined) return was.text !== undefined;
  return was.tag === tree.tag && was.key === tree.key;
}

function reconcile(parent, kids) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.was && node.was.key !== undefined) keyed.set(node.was.key, node);
  let place = parent.firstChild;
  for (const tree of kids) {
    let node = null;
    if (tree.key !== undefined) {
      const known = keyed.get(tree.key);
      if (known && fits(known, tree)) node = known;
    } else if (place && fits(place, tree)) {
      node = place;
    }
    if (node) {
      update(node, tree);
      if (node === place) place = place.nextSibling;
      else parent.insertBefore(node, place);
    } else {
      parent.insertBefore(make(tree), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

export function render(root, ...trees) {
  reconcile(root, flat(trees, []));
}
