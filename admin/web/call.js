// The view of one call, live or finished.

import { download, get, post } from './api.js';
import { confirm } from './dialogs.js';
import { clip, code, el, fill, line, peer, renew } from './dom.js';
import { feed, listen } from './feed.js';
import { bytes, clock, count, dateOf, fixed, momentOf, ms, percent, timeOf, words } from './format.js';
import { chart, phases } from './charts.js';
import { hear } from './hear.js';
import { ladder } from './ladder.js';
import { timeline } from './timeline.js';
import { causes, endOf, isNormal, platformPage, story, verdict } from './words.js';

const every = 2000; // how often a live call is asked for, in milliseconds

export function call(main, id) {
  document.title = `Call ${clip(id, 13)} · Flowbridge`;
  const abort = new AbortController();
  const [head, said, orders, result, facts, media, streams] = ['div.callhead', 'div.story', 'div.orders', 'p.result', 'div', 'div', 'div.charts'].map((w) => el(w));
  result.setAttribute('role', 'status');
  const drawn = ladder();
  const time = timeline((i) => drawn.open(i));
  const routes = el('div.routes');
  const noLadder = el('p.hint', {}, 'Loading …');
  const section = (title, ...content) => el('section', { 'aria-label': title }, el('h2', {}, title), content);
  const folded = (title, ...content) => section(title, el('details.fold', { open: matchMedia('(min-width: 641px)').matches }, el('summary', {}, title), content));
  fill(main, head, orders, result, said, routes, section('Timeline', time.element),
    section('Messages', noLadder, drawn.element), folded('Audio', streams, media), folded('Record', facts));
  drawn.element.hidden = true;
  let timer = 0;
  let shown = null;
  let hearing = null; // ends the audio that is heard

  async function load() {
    clearTimeout(timer);
    try {
      const c = await get(`/api/calls/${encodeURIComponent(id)}`, abort.signal);
      shown = c;
      show(c);
      await loadLadder();
      if (c.phase !== 'ended') timer = setTimeout(load, every);
    } catch (err) {
      if (abort.signal.aborted) return;
      if (!shown) fill(main, el('h1', {}, 'Call'), el('p.problem', {}, line(`${err.message}. ${err.remedy ?? ''}`, 600)), el('p', {}, el('a', { href: '#/finished' }, 'Search the finished calls')));
      else timer = setTimeout(load, every); // away for a moment
    }
  }

  async function loadLadder() {
    try {
      const data = await get(`/api/calls/${encodeURIComponent(id)}/ladder`, abort.signal);
      drawn.update(data);
      time.update(shown, data);
      renew(routes, unrouted(shown, data));
      drawn.element.hidden = false;
      noLadder.hidden = true;
      const points = String(data.streams?.points?.length ?? 0);
      if (streams.dataset.points !== points) fill(streams, plots(data.streams)); // else the place of a chart's cursor is lost
      streams.dataset.points = points;
    } catch (err) {
      if (abort.signal.aborted) return;
      time.update(shown, null);
      noLadder.hidden = false;
      fill(noLadder, line(`${err.message}. ${err.remedy ?? ''}`, 600));
      fill(streams);
      delete streams.dataset.points;
    }
  }

  function show(c) {
    const live = c.phase !== 'ended';
    renew(head, el('h1', {}, peer(c.from, 48), el('span.to', { 'aria-label': 'to' }, ' → '), peer(c.to, 48)),
      el('p', {}, live ? el('span.outcome.live', {}, c.phase === 'bridged' ? 'in call' : c.position ? `waiting, no. ${c.position}` : words(c.phase)) : el(`span.outcome.${c.disposition}`, {}, words(c.disposition)),
        ' ', live ? '' : el('b', {}, endOf(c)), ' ', el('span.problem', {}, c.problems?.join(' ')), ' ', el('span.hint', {}, `${dateOf(c.started_at)} ${timeOf(c.started_at)}`,
          c.recording === 'on' || c.recording === 'paused' ? ` · recording ${c.recording === 'on' ? '' : 'paused'}` : '', c.masked ? ' · keys masked' : '', c.transcodes ? ` · ${c.transcodes}` : '',
          c.held?.length ? ` · held by ${c.held.map((s) => (s === 'a' ? 'the caller' : 'the called side')).join(' and ')}` : '')));
    const cause = causes[c.cause];
    renew(said, el('p', {}, story(c, live)),
      !live && cause ? el('p', {}, el('b', {}, `${endOf(c)}: `), endOf(c) === words(c.cause) ? [code(cause.happened), '. '] : null, el('b', {}, verdict(c)), isNormal(c.cause) ? '' : [' Details: ', code(cause.look), '. ', el('a', { href: `docs/?q=${encodeURIComponent(c.cause)}` }, 'What the documents say'), '.']) : null,
      live && (c.media?.one_way || c.media?.silences) ? el('p', {}, el('b', {}, verdict(c))) : null,
      away(c), phases(c, Date.now()), attempts(c));
    showOrders(c, live);
    renew(media, mediaTable(c.media, c.answered_at));
    renew(facts, recordOf(c));
  }

  function showOrders(c, live) {
    const may = feed.hello?.rights === 'operate';
    const button = (text, path, body, ask, verb) => el('button', { type: 'button', onclick: () => order(text, path, body, ask, verb) }, text);
    const hears = live && feed.hello?.listen && c.phase === 'bridged';
    const key = `${live} ${may} ${hears} ${!hearing} ${c.recording} ${c.masked}`;
    if (orders.dataset.key === key) return; // so that a button keeps the focus
    orders.dataset.key = key;
    const recorded = c.recording === 'on' || c.recording === 'paused';
    fill(orders, el('button', { type: 'button', onclick: capsule }, 'Download capsule'),
      hearing ? el('button', { type: 'button', onclick: () => hearing.abort() }, 'Stop listening') : hears ? el('button', { type: 'button', onclick: heard }, 'Listen') : null,
      live && may ? [
        recorded ? button('Stop recording', 'recording/stop', null, 'The recording ends here.', 'Stop it') : button('Record', 'recording/start', null, 'The call is recorded from now on. Nobody is told, unless recording.beep is set.', 'Record it'),
        c.masked ? button('Unmask keys', 'mask', { on: false }, 'Keys that the caller presses pass again.', 'Unmask') : button('Mask keys', 'mask', { on: true }, 'Keys that the caller presses are no longer passed on.', 'Mask'),
        el('span.gap'), el('button.danger', { type: 'button', onclick: () => order('Hang up', 'hangup', null, `Both sides are told, and the call is over. It is ${line(c.from, 40)} to ${line(c.to, 40)}.`, 'Hang up') }, 'Hang up')] : null);
  }

  async function order(title, path, body, ask, verb) {
    if (!(await confirm(`${title}?`, ask, verb))) return;
    result.className = 'result';
    fill(result, `${title} …`);
    try {
      const state = await post(`/api/calls/${encodeURIComponent(id)}/${path}`, body);
      fill(result, path === 'hangup' ? `Done: the call has ended (${words(state.cause)}).` : `Done: recording ${state.recording}, keys ${state.masked ? 'masked' : 'not masked'}.`);
    } catch (err) {
      result.className = 'result problem';
      fill(result, line(`Not done: ${err.message}. ${err.remedy ?? ''}`, 600));
    }
    load();
  }

  async function heard() {
    if (!(await confirm('Listen?', 'You hear both sides, the caller on the left. Nobody is told. The name of your token goes into the record.', 'Listen'))) return;
    hearing = new AbortController();
    abort.signal.addEventListener('abort', () => hearing?.abort());
    showOrders(shown, true);
    result.className = 'result';
    fill(result, 'Listening …');
    try {
      await hear(id, hearing.signal);
      fill(result, 'No longer listening: the call has ended, or was handed to a new process. While it is live, you can listen again.');
    } catch (err) {
      if (!hearing.signal.aborted) result.className = 'result problem';
      fill(result, hearing.signal.aborted ? 'No longer listening.' : line(`No longer listening: ${err.message}. ${err.remedy ?? ''}`, 600));
    }
    hearing = null;
    load();
  }

  async function capsule() {
    try {
      await download(`/api/calls/${encodeURIComponent(id)}/capsule`, `flowbridge-${id}.zip`);
    } catch (err) {
      result.className = 'result problem';
      fill(result, line(`No capsule: ${err.message}. ${err.remedy ?? ''}`, 600));
    }
  }

  let known = null;
  const ends = listen(() => {
    if (!shown) return;
    showOrders(shown, shown.phase !== 'ended'); // rights may have changed
    if (!known && feed.targets) show(shown); // the targets have just come
    known = feed.targets;
  });
  load();
  return () => {
    abort.abort();
    clearTimeout(timer);
    time.end();
    ends();
  };
}

// away is the link to the platform's own page of the call, where it is known.
function away(c) {
  const href = platformPage(c, feed.targets);
  return href ? el('p', {}, el('a', { href, target: '_blank', rel: 'noopener noreferrer' }, 'This call at ', peer(c.target, 48))) : null;
}

// unrouted is why each route did not take a call that none took, as the ladder has it.
function unrouted(c, data) {
  const why = c.cause === 'no_route' ? data.messages.filter((m) => m.kind === 'decision' && / not match/.test(m.summary)) : [];
  return why.length ? [el('h2', {}, 'Why no route took it'), el('ul', {}, why.map((m) => el('li', {}, peer(m.summary, 400))))] : null;
}

function attempts(c) {
  if (!c.attempts?.length) return null;
  const td = (label, ...content) => el('td', { 'data-label': label }, content);
  return el('div.wrap', {}, el('table.cards.attempts', {}, el('thead', {}, el('tr', {}, ['Attempt', 'Prepare', 'SIP', 'Took', 'Result'].map((h) => el('th', { scope: 'col' }, h)))),
    el('tbody', {}, c.attempts.map((a, i) => el('tr', {},
      el('th', { scope: 'row' }, `${i + 1}. `, peer(a.target, 48), a.reason ? el('span.hint', {}, ` ${words(a.reason)}`) : null),
      td('Prepare', a.prepare_status || a.prepare_ms ? `${a.prepare_status ? `HTTP ${a.prepare_status}, ` : ''}${ms(a.prepare_ms)}` : '–'),
      td('SIP', a.sip_status || '–'), td('Took', a.ms ? ms(a.ms) : '–'),
      td('Result', a.cause ? [el('span.bad', { title: causes[a.cause]?.happened ?? null }, words(a.cause)), a.error ? el('span.hint', {}, ' ', peer(a.error, 200)) : null] : c.ended_at || c.answered_at ? 'took the call' : 'under way'))))));
}

// whole are the points without a last one of less than a second, in which a packet more or less is a peak: it is part of the one before.
function whole(points) {
  const [before, last] = points.slice(-2);
  if (!last || last.ms - before.ms >= 1000) return points;
  const sum = (side) => ({ ...last[side], ...Object.fromEntries(['rx', 'tx', 'lost'].map((k) => [k, (before[side]?.[k] ?? 0) + (last[side]?.[k] ?? 0)])) });
  return [...points.slice(0, -2), { ms: last.ms, a: sum('a'), b: sum('b') }];
}

// plots draws the streams: what came from and went to each side, what was lost, and how unevenly it came.
function plots(s) {
  const points = whole(s?.points ?? []);
  if (!points.length) return el('p.hint', {}, 'No measurements over time: the first one comes after five seconds of audio.');
  const per = (side, f) => points.map((p, i) => [p.ms, f(p[side] ?? {}, Math.max(1, p.ms - (points[i - 1]?.ms ?? 0)) / 1000)]);
  return [['a', 'Caller'], ['b', 'Called side']].map(([side, name]) => [
    chart({ title: `${name}: packets per second`, least: 10, series: [
      { name: 'received', points: per(side, (p, dt) => (p.rx ?? 0) / dt) }, { name: 'sent', points: per(side, (p, dt) => (p.tx ?? 0) / dt) }] }),
    chart({ title: `${name}: loss`, unit: ' %', digits: 1, least: 1, series: [{ name: 'lost', points: per(side, (p) => (p.lost ? (100 * p.lost) / ((p.rx ?? 0) + p.lost) : 0)) }] }),
    chart({ title: `${name}: jitter`, unit: ' ms', digits: 1, least: 5, series: [{ name: 'jitter', points: per(side, (p) => p.jitter_ms ?? 0) }] })]).flat();
}

function mediaTable(m, answered) {
  if (!m || !answered) return null;
  const rows = [
    ['Packets received', (s) => count(s.rx)], ['Packets sent', (s) => count(s.tx)],
    ['Lost', (s) => `${count(s.lost)} (${percent(s.rx + s.lost ? s.lost / (s.rx + s.lost) : 0, 2)})${s.late ? `, ${count(s.late)} came too late` : ''}${s.lost_here || s.late_here ? `; by this machine ${count(s.lost_here ?? 0)} lost, ${count(s.late_here ?? 0)} late` : ''}`], ['Not passed on', (s) => `${count(s.dropped)}${s.dropped ? ` (${Object.entries(s.dropped_by ?? {}).map(([k, n]) => `${words(k)} ${n}`).join(', ')})` : ''}`],
    ['Jitter', (s) => `${fixed(s.jitter_ms)} ms`], ['Round trip', (s) => (s.rtt_ms ? `${fixed(s.rtt_ms)} ms` : '–')], ['MOS', (s) => fixed(s.mos, 2)],
    ['Codec', (s) => line(s.codec, 32) || '–'], ['Expected from', (s) => line(s.expected, 64) || '–'], ['Came from', (s) => line(s.source, 64) || '–'], ['Refused', (s) => line(s.refused, 64) || '–'], ['SRTP', (s) => line(s.srtp, 48) || 'no'],
  ];
  return el('div.wrap', {}, el('table.facts', {}, el('thead', {}, el('tr', {}, el('td'), ['Caller', 'Called side'].map((h) => el('th', { scope: 'col' }, h)))),
    el('tbody', {}, rows.map(([name, f]) => el('tr', {}, el('th', { scope: 'row' }, name), ['a', 'b'].map((k) => el('td', {}, el('bdi', {}, m[k] ? f(m[k]) : '–'))))))));
}

// toldOf says what the caller was told before the agent: what was sent, which is not always what was heard.
function toldOf(t) {
  return [`${line(t.sound, 48)}, ${t.whole ? 'whole' : 'NOT whole'}: ${count(t.packets)} packets sent, from ${ms(t.from_ms)} to ${ms(t.to_ms)} of the call`,
    t.lost === null ? 'no RTCP report of lost packets' : `the caller's RTCP reports ${count(t.lost)} lost`, t.talked_over ? 'the caller spoke during it' : '', t.key ? `key ${line(t.key, 4)}` : '', t.accepted === undefined ? '' : t.accepted ? 'accepted' : 'NOT accepted'].filter(Boolean).join('; ');
}

function recordOf(c) {
  const items = [
    ['Id', c.id], ['Trunk', c.trunk], ['Route', c.route], ['Target', c.target], ['Direction', c.direction], ['Node', c.node],
    ["Caller's Call-ID", c.sip_call_id], ["Target's Call-ID", c.target_sip_call_id], ["Platform's id", c.synthflow_call_id], ['External id', c.external_id], ['Trace', c.trace_id],
    ['Began', momentOf(c.started_at)], ['Answered', momentOf(c.answered_at)], ['Ended', momentOf(c.ended_at)], ['Ended by', words(c.ended_by)],
    ['Set-up', c.answered_at ? ms(c.setup_ms) : ''], ['Duration', c.ended_at && c.answered_at ? clock(c.duration_ms) : ''],
    ['SIP status', c.sip_status || ''], ['Q.850', c.q850 || ''], ['Codec', c.codec],
    ['Outlived its process', c.restored ? `${c.restored} ×` : ''], ['Audio missing', c.media?.gap_ms ? ms(c.media.gap_ms) : ''], ['No CPU here for', c.media?.no_cpu_ms ? ms(c.media.no_cpu_ms) : ''],
    ['Conversation', c.talk ? [words(c.talk.confidence), words(c.talk.reason)].filter(Boolean).join(': ') : ''], ['First word of the agent', c.talk && c.talk.first_agent_ms !== null ? ms(c.talk.first_agent_ms) : ''],
    ['Answers', c.talk?.turns ? `${c.talk.turns.n}: p50 ${ms(c.talk.turns.p50_ms)}, p95 ${ms(c.talk.turns.p95_ms)}, at most ${ms(c.talk.turns.max_ms)}` : ''],
    ['Interruptions', c.talk?.barge_ins || c.talk?.barge_ins_ignored ? `${c.talk.barge_ins ? `${c.talk.barge_ins.n} obeyed, p50 ${ms(c.talk.barge_ins.p50_ms)}` : 'none obeyed'}, ${c.talk.barge_ins_ignored} ignored` : ''],
    ['Dead air', c.talk?.dead_air_ms ? `${ms(c.talk.dead_air_ms)}, for the agent ${ms(c.talk.agent_dead_air_ms)}` : ''],
    ['Told', c.told ? toldOf(c.told) : ''],
    ['Music on hold', c.talk?.agent_music_ms ? ms(c.talk.agent_music_ms) : ''],
  ].filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== '–');
  return [el('dl.record', {}, items.map(([k, v]) => el('div', {}, el('dt', {}, k), el('dd', {}, peer(v, 300))))),
    c.recordings?.length ? el('p', {}, 'Recordings: ', c.recordings.map((r) => [
      r.file ? el('button', { type: 'button', disabled: !r.ended_at, onclick: () => download(`/api/recordings/${r.file.split('/').map(encodeURIComponent).join('/')}`, r.file.split('/').at(-1)) }, `${line(r.format, 8)}${r.file.endsWith('.age') ? ', encrypted' : ''}, ${bytes(r.bytes)}`) : null,
      r.by ? [peer(r.by, 48), r.ended_at || r.error ? ` listened for ${clock(new Date(r.ended_at ?? c.ended_at) - new Date(r.started_at))}` : ' listens'] : r.error ? el('span.bad', {}, ` ${line(r.error, 200)}`) : null, ' '])) : null,
    c.report ? el('p', {}, 'The platform reported: ', peer([c.report.status, c.report.end_reason].filter(Boolean).join(', '), 300)) : null];
}
