// The ladder of a call: a lane for each party, an arrow for each message, as sngrep draws it.

import { clip, el, fill, line, visible } from './dom.js';
import { bytes, ms, timeOf } from './format.js';

// ladder makes the drawing. update(data) shows another state of it; which message is open stays.
export function ladder() {
  let messages = [];
  let open = -1;
  let focused = 0; // of the arrow keys
  let against = -1; // the message that the open one is compared with
  const heads = el('div.lanes');
  const rows = el('ol.messages', { 'aria-label': 'Messages: arrow keys move, Enter shows the whole message' });
  const pane = el('div.message', { tabindex: -1, role: 'region', 'aria-label': 'Message', hidden: true });
  const note = el('p.hint');
  const element = el('div.ladder', {}, el('div.drawing', {}, heads, rows, note), pane);
  rows.addEventListener('keydown', keys);

  function update(data) {
    const lanes = data.lanes ?? [];
    const before = messages.map(key);
    let same = messages.length; // messages of before that are still there: of a long call those in the middle go
    if (lanes.length !== heads.children.length) same = 0;
    for (let i = 0; i < same; i++) if (!data.messages[i] || key(data.messages[i]) !== before[i]) same = i;
    messages = data.messages;
    element.style.setProperty('--lanes', lanes.length);
    fill(heads, lanes.map((l) => el(`div.lane.${/^\w+$/.test(l.kind) ? l.kind : 'other'}`, { title: line(l.name, 1000) }, el('bdi', {}, line(l.name, 64)))));
    while (rows.children.length > same) rows.lastChild.remove();
    if (against >= same) against = -1;
    if (open >= same) select(-1);
    focused = Math.max(0, Math.min(focused, messages.length - 1));
    for (let i = rows.children.length; i < messages.length; i++) rows.append(row(messages[i], i, lanes));
    fill(note, [
      data.dropped ? `${data.dropped} messages are missing: there were too many.` : '',
      data.live ? 'The call is live: messages come by themselves.' : '',
      messages.length ? '' : 'No messages were kept.'].filter(Boolean).join(' '));
    turn();
  }

  function row(m, i, lanes) {
    const time = el('span.at', { title: m.at }, el('span.day', {}, timeOf(m.at, true)), el('span.ms', {}, `+${ms(m.ms)}`));
    if (m.kind === 'decision' || m.from === m.to) {
      const said = el('button.note', { type: 'button', tabindex: -1, onclick: () => { focused = i; select(open === i ? -1 : i); } }, line(m.summary, 600));
      return el('li.msg.decision', {}, time, el('div.track', {}, said));
    }
    const [low, high] = [Math.min(m.from, m.to), Math.max(m.from, m.to)];
    const what = label(m);
    const names = `${lanes[m.from]?.name ?? '?'} to ${lanes[m.to]?.name ?? '?'}`;
    const button = el(`button.arrow.${m.to > m.from ? 'right' : 'left'}.${tone(m)}${m.retransmission ? '.again' : ''}`, {
      type: 'button', tabindex: -1, title: line(m.summary, 600), 'aria-label': line(`${what}${m.retransmission ? ', retransmission' : ''}, ${names}, ${ms(m.ms)}`, 300),
      onclick: () => { focused = i; select(open === i ? -1 : i); },
    }, el('bdi', {}, m.retransmission ? '↻ ' : '', what));
    button.style.gridColumn = `${low * 2 + 2} / ${high * 2 + 2}`;
    return el('li.msg', {}, time, el('div.track', {}, button));
  }

  function keys(e) {
    const to = { ArrowDown: focused + 1, ArrowUp: focused - 1, Home: 0, End: messages.length - 1 }[e.key];
    if (e.key === 'Escape') select(-1);
    if (to === undefined) return;
    e.preventDefault();
    focused = Math.min(Math.max(to, 0), messages.length - 1);
    turn();
    buttonAt(focused)?.focus();
    if (open >= 0) select(focused);
  }

  const buttonAt = (i) => rows.children[i]?.querySelector('button');

  // turn makes the focused message the one that Tab reaches.
  function turn() {
    [...rows.children].forEach((li, i) => li.querySelector('button').setAttribute('tabindex', i === focused ? 0 : -1));
  }

  function select(i) {
    open = i;
    if (i < 0) against = -1;
    turn();
    [...rows.children].forEach((li, k) => li.classList.toggle('open', k === i || k === against));
    const m = messages[i];
    pane.hidden = !m;
    element.classList.toggle('reading', Boolean(m));
    if (m) fill(pane, against >= 0 && against !== i ? differences(messages[against], m) : whole(m));
  }

  // whole is the message as it was sent.
  function whole(m) {
    const close = closing();
    if (m.kind === 'decision') return [el('div.row', {}, el('h3', {}, 'Decision'), close), el('p', {}, line(m.summary, 2000))];
    return [
      el('div.row', {}, el('h3', {}, el('bdi', {}, label(m))), against >= 0 ? el('span.hint', {}, 'Choose the message to compare it with.')
        : el('button.quiet', { type: 'button', onclick: () => { against = open; select(open); } }, 'Compare with …'), close),
      el('p.hint', {}, `${timeOf(m.at, true)}, +${ms(m.ms)}, ${line(m.transport, 16)}, `, el('bdi', {}, line(m.local, 80)), ' with ', el('bdi', {}, line(m.remote, 80)),
        m.retransmission ? ', a retransmission' : ''),
      el('pre', { tabindex: 0 }, text(m.text ?? '')),
      m.cut ? el('p.hint', {}, `${bytes(m.cut)} are left out here.`) : null,
    ];
  }
  const closing = () => el('button.quiet', { type: 'button', 'aria-label': 'Close the message', onclick: () => { select(-1); buttonAt(focused)?.focus(); } }, 'Close');

  // differences are the lines of two messages, those that only one of them has marked.
  function differences(from, to) {
    const lines = diff(...[from, to].map((m) => visible((m.text ?? m.summary).replaceAll('\r\n', '\n')).split('\n')));
    return [
      el('div.row', {}, el('h3', {}, el('bdi', {}, label(from)), ' and ', el('bdi', {}, label(to))), closing()),
      el('p.hint', {}, `${timeOf(from.at, true)} (−) and ${timeOf(to.at, true)} (+): ${lines.filter(([mark]) => mark !== ' ').length} lines differ.`),
      el('pre', { tabindex: 0 }, lines.map(([mark, l]) => el(`span.line${mark === '-' ? '.gone' : mark === '+' ? '.come' : ''}`, {}, `${mark} ${l}\n`))),
    ];
  }

  return { element, update, open(i) { focused = i; select(i); element.scrollIntoView({ block: 'nearest' }); } };
}

// diff gives the lines of two texts in order, each with ' ' (both have it), '-' (the first) or '+' (the second), by their longest
// common lines, between those that both begin and end with. Beyond some hundred lines it gives up: all differ.
export function diff(a, b) {
  let [head, tail] = [0, 0];
  while (head < a.length && a[head] === b[head]) head++;
  while (tail < Math.min(a.length, b.length) - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  if (head + tail) return [...a.slice(0, head).map((l) => [' ', l]), ...diff(a.slice(head, a.length - tail), b.slice(head, b.length - tail)), ...a.slice(a.length - tail).map((l) => [' ', l])];
  if (a.length * b.length > 250000) return [...a.map((l) => ['-', l]), ...b.map((l) => ['+', l])];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let k = b.length - 1; k >= 0; k--) longest[i][k] = a[i] === b[k] ? longest[i + 1][k + 1] + 1 : Math.max(longest[i + 1][k], longest[i][k + 1]);
  const all = [];
  for (let i = 0, k = 0; i < a.length || k < b.length;) {
    if (i < a.length && k < b.length && a[i] === b[k]) all.push([' ', a[i++], k++]);
    else if (k >= b.length || (i < a.length && longest[i + 1][k] >= longest[i][k + 1])) all.push(['-', a[i++]]);
    else all.push(['+', b[k++]]);
  }
  return all;
}

// text is a message, the names of its headers marked.
function text(all) {
  const [head, ...body] = visible(all.replaceAll('\r\n', '\n')).split('\n\n');
  const lines = head.split('\n').map((l, i) => {
    const at = i ? l.indexOf(':') : -1;
    return at > 0 && at < 64 ? [el('b', {}, l.slice(0, at)), `${l.slice(at)}\n`] : `${l}\n`;
  });
  return el('bdi', {}, lines.flat(), body.length ? `\n${body.join('\n\n')}` : '');
}

// key tells messages apart.
const key = (m) => `${m.ms} ${m.kind} ${m.from} ${m.to} ${m.summary}`;

// label is the message in few words: INVITE with SDP, 200 OK.
function label(m) {
  const short = m.kind === 'sip' && m.method && !m.status ? m.method : m.summary;
  const sdp = m.kind === 'sip' && /\r?\nContent-Type:\s*application\/sdp/i.test(m.text ?? '') ? ' (SDP)' : '';
  return line(clip(short, 120)) + sdp;
}

// tone is the colour of an arrow: a request, an answer, a failure.
function tone(m) {
  if (m.kind === 'http') return m.status >= 400 ? 'fails' : 'http';
  if (!m.status) return 'request';
  return m.status >= 400 ? 'fails' : m.status >= 200 ? 'final' : 'progress';
}
