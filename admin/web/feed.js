// What /api/events tells: the newest figures, the targets, the live calls. It reconnects by itself.

import { events } from './api.js';

export const feed = {
  hello: null, // {node, version, rights, fleet}
  stats: null,
  targets: null,
  calls: new Map(), // by id: see rowOf
  history: [], // of stats, a point each second, for five minutes
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
        told(name, data);
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

function told(name, data) {
  switch (name) {
    case 'hello':
      feed.hello = data;
      feed.online = true;
      feed.calls.clear();
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
      feed.stats = data;
      feed.history.push({ at: Date.parse(data.at), calls: data.calls, cps: data.calls_per_second });
      if (feed.history.length > 300) feed.history.shift();
      break;
    case 'targets':
      feed.targets = data;
      break;
  }
  changed();
}

// rowOf keeps of a live call what its row shows: 10,000 of them stay small.
function rowOf(c) {
  return {
    id: c.id, from: c.from, to: c.to, trunk: c.trunk, target: c.target, phase: c.phase, route: c.phase === 'queued' ? c.route : undefined,
    started: Date.parse(c.started_at), answered: c.answered_at ? Date.parse(c.answered_at) : 0,
    flags: [c.recording === 'on' && 'rec', c.recording === 'paused' && 'paused', c.masked && 'masked', c.held?.length && 'held'].filter(Boolean).join(' '),
    hay: [c.from, c.to, c.trunk, c.target, c.phase, c.id, c.sip_call_id, c.target_sip_call_id, c.synthflow_call_id].join('\n').toLowerCase(),
  };
}
