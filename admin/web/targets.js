// The view of targets: how each does now, and over the last hour. The line of them above the live calls, too.

import { answer } from './api.js';
import { confirm } from './dialogs.js';
import { el, fill, line, peer, put, renew } from './dom.js';
import { feed, listen, past } from './feed.js';
import { count, momentOf, ms, percent, timeOf, words } from './format.js';
import { spark } from './charts.js';
import { next } from './next.js';

const healths = ['failing', 'refusing', 'unknown', 'ok', 'idle']; // the worst first
const classOf = (t) => (healths.includes(t.health) ? t.health : 'idle');

// wordOf says how a target does, and of a bad one since when or why.
function wordOf(t) {
  const e = t.last_error;
  if (t.circuits?.some((c) => c.state !== 'closed')) return 'out of use';
  if (t.refusing) return `refusing: ${words(line(t.refusing.with, 40))} × ${count(t.refusing.attempts)}`;
  if (t.health === 'unknown' && e) return `unknown since ${timeOf(e.at).slice(0, 5)}, last: ${e.prepare_status || e.sip_status || words(line(e.cause, 60))}`;
  return line(t.health, 16);
}

// since says from when on the sparklines are.
const since = () => (feed.past.start ? `since ${timeOf(feed.past.start).slice(0, 5)}` : '');

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

// pinned says which weights of a split an operator has set by hand, with a button that releases them.
function pinned(t) {
  const release = (s) => async (e) => {
    if (!(await confirm('Release?', `The split of ${line(s.route, 64)} gets back the weights of the file, and follows what callers hear if the file says so.`, 'Release'))) return;
    try {
      await answer(`/api/routes/${encodeURIComponent(s.route)}/weights`, { method: 'DELETE' });
    } catch (err) {
      fill(e.target.parentNode, line(`Not released: ${err.message}. ${err.remedy ?? ''}`, 300));
    }
  };
  return (t.shares ?? []).filter((s) => s.pinned).map((s) => el('span.hint.pinned', {}, ` ${count(s.weight)} of ${count(s.of)} of ${line(s.route, 64)}, ${line(s.moved, 120)} `,
    feed.hello?.rights === 'operate' ? el('button', { type: 'button', onclick: release(s) }, 'Release') : null));
}

function lastError(e) {
  return [el('a', { href: e.call ? `#/calls/${encodeURIComponent(e.call)}` : null, title: momentOf(e.at) }, timeOf(e.at), ' ', words(line(e.cause, 60))),
    e.prepare_status ? ` HTTP ${e.prepare_status}` : '', e.sip_status ? ` SIP ${e.sip_status}` : ''];
}

const heads = ['Target', 'Health', 'Calls', 'Attempts', 'Answered', 'Prepare p50 / p95', 'Answer p50 / p95', "Agent's answers p50 / p95", 'Last error'];

export function targets(main) {
  document.title = 'Targets · Flowbridge';
  const rows = el('tbody');
  const [from, little] = [el('span.hint'), el('div')];
  fill(main, el('section', { 'aria-labelledby': 'h-targets' }, el('div.row', {}, el('h1', { id: 'h-targets' }, 'Targets'), from), el('p.hint', {}, 'Figures of the last 5 minutes, lines of the last hour. ', el('a', { href: '#/compare' }, 'Compare finished calls by target'), '.'),
    el('div.wrap', {}, el('table.cards.targets', {}, el('thead', {}, el('tr', {}, heads.map((h) => el('th', { scope: 'col' }, h)))), rows)), little));
  let shown = null;
  let drawn = [];
  function refresh() {
    put(from, since());
    little.hidden = feed.targets?.length > 8;
    if (!little.hidden) renew(little, next('place', 'compare', 'routing', 'test'));
    if (feed.targets !== shown) {
      shown = feed.targets;
      drawn = [];
      fill(rows, shown?.length ? shown.map((t) => rowOf(t, drawn)) : el('tr', {}, el('td', { colspan: heads.length }, 'No targets yet.')));
    }
    for (const [s, name, key, word] of drawn) s.show(feed.past.targets.get(name)?.[key], feed.past.start, word);
  }
  const ends = listen(refresh);
  refresh();
  return ends;
}

function rowOf(t, drawn) {
  const td = (label, ...content) => el('td', { 'data-label': label }, content);
  const e = t.last_error;
  const pair = (p) => (p ? `${ms(p.p50)} / ${ms(p.p95)}` : '–');
  const over = (key, label, word) => {
    const s = spark(`${line(t.name, 40)}, ${label}`);
    drawn.push([s, t.name, key, word]);
    return s.element;
  };
  return el('tr', {},
    el('th', { scope: 'row', title: line(t.address) }, el('a', { href: `#/finished?${new URLSearchParams({ target: t.name })}` }, peer(t.name, 64)), el('span.hint', {}, ` ${line(t.kind, 24)}`),
      t.kind === 'trunk' || feed.hello?.rights !== 'operate' ? null : el('a.button.try', { href: `#/place?${new URLSearchParams({ target: t.name })}` }, 'Try')),
    td('Health', el(`span.health.${classOf(t)}`, {}, wordOf(t)), unanswered(t), avoided(t), pinned(t)),
    td('Calls', t.max_calls ? `${count(t.calls)} of ${count(t.max_calls)}` : count(t.calls), over('calls', 'calls', count)),
    td('Attempts', count(t.attempts), t.failed ? el('span.bad', {}, `, ${count(t.failed)} failed`) : null, over('failed', 'failed attempts of 5 min', count)),
    td('Answered', percent(t.answer_ratio), over('answer_ratio', 'answered', percent)),
    td('Prepare', pair(t.prepare_ms), over('prepare_ms', 'prepare p95', ms)), td('Answer', pair(t.answer_ms), over('answer_ms', 'answer p95', ms)),
    td("Agent's answers", pair(t.turns_ms), over('turns_ms', "agent's answers p95", ms)),
    el('td.error', { 'data-label': 'Last error' }, e ? [lastError(e), e.text ? [' ', el('span.hint', {}, peer(e.text, 120))] : null] : '–'));
}

const inLine = 6; // targets in the line, the worst first

// targetLine is the line: what fails is said in words. show changes it when something is new.
export function targetLine() {
  const element = el('p.targetline', { 'aria-label': 'Targets' });
  let shown = null;
  return {
    element,
    show() {
      if (feed.targets === shown) return;
      shown = feed.targets;
      const all = [...(shown ?? [])].sort((x, y) => healths.indexOf(classOf(x)) - healths.indexOf(classOf(y)));
      fill(element, all.slice(0, inLine).map((t) => [el('span.chip', {}, el(`span.health.${classOf(t)}`, {}, peer(t.name, 32)), ' ',
        ['failing', 'refusing', 'unknown'].includes(classOf(t)) ? [wordOf(t), t.last_error ? [': ', lastError(t.last_error)] : ''] : [`${count(t.calls)} ${t.calls === 1 ? 'call' : 'calls'}`, t.turns_ms ? `, agent answers p95 ${ms(t.turns_ms.p95)}` : t.answer_ms ? `, set-up p95 ${ms(t.answer_ms.p95)}` : '']), ' ']),
      el('a', { href: '#/targets' }, all.length ? `${all.length === 1 ? 'the target' : `all ${count(all.length)} targets`}` : 'No targets yet'));
    },
  };
}
