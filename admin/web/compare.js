// The view that compares finished calls: flowbridge report, with its choice in the address.

import { get } from './api.js';
import { el, fill, line, peer } from './dom.js';
import { count, fixed, momentOf, ms, percent, words } from './format.js';
import { next } from './next.js';

const spans = { '1h': 'Last hour', '24h': 'Last 24 h', '168h': 'Last 7 days' };

// A figure is what a cell shows: a number, where it may be by chance, and its words. null: nothing was measured.
const share = (s) => s && { value: s.share, interval: s.interval, text: percent(s.share), of: s.of, ends: s.interval.map((v) => fixed(v * 100)) };
const at = (p) => (d) => d && { value: d[`${p}_ms`], interval: d[`${p}_interval_ms`], text: ms(d[`${p}_ms`]), of: d.n, measured: true, ends: d[`${p}_interval_ms`].map(ms) };
const mean = (v) => (v === null ? null : { value: v, text: ms(v) });
const [more, less] = [1, -1]; // which is better

const lines = [
  ['Calls', (g) => ({ value: g.calls, text: count(g.calls) })], ['Answered', (g) => share(g.answered), more], ['Set-up p50', (g) => at('p50')(g.set_up), less], ['Set-up p95', (g) => at('p95')(g.set_up), less],
  ['Duration, mean', (g) => mean(g.mean_duration_ms)], ['Rescued', (g) => share(g.rescued), less], ['Conversation measured', (g) => share(g.measured)],
  ['Agent heard p50', (g) => at('p50')(g.first_agent), less], ['Answers p50', (g) => at('p50')(g.turns), less], ['Answers p95', (g) => at('p95')(g.turns), less],
  ['Stopped when interrupted p50', (g) => at('p50')(g.barge_ins), less], ['Interruptions ignored', (g) => share(g.barge_ins_ignored), less], ['Dead air a call', (g) => mean(g.mean_agent_dead_air_ms)],
];

// cells are a line's figures with bars on one scale. A figure is worse if its interval lies beyond the interval of the best one.
function cells(groups, figure, better) {
  const all = groups.map(figure);
  const top = Math.max(...all.map((f) => f?.value ?? 0));
  const ranked = all.filter((f) => f?.interval && better).sort((x, y) => better * (y.value - x.value));
  return all.map((f) => {
    if (!f) return el('td', {}, '–');
    const best = ranked[0];
    const worse = best && f.interval && (better === more ? f.interval[1] < best.interval[0] : f.interval[0] > best.interval[1]);
    const bar = el('span.amount');
    bar.style.width = `${top ? Math.max(1, (100 * f.value) / top).toFixed(1) : 0}%`;
    return el(worse ? 'td.worse' : 'td', { title: worse ? 'Worse than the best one, beyond chance' : null }, el('b', {}, f.text), f.of === undefined ? null : f.measured ? ` (${count(f.of)} measured)` : ` of ${count(f.of)}`,
      f.ends ? el('span.hint', { title: 'Where it may be by chance, 95 %' }, ` ${f.ends[0]} – ${f.ends[1]}`) : null, worse ? el('span.bad', {}, ' worse') : null, el('span.scale', { 'aria-hidden': 'true' }, bar));
  });
}

export function compare(main, params) {
  document.title = 'Compare · Flowbridge';
  const chosen = { by: params.get('by') ?? 'target', last: params.get('last') ?? '24h' };
  const choice = (name, label, values) => el('label', {}, el('span', {}, label), el('select', { name, onchange: (e) => {
    location.hash = `#/compare?${new URLSearchParams({ ...chosen, [name]: e.target.value })}`;
  } }, Object.entries(values).map(([v, text]) => el('option', { value: v, selected: chosen[name] === v }, text))));
  const status = el('p.hint', { role: 'status' }, 'Reading …');
  const table = el('div.wrap');
  fill(main, el('h1', {}, 'Compare finished calls'), el('form.filters.few', { 'aria-label': 'What to compare' },
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
      fill(status, r.calls ? `${count(r.calls)} calls${r.complete ? '' : `, the newest: older than ${momentOf(r.since)} are left out`}. A call counts at the ${words(chosen.by)} that it was given first. Each figure is followed by its number of calls and its 95 % interval.` : 'No finished call in this time.');
      if (!r.groups.length) fill(table, next('place', 'finished', 'test'));
      else {
        fill(table, el('table.compared', {}, el('thead', {}, el('tr', {}, el('td'), r.groups.map((g) => el('th', { scope: 'col' }, peer(g.name, 48))))),
          el('tbody', {}, lines.map(([name, f, better]) => el('tr', {}, el('th', { scope: 'row' }, name), cells(r.groups, f, better))))));
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
