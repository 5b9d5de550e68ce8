// The view of finished calls: filters in the address, so that a search can be shared; pages by cursor.

import { download, get } from './api.js';
import { el, fill, line, peer, put } from './dom.js';
import { feed, listen } from './feed.js';
import { clock, count, dateOf, inputOf, momentIn, ms, timeOf, words, zone } from './format.js';
import { histogram } from './histogram.js';
import { causes, endOf, testTrunk } from './words.js';

const problems = ['one-way', 'silent', 'loss', 'dead-air', 'echo', 'no-answer', 'rescue', 'not-told'];
const outcomes = ['answered', 'no_answer', 'busy', 'failed', 'cancelled', 'interrupted'];
const spans = { 'Last hour': 3600e3, 'Last 24 h': 24 * 3600e3, 'Last 7 days': 7 * 24 * 3600e3 };
const known = ['number', 'id', 'since', 'until', 'disposition', 'cause', 'problem', 'trunk', 'route', 'direction', 'target', 'fleet'];
const perPage = 100;

const columns = [
  { key: 'began', label: 'Began', sort: (r) => r.started_at }, { key: 'from', label: 'From', sort: (r) => r.from }, { key: 'to', label: 'To', sort: (r) => r.to },
  { key: 'trunk', label: 'Trunk', sort: (r) => r.trunk }, { key: 'target', label: 'Target', sort: (r) => r.target }, { key: 'outcome', label: 'Outcome', sort: (r) => r.disposition },
  { key: 'why', label: 'Why', sort: (r) => r.cause }, { key: 'problems', label: 'Problems', sort: (r) => r.problems?.join(' ') }, { key: 'by', label: 'Ended by', sort: (r) => r.ended_by },
  { key: 'setup', label: 'Set-up', sort: (r) => (r.answered_at ? r.setup_ms : null) }, { key: 'time', label: 'Time', sort: (r) => (r.answered_at ? r.duration_ms : null) }, { key: 'mos', label: 'MOS', sort: (r) => r.media?.mos || null },
];

export function finished(main, params) {
  document.title = 'Finished calls · Flowbridge';
  const field = (label, input, cls = '') => el(`label${cls}`, {}, el('span', {}, label), input);
  const text = (name, more = {}) => el('input', { name, value: params.get(name) ?? '', autocomplete: 'off', spellcheck: 'false', maxlength: 256, ...more });
  const moment = (name) => el('input', { name, type: 'datetime-local', step: 1, value: safe(() => inputOf(params.get(name))) });
  const choice = (name, values) => el('select', { name }, options(name, values));
  const options = (name, values) => [el('option', { value: '' }, 'any'), [...new Set([...values, params.get(name)])].filter(Boolean).map((v) => el('option', { value: v, selected: params.get(name) === v }, words(line(v, 64))))];
  const fleet = field('All nodes', el('input', { name: 'fleet', type: 'checkbox', value: 'true', checked: params.get('fleet') === 'true' }), '.check');
  const form = el('form.filters', { 'aria-label': 'Filters' },
    field('Number', text('number', { inputmode: 'tel', placeholder: 'a part' })), field('Any id', text('id')),
    field(`From (${zone.name})`, moment('since')), field(`Before (${zone.name})`, moment('until')),
    field('Outcome', choice('disposition', outcomes)), field('Cause', choice('cause', Object.keys(causes))), field('Problem', choice('problem', problems)),
    field('Trunk', choice('trunk', [])), field('Route', choice('route', [])), field('Direction', choice('direction', ['inbound', 'outbound'])), field('Target', choice('target', [])), fleet,
    el('div.buttons', {}, el('button.main', {}, 'Search'), el('a.button', { href: '#/finished' }, 'Clear')));
  const quick = Object.entries(spans).map(([name, span]) => el('button.quiet', { type: 'button', onclick: () => {
    form.elements.since.value = inputOf(Date.now() - span);
    form.elements.until.value = '';
    search();
  } }, name));
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    search();
  });

  // search puts the filters into the address.
  function search() {
    const q = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const v = value.trim();
      if (v) q.set(name, name === 'since' || name === 'until' ? momentIn(v) : v);
    }
    if (order.key) q.set('sort', order.key);
    const to = `#/finished${q.size ? `?${q}` : ''}`;
    if (location.hash === to) load('');
    else location.hash = to;
  }

  const rows = el('tbody');
  const status = el('p.hint', { role: 'status' });
  const more = el('button', { type: 'button', hidden: true }, 'Older calls');
  const abort = new AbortController();
  const filters = () => new URLSearchParams([...params].filter(([k]) => known.includes(k)));
  const save = (format, name) => async () => {
    const q = filters();
    q.set('format', format);
    try {
      await download(`/api/cdrs?${q}`, name);
    } catch (err) {
      tellProblem(err);
    }
  };
  const exports = el('div.row.wraps', {}, status, el('span.gap'), quick,
    el('button', { type: 'button', onclick: save('csv', 'calls.csv') }, 'CSV'), el('button', { type: 'button', onclick: save('jsonl', 'calls.jsonl') }, 'JSON Lines'));
  const fold = el('details.fold', { open: matchMedia('(min-width: 641px)').matches }, el('summary', {}, `Filters${params.size ? ` (${params.size} set)` : ''}`), form);
  // The columns. What is loaded sorts by a click on the head; the server's order is the newest first.
  const order = { key: columns.some((c) => c.key === params.get('sort')) ? params.get('sort') : '', down: params.get('sort') !== 'mos' };
  const heads = columns.map((c) => el('th', { scope: 'col' }, el('button.quiet', { type: 'button', onclick: () => {
    order.down = order.key === c.key ? !order.down : true;
    order.key = c.key;
    arrange();
  } }, c.label)));
  const times = histogram((from, until) => {
    form.elements.since.value = inputOf(from);
    form.elements.until.value = inputOf(until);
    search();
  });
  fill(main, el('h1', {}, 'Finished calls'), fold, times.element, exports,
    el('div.wrap', {}, el('table.cards.records', {}, el('thead', {}, el('tr', {}, heads)), rows)), more);

  let [loaded, shown] = [[], 0];
  function arrange() {
    heads.forEach((h, i) => {
      if (columns[i].key === (order.key || 'began')) h.setAttribute('aria-sort', order.down ? 'descending' : 'ascending');
      else h.removeAttribute('aria-sort');
    });
    const by = columns.find((c) => c.key === (order.key || 'began')).sort;
    const sign = order.down ? -1 : 1;
    const known = (v) => v !== null && v !== undefined && v !== '';
    const all = [...loaded].sort((x, y) => {
      const [p, q] = [by(x), by(y)];
      if (!known(p) || !known(q)) return known(q) - known(p); // what has none is last
      return p < q ? -sign : p > q ? sign : 0;
    });
    put(status, shown ? `${count(shown)} ${shown === 1 ? 'call' : 'calls'}${more.hidden ? '' : ', more below'}.${order.key && !more.hidden ? ' Sorted among these.' : ''}` : 'No finished call fits these filters.');
    let day = '';
    fill(rows, all.map((r) => {
      const same = dateOf(r.started_at) === day;
      day = dateOf(r.started_at);
      return rowOf(r, same);
    }));
  }

  function tellProblem(err) {
    status.className = 'problem';
    fill(status, line(`${err.message}. ${err.remedy ?? ''}`, 600));
  }
  let serial = 0; // of the search whose answer counts

  async function load(cursor) {
    const mine = ++serial;
    const q = filters();
    q.set('limit', perPage);
    if (cursor) q.set('cursor', cursor);
    if (!cursor) {
      fill(rows);
      [shown, loaded] = [0, []];
      times.load(filters(), abort.signal);
    }
    more.hidden = true;
    status.className = 'hint';
    fill(status, 'Searching …');
    try {
      const page = await get(`/api/cdrs?${q}`, abort.signal);
      if (mine !== serial) return;
      loaded.push(...page.items);
      shown += page.items.length;
      more.hidden = !page.next;
      arrange();
      more.onclick = () => load(page.next);
    } catch (err) {
      if (mine === serial && !abort.signal.aborted) tellProblem(err);
    }
  }

  function about() {
    fleet.hidden = !feed.hello?.fleet;
  }
  about();
  get('/api/config', abort.signal).then(({ names }) => {
    for (const [name, all] of [['trunk', [...names.trunk, testTrunk]], ['route', names.route], ['target', [...names.target, ...names.trunk]]]) fill(form.elements[name], options(name, all));
  }).catch(() => {}); // then the lists have only what is chosen
  const ends = listen(about);
  load('');
  return () => {
    abort.abort();
    ends();
  };
}

// open follows a row's link from anywhere in the row, unless a text in it is being selected.
function open(e) {
  if (!e.target.closest('a') && getSelection().isCollapsed) e.currentTarget.querySelector('a').click();
}

function rowOf(r, sameDay) {
  const td = (label, ...content) => el('td', { 'data-label': label }, content);
  const href = `#/calls/${encodeURIComponent(r.id)}`;
  return el('tr', { onclick: open },
    el('th', { scope: 'row' }, el('a', { href, title: sameDay ? dateOf(r.started_at) : null }, el(`span.date${sameDay ? '.same' : ''}`, {}, dateOf(r.started_at)), ' ', timeOf(r.started_at))),
    td('From', peer(r.from, 40)), td('To', peer(r.to, 40)), td('Trunk', r.trunk === testTrunk ? el('span.test', {}, 'test') : peer(r.trunk, 32)), td('Target', peer(r.target, 32)),
    td('Outcome', el(`span.outcome.${/^\w+$/.test(r.disposition) ? r.disposition : 'failed'}`, {}, words(r.disposition))),
    td('Why', el('span', { title: causes[r.cause]?.happened ?? null }, endOf(r)), r.sip_status >= 300 ? el('span.hint', {}, ` ${r.sip_status}`) : null),
    td('Problems', el('span.problem', {}, (r.problems ?? []).join(' '))), td('Ended by', words(r.ended_by)), td('Set-up', r.answered_at ? ms(r.setup_ms) : '–'), td('Time', r.answered_at ? clock(r.duration_ms) : '–'),
    td('MOS', r.media?.mos ? r.media.mos.toFixed(1) : '–'));
}

function safe(f) {
  try {
    return f();
  } catch {
    return '';
  }
}
