// The finished calls of a search over their time.

import { get } from './api.js';
import { el, fill, put, svg } from './dom.js';
import { count, dateOf, timeOf } from './format.js';

// histogram draws how many calls there were in each part of the time, and how many of them failed. zoom(from, until) is
// called for a part that is chosen, by a click or by the arrow keys and Enter.
export function histogram(zoom) {
  const bars = svg('svg', { class: 'bars', viewBox: '0 0 600 40', preserveAspectRatio: 'none', role: 'img', tabindex: 0 });
  const [begin, end] = [el('span'), el('span')];
  const said = el('span.hint');
  const element = el('div.histogram', { hidden: true }, bars, el('p.axis.hint', {}, begin, said, end));
  let parts = [];
  let chosen = -1;
  let about = '';
  const until = (i) => Date.parse(parts[i].from) + (Date.parse(parts[1].from) - Date.parse(parts[0].from));
  const moment = (at) => `${dateOf(at)} ${timeOf(at).slice(0, 5)}`;

  function choose(i) {
    chosen = i;
    [...bars.children].forEach((g, k) => g.classList.toggle('chosen', k === i));
    put(said, i < 0 ? about : `${timeOf(parts[i].from)} to ${timeOf(until(i))}: ${count(parts[i].calls)} calls, ${count(parts[i].failed)} failed`);
  }
  const at = (e) => Math.max(0, Math.min(parts.length - 1, Math.floor(((e.clientX - bars.getBoundingClientRect().left) / bars.getBoundingClientRect().width) * parts.length)));
  bars.addEventListener('pointermove', (e) => choose(at(e)));
  bars.addEventListener('click', (e) => zoom(Date.parse(parts[at(e)].from), until(at(e)) + 999));
  for (const name of ['pointerleave', 'blur']) bars.addEventListener(name, () => choose(-1));
  bars.addEventListener('keydown', (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (e.key === 'Enter' && chosen >= 0) zoom(Date.parse(parts[chosen].from), until(chosen) + 999);
    if (!by) return;
    e.preventDefault();
    choose(Math.min(Math.max((chosen < 0 && by < 0 ? parts.length : chosen) + by, 0), parts.length - 1));
  });

  async function load(q, signal) {
    element.hidden = true;
    q.set('by', 'time');
    try {
      const all = await get(`/api/report?${q}`, signal);
      parts = all.groups;
      if (all.calls < 2) return;
      const most = Math.max(1, ...parts.map((p) => p.calls));
      const bar = (kind, i, low, n) => (n ? svg('rect', { class: kind, x: i * 10 + 1, width: 8, y: 40 - ((low + n) / most) * 38, height: (n / most) * 38 }) : null);
      fill(bars, parts.map((p, i) => svg('g', {}, svg('rect', { class: 'back', x: i * 10, width: 10, y: 0, height: 40 }), bar('failed', i, 0, p.failed), bar('fine', i, p.failed, p.calls - p.failed))));
      about = `${count(all.calls)} calls over their time${all.complete ? '' : ', the newest'}; at most ${count(most)} in a bar`;
      bars.setAttribute('aria-label', `${about}. Arrow keys choose a bar, Enter searches in it`);
      put(begin, moment(parts[0].from));
      put(end, moment(until(parts.length - 1)));
      choose(-1);
      element.hidden = false;
    } catch { /* another report is being made, or the view has ended: the calls are listed all the same */ }
  }
  return { element, load };
}
