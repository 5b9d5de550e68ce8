// What /api/events tells: the newest figures, the targets, the live calls. It reconnects by itself.

import { events, get } from './api.js';

export const feed = {
  hello: null, // {node, version, rights, fleet}
  stats: null,
  targets: null,
  calls: new Map(), // by id: see rowOf
  past: { start: 0, step: 10000, figures: {}, targets: new Map() }, // the last hour: numbers or null by name, the oldest first
  day: null, // the same of the last 24 hours
  long: false, // the day is looked at, and not the hour
  events: [], // what changed in the last 24 hours
  online: false,
  problem: null, // why it is not
};

const listeners = new Set();

// listen has f called when something has changed, at most once a frame of the feed. It gives a function that ends that.
export function listen(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

let due = false;
function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const f of [...listeners]) f();
  }, 50); // what comes in one frame is one change
}

let serial = 0; // of the connection in use
let withCalls = false;
let stop = () => {};

// connect reads events from now on. With the calls, if calls is true or was before.
export async function connect(calls, again = false) {
  if (serial && !again && (!calls || withCalls)) return;
  withCalls ||= calls;
  stop();
  const mine = ++serial;
  for (let wait = 500; mine === serial; wait = Math.min(wait * 2, 10000)) {
    const abort = new AbortController();
    stop = () => abort.abort();
    try {
      await events(`/api/events?calls=${withCalls ? 1 : 0}`, (name, data) => {
        if (mine !== serial) return;
        wait = 500;
        told(name, data, mine);
      }, abort);
      if (mine === serial) feed.problem = null;
    } catch (err) {
      if (mine === serial) feed.problem = err;
    }
    if (mine !== serial) return;
    feed.online = false;
    changed();
    await new Promise((r) => setTimeout(r, wait));
  }
}

function told(name, data, mine) {
  switch (name) {
    case 'hello':
      feed.hello = data;
      feed.online = true;
      feed.calls.clear();
      recall(mine);
      break;
    case 'calls':
      for (const c of data) feed.calls.set(c.id, rowOf(c));
      break;
    case 'call':
      feed.calls.set(data.id, rowOf(data));
      break;
    case 'ended':
      feed.calls.delete(data.id);
      break;
    case 'stats':
      if (data.changes !== feed.stats?.changes || (feed.long && Date.now() > asked + 240000)) recallDay(mine);
      feed.stats = data;
      remember(Date.parse(data.at));
      break;
    case 'targets':
      feed.targets = data;
      break;
  }
  changed();
}

// What GET /api/history has of the figures and of a target, from the events that tell the same now.
const ofStats = {
  calls: (s) => s.calls, calls_per_second: (s) => s.calls_per_second, answer_ratio: (s) => s.answer_ratio, post_dial_delay_ms: (s) => s.post_dial_delay_ms?.p95,
  prepare_ms: (s) => s.prepare_ms?.p95, setup_ms: (s) => s.setup_ms?.p95, loss: (s) => s.loss, jitter_ms: (s) => s.jitter_ms?.p95, mos: (s) => s.mos?.p50,
  ports: (s) => s.ports?.in_use, unwritten: (s) => s.unwritten, rejected: (s) => Object.values(s.rejected ?? {}).reduce((n, k) => n + k, 0),
};
const ofTarget = {
  calls: (t) => t.calls, failed: (t) => t.failed, answer_ratio: (t) => t.answer_ratio, prepare_ms: (t) => t.prepare_ms?.p95, answer_ms: (t) => t.answer_ms?.p95, turns_ms: (t) => t.turns_ms?.p95,
};
const most = 360;

// recall reads the last hour, once for each connection: after that, remember makes its points.
async function recall(mine) {
  const past = { start: 0, step: 10000, figures: {}, targets: new Map() };
  feed.past = past;
  try {
    const h = await get('/api/history');
    if (mine !== serial || !h.start) return;
    const start = Date.parse(h.start);
    const known = h.figures.calls.length;
    const place = past.figures.calls ? Math.floor((past.start - start) / past.step) : known; // of the first point that came meanwhile
    const over = Math.max(0, Math.max(known, place + (past.figures.calls?.length ?? 0)) - most);
    const join = (series, more) => Object.fromEntries(Object.entries(series).map(([name, points]) => [name, [
      ...points, ...Array(Math.max(0, Math.min(place, known + most) - known)).fill(null), ...(more?.[name] ?? []).slice(Math.max(0, known - place))].slice(over)]));
    Object.assign(past, { start: start + over * past.step, figures: join(h.figures, past.figures), targets: new Map(h.targets.map((t) => [t.name, join(t.series, past.targets.get(t.name))])) });
    changed();
  } catch { /* without it, the history begins now */ }
}

// past is the history that is looked at.
export const past = () => (feed.long && feed.day) || feed.past;

let asked = 0;

// recallDay reads the last day, and what changed in it.
export async function recallDay(mine = serial) {
  asked = Date.now();
  try {
    const h = await get('/api/history/day');
    if (mine !== serial) return;
    feed.events = h.events;
    feed.day = { start: h.start ? Date.parse(h.start) : asked, step: h.step_s * 1000, figures: h.figures, targets: new Map(h.targets.map((t) => [t.name, t.series])) };
    changed();
  } catch { /* it is asked for again when something changes */ }
}

// remember adds a point each ten seconds.
function remember(at) {
  const p = feed.past;
  const length = p.figures.calls?.length ?? 0;
  if (!length) p.start = at;
  const place = Math.min(Math.floor((at - p.start) / p.step), length + most);
  if (length && place < length) return;
  const put = (series, read, from) => {
    for (const [name, f] of Object.entries(read)) {
      const points = (series[name] ??= []);
      while (points.length < place) points.push(null);
      points.push(f(from) ?? null);
      if (points.length > most) points.splice(0, points.length - most);
    }
  };
  put(p.figures, ofStats, feed.stats);
  for (const t of feed.targets ?? []) {
    if (!p.targets.has(t.name)) p.targets.set(t.name, {});
    put(p.targets.get(t.name), ofTarget, t);
  }
  if (place >= most) p.start += (place + 1 - most) * p.step;
}

// rowOf keeps of a live call what its row shows: 10,000 of them stay small.
function rowOf(c) {
  const problems = (c.problems ?? []).join(' ');
  const flags = [problems, c.recording === 'on' && 'rec', c.recording === 'paused' && 'paused', c.masked && 'masked', c.transcodes, c.held?.length && 'held'].filter(Boolean).join(' ');
  return {
    id: c.id, from: c.from, to: c.to, trunk: c.trunk, target: c.target, phase: c.phase, route: c.phase === 'queued' ? c.route : undefined,
    started: Date.parse(c.started_at), answered: c.answered_at ? Date.parse(c.answered_at) : 0,
    flags, problems, hay: [flags, c.from, c.to, c.trunk, c.target, c.phase, c.id, c.sip_call_id, c.target_sip_call_id, c.synthflow_call_id].join('\n').toLowerCase(),
  };
}
