// A table of which only the rows in sight are in the document, so that 10,000 of them cost what 40 do.

import { el, put } from './dom.js';

const height = 22; // of a row, as style.css has it
const headHeight = 24;
const spare = 12; // rows above and below those in sight

// table makes a table. columns: {key, label, cell(row, now) → text, sort(row) → value (without it, the column does not sort), state(row) → for style.css, narrow: true to
// stay on a phone}. href(row) is where a row leads. It gives {element, show(rows, keep) → how many, paint, sight, end}.
export function table({ label, columns, href, sorted = columns[0].key, descending = true }) {
  let all = []; // rows in order
  let order = { key: sorted, descending };
  let cursor = -1; // row of the keyboard; -1: none
  let cursorID = null;
  const pool = [];
  const heads = columns.map((c) => el(`div.th${c.narrow ? '' : '.wide'}`, { role: 'columnheader' },
    c.sort ? el('button', { type: 'button', onclick: () => sortBy(c.key) }, c.label) : el('span', {}, c.label)));
  const space = el('div.space', { role: 'rowgroup' });
  const body = el('div.scroll', { role: 'grid', tabindex: 0, 'aria-label': `${label}: arrow keys move, Enter opens` },
    el('div.tr.head', { role: 'row', 'aria-rowindex': 1 }, heads), space);
  const element = el('div.vtable', {}, body);
  // The page itself scrolls. above is how much of the rows is above the window, or below the head that stays in it; view is what is seen.
  const above = () => Math.max(0, headHeight - space.getBoundingClientRect().top);
  const view = () => Math.max(0, innerHeight - Math.max(headHeight, space.getBoundingClientRect().top));
  const gone = new AbortController();
  for (const name of ['scroll', 'resize']) addEventListener(name, paint, { passive: true, signal: gone.signal });
  body.addEventListener('keydown', keys);

  function sortBy(key) {
    order = { key, descending: order.key === key ? !order.descending : false };
    arrange();
  }

  function keys(e) {
    const page = Math.max(1, Math.floor(view() / height) - 1);
    const to = { ArrowDown: cursor + 1, ArrowUp: cursor - 1, PageDown: cursor + page, PageUp: cursor - page, Home: 0, End: all.length - 1 }[e.key];
    if (e.key === 'Enter' && all[cursor]) location.hash = href(all[cursor]);
    if (to === undefined || !all.length) return;
    e.preventDefault();
    cursor = Math.min(Math.max(to, 0), all.length - 1);
    cursorID = all[cursor].id;
    const y = space.getBoundingClientRect().top + cursor * height;
    scrollBy(0, Math.min(0, y - headHeight) + Math.max(0, y + height - innerHeight));
    paint();
  }

  function rowAt(i) {
    if (pool[i]) return pool[i];
    const cells = columns.map((c) => {
      const text = el('bdi');
      return { cell: el(`div.td${c.narrow ? '' : '.wide'}.c-${c.key}`, { role: 'gridcell' }, text), text };
    });
    // Without href, because a link may not be a row. follow does what it would.
    const a = el('a.tr', { role: 'row', tabindex: -1, onclick: follow, onauxclick: follow, id: `row-${label.replaceAll(' ', '-')}-${i}` }, cells.map((c) => c.cell));
    space.append(a);
    return (pool[i] = { a, cells });
  }

  function follow(e) {
    const to = e.currentTarget.dataset.to;
    if (e.button === 1 || e.ctrlKey || e.metaKey || e.shiftKey) open(to, '_blank', 'noopener');
    else if (e.button === 0) location.hash = to;
  }

  // paint fills the rows in sight.
  function paint() {
    const first = Math.max(0, Math.floor(above() / height) - spare);
    const n = Math.min(all.length - first, Math.ceil(view() / height) + 2 * spare);
    const now = Date.now();
    body.removeAttribute('aria-activedescendant');
    for (let i = 0; i < Math.max(n, pool.length); i++) {
      if (i >= n) {
        pool[i].a.hidden = true;
        continue;
      }
      const { a, cells } = rowAt((first + i) % Math.max(n, pool.length));
      const row = all[first + i];
      a.hidden = false;
      const y = `translateY(${(first + i) * height}px)`;
      if (a.style.transform !== y) a.style.transform = y;
      a.dataset.to = href(row);
      a.setAttribute('aria-rowindex', first + i + 2);
      a.classList.toggle('cursor', first + i === cursor);
      if (first + i === cursor) body.setAttribute('aria-activedescendant', a.id);
      columns.forEach((c, k) => {
        put(cells[k].text, c.cell(row, now));
        if (c.state) cells[k].cell.dataset.state = c.state(row);
      });
    }
  }

  // show shows the rows of a map by id for which keep is true. They begin in the order of before, so that sorting them costs
  // little.
  function show(rows, keep) {
    const next = [];
    const had = new Set();
    for (const r of all) {
      const now = rows.get(r.id);
      if (!now || !keep(now)) continue;
      had.add(now.id);
      next.push(now);
    }
    for (const r of rows.values()) if (!had.has(r.id) && keep(r)) next.push(r);
    all = next;
    arrange();
    return all.length;
  }

  // arrange sorts the rows. Which one the keyboard is at stays.
  function arrange() {
    const by = columns.find((c) => c.key === order.key).sort;
    const sign = order.descending ? -1 : 1;
    all.sort((x, y) => {
      const p = by(x);
      const q = by(y);
      if (p === q) return x.id < y.id ? -sign : sign;
      return p < q ? -sign : sign;
    });
    heads.forEach((h, i) => columns[i].sort && h.setAttribute('aria-sort', columns[i].key === order.key ? (order.descending ? 'descending' : 'ascending') : 'none'));
    cursor = cursorID === null ? -1 : all.findIndex((r) => r.id === cursorID);
    body.setAttribute('aria-rowcount', all.length + 1);
    space.style.height = `${all.length * height}px`;
    paint();
  }
  // sight gives the ids of the rows in sight and near it, at most 64.
  function sight() {
    const first = Math.max(0, Math.floor(above() / height) - spare);
    return all.slice(first, first + Math.min(64, Math.ceil(view() / height) + 2 * spare)).map((r) => r.id);
  }
  return { element, show, paint, sight, end: () => gone.abort() };
}
