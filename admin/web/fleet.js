// The view of a fleet: its nodes and seats. It asks while it is shown and the page is looked at, and only then.

import { get } from './api.js';
import { el, fill, line, peer, put, renew } from './dom.js';
import { feed } from './feed.js';
import { count, momentOf, ms } from './format.js';

const every = 5000; // milliseconds
const states = { live: 'ok', standby: 'idle', vanished: 'failing' };
const leases = { held: 'ok', left: 'idle', lapsed: 'failing' };

const ofNodes = ['Node', 'State', 'Last seen', 'Seat', 'Part of the caps', 'Numbers', 'Version'];
const ofSeats = ['Seat', 'Node', 'Lease', 'Epoch', 'Since', 'Protected calls', 'Unprotected calls'];

// row fills the cells of a row. On a phone each has its head beside it.
const row = (heads, [name, ...cells]) => el('tr', {}, el('th', { scope: 'row' }, name),
  cells.map((c, i) => el('td', { 'data-label': heads[i + 1] }, c)));

function nodeRow(n) {
  const name = peer(n.node, 64);
  const own = n.node === feed.hello?.node ? el('span.hint', {}, ' this node') : null;
  return row(ofNodes, [[/^http:\/\//.test(n.api) ? el('a', { href: `${n.api}/` }, name) : name, own],
    el(`span.health.${states[n.state] ?? 'idle'}`, {}, line(n.state, 16)), `${ms(n.seen_ms)} ago`, peer(n.seat, 64),
    n.of ? `1/${count(n.of)}, no. ${count(n.part)}` : '–', line(n.numbers, 16) || '–', peer(n.version, 24)]);
}

function seatRow(s) {
  const ago = s.lease === 'lapsed' ? ` renewed ${ms(s.renewed_ms)} ago` : '';
  return row(ofSeats, [peer(s.seat, 64), peer(s.node, 64), [el(`span.health.${leases[s.lease] ?? 'idle'}`, {}, line(s.lease, 16)), ago],
    count(s.epoch), momentOf(s.since), count(s.protected), s.unprotected ? el('span.bad', {}, count(s.unprotected)) : '0']);
}

// told says what an operator has to know, in a sentence each.
function told(all) {
  const vanished = all.nodes.filter((n) => n.state === 'vanished').length;
  const lapsed = all.seats.filter((s) => s.lease === 'lapsed').length;
  const open = all.seats.reduce((sum, s) => sum + s.unprotected, 0);
  const text = [vanished && `Vanished nodes: ${count(vanished)}.`, lapsed && `Seats that no node has: ${count(lapsed)}.`,
    open && `Calls that would end with their machine: ${count(open)}.`, all.numbers_differ && 'The nodes have different tables of numbers.',
    all.secrets_differ.length && `Nodes of a seat have different secrets: ${all.secrets_differ.join(', ')}.`];
  return text.filter(Boolean).join(' ') || 'All nodes are there.';
}

export function fleet(main) {
  document.title = 'Fleet · Flowbridge';
  const status = el('p.hint', { role: 'status' }, 'Reading …');
  const [nodes, seats] = [el('tbody'), el('tbody')];
  const table = (heads, rows) => el('div.wrap', {}, el('table.cards.targets', {}, el('thead', {}, el('tr', {}, heads.map((h) => el('th', { scope: 'col' }, h)))), rows));
  const below = el('section', { 'aria-labelledby': 'h-seats', hidden: true }, el('h2', { id: 'h-seats' }, 'Seats'), table(ofSeats, seats));
  fill(main, el('section', { 'aria-labelledby': 'h-fleet' }, el('h1', { id: 'h-fleet' }, 'Fleet'), status, table(ofNodes, nodes)), below);
  const abort = new AbortController();
  let timer = 0;
  let asking = false;

  async function load() {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    try {
      const all = await get('/api/fleet', abort.signal);
      renew(nodes, all.nodes.map(nodeRow));
      renew(seats, all.seats.map(seatRow));
      below.hidden = !all.seats.length;
      status.className = 'hint';
      put(status, told(all));
    } catch (err) {
      if (abort.signal.aborted) return;
      status.className = 'problem';
      put(status, line(`${err.message}. ${err.remedy ?? ''}`, 600));
    }
    asking = false;
    timer = setTimeout(load, every);
  }

  document.addEventListener('visibilitychange', load);
  load();
  return () => {
    abort.abort();
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', load);
  };
}
