// The view that compares finished calls: flowbridge report, with its choice in the address.

import { get } from './api.js';
import { el, fill, line, peer } from './dom.js';
import { count, fixed, momentOf, ms, percent, words } from './format.js';

const spans = { '1h': 'Last hour', '24h': 'Last 24 h', '168h': 'Last 7 days' };

const share = (s) => (s ? [percent(s.share), ` of ${count(s.of)}`, interval(s.interval.map((v) => fixed(v * 100)))] : '–');
const at = (p) => (d) => (d ? [ms(d[`${p}_ms`]), ` of ${count(d.n)}`, interval(d[`${p}_interval_ms`].map(ms))] : '–');
const interval = ([low, high]) => el('span.hint', { title: 'Where it may be by chance, 95 %' }, ` ${low} – ${high}`);
const mean = (v) => (v === null ? '–' : ms(v));

const lines = [
  ['Calls', (g) => count(g.calls)], ['Answered', (g) => share(g.answered)], ['Set-up p50', (g) => at('p50')(g.set_up)], ['Set-up p95', (g) => at('p95')(g.set_up)],
  ['Duration, mean', (g) => mean(g.mean_duration_ms)], ['Rescued', (g) => share(g.rescued)], ['Conversation measured', (g) => share(g.measured)],
  ['Agent heard p50', (g) => at('p50')(g.first_agent)], ['Answers p50', (g) => at('p50')(g.turns)], ['Answers p95', (g) => at('p95')(g.turns)],
  ['Stopped when interrupted p50', (g) => at('p50')(g.barge_ins)], ['Interruptions ignored', (g) => share(g.barge_ins_ignored)], ['Dead air a call', (g) => mean(g.mean_agent_dead_air_ms)],
];

export function compare(main, params) {
  document.title = 'Compare · Flowbridge';
  const chosen = { by: params.get('by') ?? 'target', last: params.get('last') ?? '24h' };
  const choice = (name, label, values) => el('label', {}, el('span', {}, label), el('select', { name, onchange: (e) => {
    location.hash = `#/compare?${new URLSearchParams({ ...chosen, [name]: e.target.value })}`;
  } }, Object.entries(values).map(([v, text]) => el('option', { value: v, selected: chosen[name] === v }, text))));
  const status = el('p.hint', { role: 'status' }, 'Reading …');
  const table = el('div.wrap');
  fill(main, el('h1', {}, 'Compare finished calls'), el('form.filters', { 'aria-label': 'What to compare' },
    choice('by', 'By', { target: 'target', trunk: 'trunk', route: 'route', split: 'share of a split' }), choice('last', 'Calls of', spans)), status, table);
  const abort = new AbortController();
  let timer = 0;
  load();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };

  async function load() {
    const q = new URLSearchParams({ by: chosen.by, since: new Date(Date.now() - (parseInt(chosen.last, 10) || 24) * 3600e3).toISOString() });
    try {
      const r = await get(`/api/report?${q}`, abort.signal);
      fill(status, r.calls ? `${count(r.calls)} calls${r.complete ? '' : `, the newest: older than ${momentOf(r.since)} are left out`}. A call counts at the ${words(chosen.by)} that it was given first. Behind each figure is its number, and where it may be by chance.` : 'No finished call in this time.');
      if (r.groups.length) {
        fill(table, el('table.compared', {}, el('thead', {}, el('tr', {}, el('td'), r.groups.map((g) => el('th', { scope: 'col' }, peer(g.name, 48))))),
          el('tbody', {}, lines.map(([name, f]) => el('tr', {}, el('th', { scope: 'row' }, name), r.groups.map((g) => el('td', {}, f(g))))))));
      }
    } catch (err) {
      if (abort.signal.aborted) return;
      if (err.status === 429) { // another report is being made
        fill(status, 'Waiting for another report …');
        timer = setTimeout(load, 1000 * Math.min(Math.max(err.after, 1), 60));
        return;
      }
      status.className = 'problem';
      fill(status, line(`${err.message}. ${err.remedy ?? ''}`, 600));
    }
  }
}
