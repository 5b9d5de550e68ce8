// The view of what happens now: figures, targets, live calls.

import { el, fill, line, peer, put } from './dom.js';
import { feed, listen } from './feed.js';
import { clock, count, fixed, momentOf, ms, percent, timeOf, words } from './format.js';
import { spark } from './charts.js';
import { table } from './table.js';

const phases = { preparing: 'preparing', queued: 'waiting', dialing: 'dialing', bridged: 'in call', ending: 'ending' };

export function live(main) {
  document.title = 'Live calls · Flowbridge';
  const tiles = figures();
  const targets = el('tbody');
  const filter = el('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter live calls by number, id, trunk, target or phase', autocomplete: 'off', spellcheck: 'false', oninput: refresh });
  const shown = el('span.hint', { role: 'status' });
  const none = el('p.none', { role: 'status' });
  const calls = table({
    label: 'Live calls', sorted: 'started', href: (r) => `#/calls/${encodeURIComponent(r.id)}`,
    columns: [
      { key: 'started', label: 'Began', cell: (r) => timeOf(r.started), sort: (r) => r.started },
      { key: 'time', label: 'Time', narrow: true, cell: (r, now) => clock(now - (r.answered || r.started)), sort: (r) => -(r.answered || r.started) },
      { key: 'from', label: 'From', narrow: true, cell: (r) => line(r.from, 64), sort: (r) => r.from },
      { key: 'to', label: 'To', narrow: true, cell: (r) => line(r.to, 64), sort: (r) => r.to },
      { key: 'trunk', label: 'Trunk', cell: (r) => line(r.trunk, 64), sort: (r) => r.trunk },
      { key: 'target', label: 'Target', cell: (r) => line(r.target, 64), sort: (r) => r.target },
      { key: 'phase', label: 'Phase', narrow: true, cell: (r) => (phases[r.phase] ?? r.phase) + (r.phase === 'queued' ? `, no. ${count(place(r))}` : ''), sort: (r) => r.phase, state: (r) => r.phase },
      { key: 'flags', label: 'Marks', cell: (r) => r.flags, sort: (r) => r.flags },
    ],
  });
  fill(main,
    el('section', { 'aria-label': 'Figures' }, tiles.element),
    el('section', { 'aria-labelledby': 'h-targets' }, el('h2', { id: 'h-targets' }, 'Targets'),
      el('div.wrap', {}, el('table.cards', {}, el('thead', {}, el('tr', {},
        ['Target', 'Health', 'Calls', 'Attempts', 'Answered', 'Prepare p50 / p95', 'Answer p50 / p95', 'Last error'].map((h) => el('th', { scope: 'col' }, h)))), targets))),
    el('section.calls', { 'aria-labelledby': 'h-calls' }, el('div.row', {}, el('h2', { id: 'h-calls' }, 'Live calls'), shown, filter), none, calls.element));

  let targetsShown = null;
  function refresh() {
    tiles.show(feed.stats, feed.history);
    if (feed.targets !== targetsShown) {
      targetsShown = feed.targets;
      fill(targets, targetsShown?.length ? targetsShown.map(targetRow) : el('tr', {}, el('td', { colspan: 8 }, 'No targets yet.')));
    }
    const wanted = filter.value.trim().toLowerCase();
    const n = calls.show(feed.calls, (r) => !wanted || r.hay.includes(wanted));
    put(none, n ? '' : wanted && feed.calls.size ? 'No live call fits the filter.' : 'No live calls.');
    none.hidden = n > 0;
    put(shown, wanted ? `${count(n)} of ${count(feed.calls.size)}` : count(n));
  }
  const ends = listen(refresh);
  const tick = setInterval(calls.paint, 1000); // the times of the rows in sight
  refresh();
  return () => {
    ends();
    clearInterval(tick);
  };
}

// place is the number of a caller that waits, in the queue of its route. It changes when another one's call does, so the row can't have it.
function place(r) {
  let n = 1;
  for (const other of feed.calls.values()) if (other.phase === 'queued' && other.route === r.route && other.id < r.id) n++;
  return n;
}

const health = { ok: 'ok', failing: 'failing', idle: 'idle' };

// unanswered is what is wrong with the OPTIONS to a target.
function unanswered(t) {
  const ping = t.circuits?.find((c) => c.ping)?.ping;
  return ping ? el('span.hint', {}, ` (${line(ping, 60)})`) : null;
}

// avoided is how many addresses of a target are tried last, because they failed.
function avoided(t) {
  const n = t.addresses?.filter((a) => a.state === 'avoided').length;
  return n ? el('span.hint', { title: t.addresses.map((a) => line(`${a.address} ${a.cause}`, 80)).join('\n') }, ` ${n} of ${t.addresses.length} addresses avoided`) : null;
}

function targetRow(t) {
  const td = (label, ...content) => el('td', { 'data-label': label }, content);
  const e = t.last_error;
  const pair = (p) => (p ? `${ms(p.p50)} / ${ms(p.p95)}` : '–');
  return el('tr', {},
    el('th', { scope: 'row', title: line(t.address) }, peer(t.name, 64), el('span.hint', {}, ` ${line(t.kind, 24)}`)),
    td('Health', el(`span.health.${health[t.health] ?? 'idle'}`, {}, t.circuits?.some(c => c.state !== 'closed') ? 'out of use' : health[t.health] ?? line(t.health, 16)), unanswered(t), avoided(t)),
    td('Calls', t.max_calls ? `${count(t.calls)} of ${count(t.max_calls)}` : count(t.calls)),
    td('Attempts', count(t.attempts), t.failed ? el('span.bad', {}, `, ${count(t.failed)} failed`) : null),
    td('Answered', percent(t.answer_ratio)),
    td('Prepare', pair(t.prepare_ms)), td('Answer', pair(t.answer_ms)),
    el('td.error', { 'data-label': 'Last error' }, e ? [
      el('a', { href: e.call ? `#/calls/${encodeURIComponent(e.call)}` : null, title: momentOf(e.at) }, timeOf(e.at), ' ', words(line(e.cause, 60))),
      e.prepare_status ? ` HTTP ${e.prepare_status}` : '', e.sip_status ? ` SIP ${e.sip_status}` : '',
      e.text ? [' ', el('span.hint', {}, peer(e.text, 120))] : null] : '–'));
}

// figures are the tiles. show changes only what is new.
function figures() {
  const made = {};
  const tile = (key, label, title) => {
    const value = el('dd.value', {}, '–');
    const more = el('dd.more', {}, '\u00a0');
    const at = el('div.tile', { title }, el('dt', {}, label), value, more);
    made[key] = { value, more, at };
    return at;
  };
  const causes = el('p.causes', { hidden: true });
  const element = el('div', {}, el('dl.tiles', {},
    tile('calls', 'Live calls'), tile('cps', 'Calls per second'),
    tile('ratio', 'Answered', 'Answered calls of those that ended'), tile('pdd', 'Post-dial delay', 'From INVITE to ringing or answer'),
    tile('prepare', 'Prepare', "The platforms' prepare requests"), tile('setup', 'Set-up', 'From INVITE to answer'),
    tile('mos', 'MOS', 'Of ended calls: half are better, 5 % are worse than p5'), tile('loss', 'Loss', 'RTP packets that did not arrive'),
    tile('jitter', 'Jitter'), tile('ports', 'RTP ports'), tile('capacity', 'Capacity'), tile('rejected', 'Refused', 'Requests that became no call'),
    tile('unwritten', 'Unwritten records')), causes);
  const set = (key, value, more, state = '') => {
    put(made[key].value, value);
    put(made[key].more, more || '\u00a0');
    if (made[key].more.title !== more) made[key].more.title = more ?? '';
    if (made[key].at.dataset.state !== state) made[key].at.dataset.state = state;
  };
  const spread = (p, f = ms) => (p ? [f(p.p50), `p95 ${f(p.p95)} · p99 ${f(p.p99)}`] : ['–', 'nothing measured']);
  const full = (n, limit) => (limit && n / limit > 0.9 ? 'bad' : limit && n / limit > 0.7 ? 'warn' : '');
  const sparks = { calls: spark(), cps: spark() };
  for (const [key, s] of Object.entries(sparks)) made[key].at.append(s.element);

  function show(s, history) {
    if (!s) return;
    const p = s.phases ?? {};
    const phase = [[p.bridged, 'in call'], [p.dialing, 'dialing'], [p.queued, 'waiting'], [p.preparing, 'preparing'], [p.ending, 'ending']]
      .filter(([n]) => n).map(([n, w]) => `${count(n)} ${w}`).join(' · ');
    const window = `last ${Math.round((s.window_s || 300) / 60)} min`;
    set('calls', count(s.calls), phase);
    set('cps', fixed(s.calls_per_second), 'last 10 s');
    set('ratio', percent(s.answer_ratio), s.decided ? `${count(s.answered)} of ${count(s.decided)}, ${window}` : 'no call yet',
      s.answer_ratio !== null && s.decided >= 10 ? (s.answer_ratio < 0.5 ? 'bad' : s.answer_ratio < 0.8 ? 'warn' : '') : '');
    set('pdd', ...spread(s.post_dial_delay_ms));
    set('prepare', ...spread(s.prepare_ms));
    set('setup', ...spread(s.setup_ms));
    set('mos', fixed(s.mos?.p50, 2), s.mos ? `p5 ${fixed(s.mos.p5, 2)}` : 'nothing measured', s.mos?.p50 ? (s.mos.p5 < 3 ? 'bad' : s.mos.p5 < 3.6 ? 'warn' : '') : '');
    set('loss', percent(s.loss, 2), window, s.loss > 0.03 ? 'bad' : s.loss > 0.01 ? 'warn' : '');
    set('jitter', ...spread(s.jitter_ms, (n) => `${fixed(n)} ms`));
    set('ports', count(s.ports?.in_use), [s.ports?.limit && `of ${count(s.ports.limit)}`, s.media?.engine].filter(Boolean).join(' · '), full(s.ports?.in_use, s.ports?.limit));
    set('capacity', s.capacity?.limit ? percent(s.capacity.calls / s.capacity.limit, 0) : 'no limit',
      s.capacity?.limit ? `${count(s.capacity.calls)} of ${count(s.capacity.limit)}` : 'set by ports and files', full(s.capacity?.calls, s.capacity?.limit));
    const refused = Object.entries(s.rejected ?? {}).sort((x, y) => y[1] - x[1]);
    set('rejected', count(refused.reduce((n, [, k]) => n + k, 0)), refused.slice(0, 2).map(([r, n]) => `${words(line(r, 40))} ${count(n)}`).join(' · '));
    set('unwritten', count(s.unwritten), s.unwritten ? 'they wait in memory' : 'all are on disk', s.unwritten ? 'bad' : '');
    sparks.calls.show(history.map((h) => h.calls));
    sparks.cps.show(history.map((h) => h.cps));
    const ended = Object.entries(s.causes ?? {}).sort((x, y) => y[1] - x[1]);
    causes.hidden = !ended.length;
    const since = new Date(Date.parse(s.at) - (s.window_s || 300) * 1000).toISOString().slice(0, 16);
    const text = ended.map(([c, n]) => `${c}${n}`).join() + since;
    if (causes.dataset.text !== text) {
      causes.dataset.text = text;
      fill(causes, `Why calls ended, ${window}: `, ended.slice(0, 12).map(([c, n]) => [
        el('a', { href: `#/finished?${new URLSearchParams({ cause: c, since: `${since}:00Z` })}` }, `${words(line(c, 40))} `, el('b', {}, count(n))), ' ']));
    }
  }
  return { element, show };
}
