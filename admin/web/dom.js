// Elements without markup: every text is a text node, so nothing that a peer sent can become an element.

// el makes an element: "div.tile.bad" with its attributes, listeners (onclick: f) and children. null children are left out.
export function el(what, attrs, ...children) {
  const [tag, ...classes] = what.split('.');
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(' ');
  set(e, attrs);
  add(e, children);
  return e;
}

// svg makes an element of an SVG.
export function svg(tag, attrs, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  set(e, attrs);
  add(e, children);
  return e;
}

function set(e, attrs) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? '' : value);
  }
}

function add(e, children) {
  for (const c of children.flat(Infinity)) if (c !== null && c !== undefined && c !== false) e.append(c);
}

// fill replaces the children of an element.
export function fill(e, ...children) {
  e.replaceChildren();
  add(e, children);
  return e;
}

// renew is fill, but leaves children that would be the same: their focus and what is selected in them stay.
export function renew(e, ...children) {
  const next = e.cloneNode(false);
  add(next, children);
  if (!next.isEqualNode(e)) e.replaceChildren(...next.childNodes);
}

// put changes the text of an element only if it is another one.
export function put(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// Characters that show nothing, or change the direction of what follows.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// visible gives a text with such characters made visible: ␀ to ␟ for controls, ⟨U+202E⟩ for the rest.
export function visible(text) {
  return String(text ?? '').replace(hidden, (c) => {
    const n = c.charCodeAt(0);
    if (n < 0x20) return String.fromCharCode(0x2400 + n);
    return n === 0x7f ? '␡' : `⟨U+${n.toString(16).toUpperCase().padStart(4, '0')}⟩`;
  });
}

// clip shortens a text to some characters.
export function clip(text, most = 200) {
  const s = String(text ?? '');
  return s.length > most ? `${s.slice(0, most)}…` : s;
}

// line is a text of one line: shortened, and all its controls visible.
export function line(text, most = 200) {
  return visible(clip(text, most)).replace(/\t/g, '␉').replace(/\n/g, '␊');
}

// peer is a text that came from a peer, isolated from the direction of its surroundings. Its title is the longer text.
export function peer(text, most = 200) {
  const s = String(text ?? '');
  return el('bdi.peer', { title: s.length > 24 ? line(s, 1000) : null }, line(s, most) || '–');
}

// code is a text whose `parts` in backticks are code.
export function code(text) {
  return text.split('`').map((part, i) => (i % 2 ? el('code', {}, part) : part));
}
