// The view of what happens now: figures, targets in a line, live calls.

import { get } from './api.js';
import { el, fill, line, put, renew } from './dom.js';
import { feed, listen, past, recallDay } from './feed.js';
import { clock, count, fixed, ms, percent, timeOf, words } from './format.js';
import { forget, lane, trend } from './charts.js';
import { next } from './next.js';
import { table } from './table.js';
import { targetLine } from './targets.js';
import { machineLine, missed, wellness } from './words.js';

const phases = { preparing: 'preparing', queued: 'waiting', dialing: 'dialing', bridged: 'in call', ending: 'ending' };
const askEvery = 2000; // how often the rows in sight are asked for what no event tells, in milliseconds

export function live(main) {
  document.title = 'Live calls · Flowbridge';
  const tiles = figures();
  const targets = targetLine();
  const heardNow = new Map(); // by id, of the rows that were in sight: who speaks, MOS, loss
  const filter = el('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter live calls by number, id, trunk, target or phase', autocomplete: 'off', spellcheck: 'false', oninput: refresh });
  const shown = el('span.hint', { role: 'status' });
  const none = el('p.none', { role: 'status' });
  const [first, little] = [el('div'), el('div')];
  const calls = table({
    label: 'Live calls', sorted: 'started', href: (r) => `#/calls/${encodeURIComponent(r.id)}`,
    columns: [
      { key: 'started', label: 'Began', cell: (r) => timeOf(r.started), sort: (r) => r.started },
      { key: 'time', label: 'Time', narrow: true, cell: (r, now) => clock(now - (r.answered || r.started)), sort: (r) => -(r.answered || r.started) },
      { key: 'from', label: 'From', narrow: true, cell: (r) => line(r.from, 64), sort: (r) => r.from },
      { key: 'to', label: 'To', cell: (r) => line(r.to, 64), sort: (r) => r.to },
      { key: 'trunk', label: 'Trunk', cell: (r) => line(r.trunk, 64), sort: (r) => r.trunk },
      { key: 'target', label: 'Target', cell: (r) => line(r.target, 64), sort: (r) => r.target },
      { key: 'phase', label: 'Phase', narrow: true, cell: (r) => (phases[r.phase] ?? r.phase) + (r.phase === 'queued' ? `, no. ${count(place(r))}` : ''), sort: (r) => r.phase, state: (r) => r.phase },
      { key: 'speaks', label: 'Speaks', cell: (r) => heardNow.get(r.id)?.speaks ?? '', state: (r) => heardNow.get(r.id)?.speaks ?? '' },
      { key: 'mos', label: 'MOS', cell: (r) => (heardNow.has(r.id) ? fixed(heardNow.get(r.id).mos) : ''), state: (r) => grade(heardNow.get(r.id)?.mos ?? 9, [3.6, 3]) },
      { key: 'loss', label: 'Loss', cell: (r) => (heardNow.has(r.id) ? percent(heardNow.get(r.id).loss) : ''), state: (r) => grade(-(heardNow.get(r.id)?.loss ?? 0), [-0.01, -0.03]) },
      { key: 'flags', label: 'Marks', narrow: true, cell: (r) => r.flags, state: (r) => (r.problems ? 'bad' : ''), sort: (r) => r.flags },
    ],
  });
  fill(main,
    el('section', { 'aria-label': 'Figures' }, el('div.row.wraps.first-row', {}, tiles.verdict, targets.element), tiles.element),
    el('section.calls', { 'aria-labelledby': 'h-calls' }, el('div.row', {}, el('h1', { id: 'h-calls' }, 'Live calls'), shown, filter), none, first, calls.element, little));

  function refresh() {
    tiles.show(feed.stats);
    targets.show();
    const wanted = filter.value.trim().toLowerCase();
    const n = calls.show(feed.calls, (r) => !wanted || r.hay.includes(wanted));
    put(none, n ? '' : wanted && feed.calls.size ? 'No live call fits the filter.' : 'No live calls.');
    none.hidden = n > 0;
    first.hidden = feed.calls.size > 0;
    calls.element.hidden = !n && !first.hidden && first.childElementCount > 0;
    little.hidden = feed.calls.size > 8;
    if (!little.hidden) renew(little, next('place', 'finished', 'compare', 'carrier', 'test', 'symptoms'));
    put(shown, wanted ? `${count(n)} of ${count(feed.calls.size)}` : count(n));
  }

  // ask reads what the rows in sight are like now. It waits for its answer, and for the page to be looked at.
  const abort = new AbortController();
  let timer = 0;
  async function ask() {
    const ids = document.hidden ? [] : calls.sight();
    try {
      if (ids.length) {
        const page = await get(`/api/calls?ids=${ids.map(encodeURIComponent).join()}`, abort.signal);
        heardNow.clear();
        for (const c of page.items) heardNow.set(c.id, soundOf(c));
        calls.paint();
      }
    } catch { /* away for a moment, or the view has ended */ }
    if (!abort.signal.aborted) timer = setTimeout(ask, ids.length ? askEvery : 200);
  }
  const ends = listen(refresh);
  const tick = setInterval(calls.paint, 1000); // the times of the rows in sight
  refresh();
  ask();
  beginners(first, abort.signal);
  return () => {
    ends();
    forget();
    calls.end();
    abort.abort();
    clearTimeout(timer);
    clearInterval(tick);
  };
}

// grade is good, warn or bad, by the bounds of the last two: what is less than a bound is worse.
const grade = (v, [warn, bad]) => (v < bad ? 'bad' : v < warn ? 'warn' : '');

// soundOf is what a row shows of a call besides its record: of both sides the worse.
function soundOf(c) {
  const sides = [c.media?.a, c.media?.b].filter((s) => s?.rx);
  const mute = c.media?.one_way && !c.media[c.media.one_way].rx;
  return { speaks: c.speaks?.length === 2 ? 'both' : c.speaks?.[0] ?? '', mos: c.media?.mos ?? null, loss: sides.length && !mute ? Math.max(...sides.map((s) => missed(s) / (s.rx + s.lost))) : null };
}

// beginners says how to place a first call, where no call was ever finished here.
async function beginners(at, signal) {
  try {
    if ((await get('/api/cdrs?limit=1', signal)).items.length) return;
  } catch {
    return;
  }
  at.closest('.calls').querySelector('.vtable').hidden = !at.hidden;
  fill(at, el('div.first', {}, el('h2', {}, 'The first call'),
    el('p', {}, 'No call has come yet. Place one from this machine, to a number of your routes:'),
    el('pre', { tabindex: 0 }, 'flowbridge call --to sip:+15075785607@127.0.0.1'),
    el('p', {}, 'It needs a trunk with ', el('code', {}, 'local'), ' among its sources. ', el('code', {}, 'flowbridge explain --to NUMBER'), ' says which route and target take a number, without calling. '),
    el('p', {}, 'Or let the carrier call, or a softphone: a call appears here by itself, without a reload. ', el('a', { href: '#/targets' }, 'Targets'), ' has who can be called.')));
}

// place is the number of a caller that waits, in the queue of its route. It changes when another one's call does, so the row can't have it.
function place(r) {
  let n = 1;
  for (const other of feed.calls.values()) if (other.phase === 'queued' && other.route === r.route && other.id < r.id) n++;
  return n;
}

// figures say first whether all is well, then how the main figures went, and then the rest. show changes only what is new.
function figures() {
  const made = {};
  const verdict = el('p.verdict', { role: 'status' });
  // tile is one figure. trendOf: [name in the history, how a number is written, scale].
  const tile = (key, label, title, trendOf) => {
    const value = el('dd.value', {}, '–');
    const more = el('dd.more', {}, '\u00a0');
    const head = el('a', {}, label);
    const drawn = trendOf && trend(label, trendOf[1], (text) => {
      made[key].read = text;
      put(more, text || made[key].said || '\u00a0');
    }, trendOf[2]);
    const at = el(key === 'mos' ? 'div.tile.of-calls' : 'div.tile', { title }, el('dt', {}, head), value, more, drawn ? el('dd.drawn', {}, drawn.element) : null);
    made[key] = { value, more, at, head, drawn, name: trendOf?.[0], said: '', read: '' };
    return at;
  };
  const two = (v) => fixed(v, 2);
  const main = el('dl.tiles', {},
    tile('calls', 'Live calls', null, ['calls', count]),
    tile('ratio', 'Answered', 'Of the callers\' calls that were answered, or ended without an answer, in this time. A call counts once, when that is known', ['answer_ratio', (v) => percent(v, 0), { high: 1 }]),
    tile('setup', 'Set-up p95', 'From INVITE to answer', ['setup_ms', ms]),
    tile('mos', 'MOS', 'Of the calls that are up, and those that ended in this time: half are better, 5 % are worse than p5', ['mos', two, { low: 1, high: 4.5 }]));
  const rest = el('dl.tiles.small', {},
    tile('cps', 'Calls per second', null, ['calls_per_second', fixed]), tile('pdd', 'Post-dial delay p95', 'From INVITE to ringing or answer', ['post_dial_delay_ms', ms]),
    tile('prepare', 'Prepare p95', "The platforms' prepare requests", ['prepare_ms', ms]), tile('loss', 'Loss', 'RTP packets that did not arrive, or too late to be heard, of the same calls as MOS', ['loss', (v) => percent(v, 2)]),
    tile('jitter', 'Jitter p95', 'Of the same calls as MOS', ['jitter_ms', (v) => `${fixed(v)} ms`]), tile('ports', 'RTP port pairs', 'A pair is an RTP and an RTCP port. A call has two pairs', ['ports', count]),
    tile('capacity', 'Capacity', 'Calls of those that this node can take'), tile('rejected', 'Refused, 5 min', 'Requests that became no call', ['rejected', count, { high: 1 }]), tile('unwritten', 'Records to write', 'Records that wait for the disk', ['unwritten', count, { high: 1 }]));
  const happened = lane();
  const span = (label, long) => el('button.quiet', { type: 'button', 'aria-pressed': String(feed.long === long), onclick: (e) => {
    feed.long = long;
    for (const b of e.target.parentNode.querySelectorAll('[aria-pressed]')) b.setAttribute('aria-pressed', String(b === e.target));
    recallDay();
    show(feed.stats);
  } }, label);
  const fold = el('button.quiet', { type: 'button', 'aria-expanded': 'false', onclick: () => fold.setAttribute('aria-expanded', String(element.classList.toggle('open'))) }, 'All lines');
  const causes = el('p.causes', { hidden: true });
  const machine = el('p.machine.hint');
  const element = el('div.figures', {}, main, rest, el('div.row.changes', {}, happened.element, el('span.spans', {}, span('1 h', false), span('24 h', true), fold)), el('div.row', {}, causes), machine);
  const set = (key, value, more, state = '', href = null) => {
    const m = made[key];
    put(m.value, value);
    m.said = more ?? '';
    put(m.more, m.read || m.said || '\u00a0');
    if (m.at.dataset.state !== state) m.at.dataset.state = state;
    if (href && m.head.getAttribute('href') !== href) m.head.setAttribute('href', href);
  };
  const spread = (p, f = ms) => (p ? [f(p.p95), `p50 ${f(p.p50)} · p99 ${f(p.p99)}`] : ['–', 'nothing measured']);
  const full = (n, limit) => (limit && n / limit > 0.9 ? 'bad' : limit && n / limit > 0.7 ? 'warn' : '');

  function show(s) {
    if (!s) return;
    const p = s.phases ?? {};
    const phase = [[p.bridged, 'in call'], [p.dialing, 'dialing'], [p.queued, 'waiting'], [p.preparing, 'preparing'], [p.ending, 'ending']]
      .filter(([n]) => n).map(([n, w]) => `${count(n)} ${w}`).join(' · ');
    const window = `last ${Math.round((s.window_s || 300) / 60)} min`;
    const began = `${new Date(Date.parse(s.at) - (s.window_s || 300) * 1000).toISOString().slice(0, 16)}:00Z`;
    const to = (more) => `#/finished?${new URLSearchParams({ since: began, ...more })}`;
    set('calls', count(s.calls), phase, '', to({}));
    set('cps', fixed(s.calls_per_second), 'last 10 s', '', to({}));
    set('ratio', percent(s.answer_ratio), s.decided ? `${count(s.answered)} of ${count(s.decided)} new calls, ${window}` : 'no call yet',
      s.answer_ratio !== null && s.decided >= 10 ? (s.answer_ratio < 0.5 ? 'bad' : s.answer_ratio < 0.8 ? 'warn' : '') : '', to({ disposition: 'failed' }));
    set('pdd', ...spread(s.post_dial_delay_ms), '', to({ sort: 'setup' }));
    set('prepare', ...spread(s.prepare_ms), '', '#/targets');
    set('setup', ...spread(s.setup_ms), '', to({ sort: 'setup' }));
    const poor = s.mos?.p50 && s.mos.p5 < 3.6 ? `1 call in 20 sounds bad (MOS below ${fixed(s.mos.p5, 2)})` : '';
    set('mos', fixed(s.mos?.p50, 2), s.mos ? poor || `p5 ${fixed(s.mos.p5, 2)}` : 'nothing measured', poor ? (s.mos.p5 < 3 ? 'bad' : 'warn') : '', to({ sort: 'mos' }));
    set('loss', percent(s.loss, 2), `live, and ${window}`, s.loss > 0.03 ? 'bad' : s.loss > 0.01 ? 'warn' : '', to({ problem: 'loss' }));
    set('jitter', ...spread(s.jitter_ms, (n) => `${fixed(n)} ms`), '', to({ sort: 'mos' }));
    set('ports', s.ports?.limit ? `${count(s.ports.in_use)} of ${count(s.ports.limit)}` : count(s.ports?.in_use), s.media?.engine ?? '', full(s.ports?.in_use, s.ports?.limit));
    set('capacity', s.capacity?.limit ? percent(s.capacity.calls / s.capacity.limit, 0) : 'no limit',
      s.capacity?.limit ? `${count(s.capacity.calls)} of ${count(s.capacity.limit)}` : 'set by ports and files', full(s.capacity?.calls, s.capacity?.limit));
    const refused = Object.entries(s.rejected ?? {}).sort((x, y) => y[1] - x[1]);
    set('rejected', count(refused.reduce((n, [, k]) => n + k, 0)), refused.slice(0, 2).map(([r, n]) => `${words(line(r, 40))} ${count(n)}`).join(' · '));
    set('unwritten', count(s.unwritten), s.unwritten ? 'they wait in memory' : 'all are on disk', s.unwritten ? 'bad' : '');
    const of = past();
    for (const m of Object.values(made)) m.drawn?.show(of, m.name, feed.events);
    happened.show(of, feed.events);
    const [state, text] = wellness(s);
    if (verdict.dataset.state !== state) verdict.dataset.state = state;
    put(verdict, text);
    put(machine, machineLine(s.machine, feed.hello?.version, Date.parse(s.at)));
    const ended = Object.entries(s.causes ?? {}).sort((x, y) => y[1] - x[1]);
    causes.hidden = !ended.length;
    const key = `${ended.map(([c, n]) => `${c}${n}`).join()}${began}${s.ended}`;
    if (causes.dataset.text !== key) {
      causes.dataset.text = key;
      fill(causes, `Why ${count(s.ended)} ${s.ended === 1 ? 'call' : 'calls'} ended, ${window}: `, ended.slice(0, 12).map(([c, n]) => [el('a', { href: to({ cause: c }) }, `${words(line(c, 40))} `, el('b', {}, count(n))), ' ']));
    }
  }
  return { element, verdict, show };
}
