// The view of finished calls: filters in the address, so that a search can be shared; pages by cursor.

import { download, get } from './api.js';
import { el, fill, line, peer } from './dom.js';
import { feed, listen } from './feed.js';
import { clock, count, dateOf, inputOf, momentIn, ms, timeOf, words, zone } from './format.js';
import { causes } from './words.js';

const problems = ['one-way', 'loss', 'dead-air', 'no-answer', 'rescue'];
const outcomes = ['answered', 'no_answer', 'busy', 'failed', 'cancelled', 'interrupted'];
const spans = { 'Last hour': 3600e3, 'Last 24 h': 24 * 3600e3, 'Last 7 days': 7 * 24 * 3600e3 };
const known = ['number', 'id', 'since', 'until', 'disposition', 'cause', 'problem', 'trunk', 'route', 'direction', 'target', 'fleet'];
const perPage = 100;

export function finished(main, params) {
  document.title = 'Finished calls · Flowbridge';
  const field = (label, input, cls = '') => el(`label${cls}`, {}, el('span', {}, label), input);
  const text = (name, more = {}) => el('input', { name, value: params.get(name) ?? '', autocomplete: 'off', spellcheck: 'false', maxlength: 256, ...more });
  const moment = (name) => el('input', { name, type: 'datetime-local', step: 1, value: safe(() => inputOf(params.get(name))) });
  const choice = (name, values) => el('select', { name }, el('option', { value: '' }, 'any'),
    values.map((v) => el('option', { value: v, selected: params.get(name) === v }, words(v))));
  const targets = el('datalist', { id: 'target-names' });
  const fleet = field('All nodes', el('input', { name: 'fleet', type: 'checkbox', value: 'true', checked: params.get('fleet') === 'true' }), '.check');
  const form = el('form.filters', { 'aria-label': 'Filters' },
    field('Number', text('number', { inputmode: 'tel', placeholder: 'part is enough' })), field('Any id', text('id')),
    field(`Began from (${zone.name})`, moment('since')), field(`Began before (${zone.name})`, moment('until')),
    field('Outcome', choice('disposition', outcomes)), field('Cause', choice('cause', Object.keys(causes))), field('Problem', choice('problem', problems)),
    field('Trunk', text('trunk')), field('Route', text('route', { placeholder: 'routes[0]' })), field('Direction', choice('direction', ['inbound', 'outbound'])), field('Target', text('target', { list: 'target-names' })), targets, fleet,
    el('div.buttons', {}, el('button.main', {}, 'Search'), el('a.button', { href: '#/finished' }, 'Clear'),
      Object.entries(spans).map(([name, span]) => el('button', { type: 'button', onclick: () => {
        form.elements.since.value = inputOf(Date.now() - span);
        form.elements.until.value = '';
        search();
      } }, name))));
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
  const exports = el('div.row', {}, status, el('span.gap'),
    el('button', { type: 'button', onclick: save('csv', 'calls.csv') }, 'CSV'), el('button', { type: 'button', onclick: save('jsonl', 'calls.jsonl') }, 'JSON Lines'));
  const fold = el('details.fold', { open: matchMedia('(min-width: 641px)').matches }, el('summary', {}, `Filters${params.size ? ` (${params.size} set)` : ''}`), form);
  fill(main, el('h1', {}, 'Finished calls'), fold, exports,
    el('div.wrap', {}, el('table.cards.records', {}, el('thead', {}, el('tr', {},
      ['Began', 'From', 'To', 'Trunk', 'Target', 'Outcome', 'Why', 'Problems', 'Ended by', 'Set-up', 'Time', 'MOS'].map((h) => el('th', { scope: 'col' }, h)))), rows)), more);

  function tellProblem(err) {
    status.className = 'problem';
    fill(status, line(`${err.message}. ${err.remedy ?? ''}`, 600));
  }
  let shown = 0;
  let serial = 0; // of the search whose answer counts

  async function load(cursor) {
    const mine = ++serial;
    const q = filters();
    q.set('limit', perPage);
    if (cursor) q.set('cursor', cursor);
    if (!cursor) {
      fill(rows);
      shown = 0;
    }
    more.hidden = true;
    status.className = 'hint';
    fill(status, 'Searching …');
    try {
      const page = await get(`/api/cdrs?${q}`, abort.signal);
      if (mine !== serial) return;
      rows.append(...page.items.map(rowOf));
      shown += page.items.length;
      fill(status, shown ? `${count(shown)} ${shown === 1 ? 'call' : 'calls'}${page.next ? ', more below' : ''}.` : 'No finished call fits these filters.');
      more.hidden = !page.next;
      more.onclick = () => load(page.next);
    } catch (err) {
      if (mine === serial && !abort.signal.aborted) tellProblem(err);
    }
  }

  function about() {
    fleet.hidden = !feed.hello?.fleet;
    fill(targets, (feed.targets ?? []).map((t) => el('option', { value: t.name })));
  }
  about();
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

function rowOf(r) {
  const td = (label, ...content) => el('td', { 'data-label': label }, content);
  const href = `#/calls/${encodeURIComponent(r.id)}`;
  return el('tr', { onclick: open },
    el('th', { scope: 'row' }, el('a', { href }, el('span.date', {}, dateOf(r.started_at)), ' ', timeOf(r.started_at))),
    td('From', peer(r.from, 40)), td('To', peer(r.to, 40)), td('Trunk', peer(r.trunk, 32)), td('Target', peer(r.target, 32)),
    td('Outcome', el(`span.outcome.${/^\w+$/.test(r.disposition) ? r.disposition : 'failed'}`, {}, words(r.disposition))),
    td('Why', el('span', { title: causes[r.cause]?.happened ?? null }, words(r.cause)), r.sip_status >= 300 ? el('span.hint', {}, ` ${r.sip_status}`) : null),
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
