// Small drawings: a spark line, lines over time, the phases of a call.

import { clip, el, fill, put, svg, visible } from './dom.js';
import { clock, ms, timeOf } from './format.js';

// spark is a line without scales, with the least and the most in its title; show(points, since, word) redraws it. A null is a gap.
export function spark(label) {
  const path = svg('path', { class: 'line' });
  const title = svg('title');
  const element = svg('svg', { class: 'spark', viewBox: '0 0 100 20', preserveAspectRatio: 'none', role: 'img' }, title, path);
  let drawn = null;
  return {
    element,
    show(points, since, word) {
      const values = points?.filter((v) => v !== null) ?? [];
      const key = `${points?.length} ${since} ${values.at(-1)}`;
      if (key === drawn) return;
      drawn = key;
      element.classList.toggle('empty', values.length < 2);
      const top = Math.max(1e-9, ...values);
      const step = 100 / Math.max(5, (points?.length ?? 0) - 1);
      let pen = 'M';
      path.setAttribute('d', (points ?? []).map((v, i) => {
        if (v === null) {
          pen = 'M';
          return '';
        }
        const at = `${pen}${(100 - (points.length - 1 - i) * step).toFixed(2)} ${(19 - (v / top) * 18).toFixed(2)}`;
        pen = 'L';
        return at;
      }).join(''));
      const text = values.length < 2 ? `${label}: nothing measured yet` : `${label} since ${timeOf(since).slice(0, 5)}: ${word(Math.min(...values))} to ${word(top)}, now ${word(values.at(-1))}`;
      put(title, text);
      element.setAttribute('aria-label', text);
    },
  };
}

// windowOf is the time that a history shows: its end and its length. It begins with the first measured point, and has five at least.
export const windowOf = (past) => {
  const n = past.figures.calls?.length ?? 0;
  const first = past.figures.calls?.findIndex((v) => v !== null) ?? 0;
  return { end: past.start + Math.max(0, n - 1) * past.step, span: Math.max(5, n - 1 - Math.max(0, first)) * past.step };
};

const together = new Set(); // the trends that show the same moment

// trend is a line over a history with its axis. The pointer or the arrow keys show the values of all trends at a moment:
// read(text) gets this one's, and '' after that. low and high are the least and the most of the scale.
export function trend(label, word, read, { low = 0, high = 0 } = {}) {
  const line = svg('path', { class: 'line' });
  const [ticks, cursor] = [svg('path', { class: 'ticks' }), svg('path', { class: 'cursor' })];
  const drawing = svg('svg', { class: 'spark', viewBox: '0 0 100 40', preserveAspectRatio: 'none', role: 'img', tabindex: 0 }, ticks, line, cursor);
  const [upper, lower, since] = ['span.upper', 'span.lower', 'span.since'].map((w) => el(w, { 'aria-hidden': 'true' }));
  let [points, past, drawn, place] = [[], null, null, -1];
  const x = (i) => 100 - ((points.length - 1 - i) * past.step * 100) / windowOf(past).span;
  const self = {
    element: el('div.trend', {}, drawing, upper, lower, since),
    show(of, name, events) {
      past = of;
      points = of.figures[name] ?? [];
      const values = points.filter((v) => v !== null);
      const key = [points.length, of.start, values.at(-1), events.length].join();
      if (key === drawn) return;
      drawn = key;
      drawing.classList.toggle('empty', values.length < 2);
      const most = Math.max(low, ...values);
      const top = Math.max(high, nice(most > low ? most : low + 1));
      const y = (v) => (38 - ((v - low) / (top - low)) * 36).toFixed(2);
      let pen = 'M';
      line.setAttribute('d', points.map((v, i) => {
        if (v === null) {
          pen = 'M';
          return '';
        }
        const to = `${pen}${x(i).toFixed(2)} ${y(v)}`;
        pen = 'L';
        return to;
      }).join(''));
      const { end, span } = windowOf(of);
      ticks.setAttribute('d', events.map((e) => 100 - ((end - Date.parse(e.at)) * 100) / span).filter((at) => at >= 0 && at <= 100).map((at) => `M${at.toFixed(2)} 0V40`).join(''));
      const text = values.length < 2 ? `${label}: nothing measured yet` : `${label} since ${timeOf(end - span).slice(0, 5)}: ${word(Math.min(...values))} to ${word(Math.max(...values))}, now ${word(values.at(-1))}`;
      drawing.setAttribute('aria-label', text);
      put(upper, values.length < 2 ? '' : word(top));
      put(lower, values.length < 2 ? '' : word(low));
      put(since, values.length < 2 ? '' : `since ${timeOf(end - span).slice(0, 5)}`);
    },
    at(i) {
      place = i;
      const v = points[i];
      cursor.setAttribute('d', i >= 0 && i < points.length ? `M${x(i).toFixed(2)} 0V40` : '');
      read(i < 0 || i >= points.length ? '' : `${timeOf(past.start + i * past.step)}: ${v === null ? 'nothing' : word(v)}`);
    },
  };
  const all = (i) => together.forEach((t) => t.at(i));
  drawing.addEventListener('pointermove', (e) => {
    const box = drawing.getBoundingClientRect();
    const back = (1 - (e.clientX - box.left) / box.width) * windowOf(past).span;
    all(Math.max(0, Math.min(points.length - 1, points.length - 1 - Math.round(back / past.step))));
  });
  drawing.addEventListener('pointerleave', () => all(-1));
  drawing.addEventListener('blur', () => all(-1));
  drawing.addEventListener('keydown', (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!by || !points.length) return;
    e.preventDefault();
    all(Math.min(Math.max((place < 0 ? points.length : place) + by, 0), points.length - 1));
  });
  together.add(self);
  return self;
}

// forget leaves the trends of a view that has ended.
export const forget = () => together.clear();

// lane shows when what happened, over the same time as the trends. The pointer or the arrow keys show the words.
export function lane() {
  const marks = el('div.marks', { tabindex: 0, role: 'img', 'aria-label': 'What changed' });
  const said = el('span.said-event', { role: 'status' });
  let [shown, past, key, place] = [[], null, '', -1];
  const left = (e) => 100 - ((windowOf(past).end - Date.parse(e.at)) * 100) / windowOf(past).span;
  const words = (e) => `${timeOf(e.at)} ${clip(e.text, 160)}`;
  const say = (i) => {
    place = i;
    [...marks.children].forEach((m, k) => m.classList.toggle('chosen', k === i));
    put(said, shown[i] ? visible(words(shown[i])) : shown.length ? visible(`last: ${words(shown.at(-1))}`) : 'nothing changed in this time');
  };
  marks.addEventListener('pointermove', (e) => {
    const box = marks.getBoundingClientRect();
    const at = ((e.clientX - box.left) / box.width) * 100;
    say(shown.reduce((best, m, i) => (Math.abs(left(m) - at) < Math.abs(left(shown[best]) - at) ? i : best), 0));
  });
  for (const end of ['pointerleave', 'blur']) marks.addEventListener(end, () => say(-1));
  marks.addEventListener('keydown', (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!by || !shown.length) return;
    e.preventDefault();
    say(Math.min(Math.max((place < 0 ? shown.length : place) + by, 0), shown.length - 1));
  });
  return {
    element: el('div.lane-of-events', {}, el('span.hint', {}, 'Changes'), marks, said),
    show(of, events) {
      past = of;
      const { end, span } = windowOf(of);
      const next = events.filter((e) => Date.parse(e.at) >= end - span - of.step); // the start is before the first point
      const now = `${end} ${next.length}`;
      if (now === key) return;
      [key, shown] = [now, next];
      fill(marks, shown.map((e) => {
        const m = el(`span.mark.${/^\w+$/.test(e.kind) ? e.kind : 'other'}`);
        m.style.left = `${Math.max(0, Math.min(100, left(e))).toFixed(2)}%`;
        return m;
      }));
      marks.setAttribute('aria-label', shown.length ? `What changed: ${shown.slice(-5).map(words).join('; ')}` : 'What changed: nothing');
      say(-1);
    },
  };
}

const [width, height, left, bottom] = [360, 110, 28, 16]; // of a chart, in its own units

// chart draws lines over time. series: {name, points: [[ms, value]]}; unit is behind each value; least is the least top of
// the scale. The pointer, or the arrow keys, show the values at a moment.
export function chart({ title, unit = '', digits = 0, least = 1, series }) {
  const points = series[0].points;
  const end = Math.max(1, points.at(-1)?.[0] ?? 1);
  const top = nice(Math.max(least, ...series.flatMap((s) => s.points.map((p) => p[1]))));
  const x = (t) => left + (t / end) * (width - left - 4);
  const y = (v) => height - bottom - (v / top) * (height - bottom - 6);
  const value = (v) => `${v.toFixed(digits)}${unit}`;
  const cursor = svg('line', { class: 'cursor', y1: 4, y2: height - bottom, visibility: 'hidden' });
  const drawing = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', tabindex: 0, 'aria-label': `${title}: ${series.map((s) => `${s.name} ${summary(s.points, value)}`).join('; ')}` },
    [0, top / 2, top].map((v) => [
      svg('line', { class: 'grid', x1: left, x2: width - 4, y1: y(v), y2: y(v) }),
      svg('text', { x: left - 4, y: y(v) + 3.5, 'text-anchor': 'end' }, Number(v.toFixed(2)))]),
    svg('text', { x: left, y: height - 3 }, '0:00'), svg('text', { x: width - 4, y: height - 3, 'text-anchor': 'end' }, clock(end)),
    series.map((s, i) => svg('path', { class: `line s${i}`, d: pathOf(s.points, x, y) })), cursor);
  const read = el('p.read', {});
  const rest = series.map((s, i) => [el(`span.key.s${i}`), `${s.name} ${summary(s.points, value)}`, '  ']).flat();
  fill(read, rest);
  let at = -1;
  const point = (i) => {
    at = i;
    if (i < 0 || !points.length) {
      cursor.setAttribute('visibility', 'hidden');
      fill(read, rest);
      return;
    }
    const px = x(points[i][0]);
    cursor.setAttribute('x1', px);
    cursor.setAttribute('x2', px);
    cursor.setAttribute('visibility', 'visible');
    fill(read, `${clock(points[i][0])}  `, series.map((s, k) => [el(`span.key.s${k}`), `${s.name} ${value(s.points[i][1])}`, '  ']).flat());
  };
  drawing.addEventListener('pointermove', (e) => {
    const box = drawing.getBoundingClientRect();
    const t = (((e.clientX - box.left) / box.width) * width - left) / (width - left - 4) * end;
    point(nearest(points, t));
  });
  drawing.addEventListener('pointerleave', () => point(-1));
  drawing.addEventListener('blur', () => point(-1));
  drawing.addEventListener('keydown', (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!by) return;
    e.preventDefault();
    point(Math.min(Math.max(at + by, 0), points.length - 1));
  });
  return el('figure.chart', {}, el('figcaption', {}, title, unit ? `,${unit}` : ''), drawing, read);
}

// pathOf draws figures of intervals, each at the end of its own: so the line begins where the first one began.
export function pathOf(points, x, y, start = 0) {
  return points.length ? `M${x(start).toFixed(1)} ${y(points[0][1]).toFixed(1)}${points.map(([t, v]) => `L${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join('')}` : '';
}

function summary(points, value) {
  if (!points.length) return 'nothing';
  const sum = points.reduce((n, p) => n + p[1], 0);
  return `${value(sum / points.length)} (most ${value(Math.max(...points.map((p) => p[1])))})`;
}

function nearest(points, t) {
  let best = points.length ? 0 : -1;
  points.forEach((p, i) => {
    if (Math.abs(p[0] - t) < Math.abs(points[best][0] - t)) best = i;
  });
  return best;
}

// nice is the next round number.
function nice(n) {
  const unit = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((k) => k * unit).find((k) => k >= n);
}

// partsOf are the phases of a call, each with the times between which it was.
export function partsOf(record, now) {
  const at = (name) => (record[name] ? Date.parse(record[name]) : null);
  const end = at('ended_at') ?? now;
  const [started, dialed, answered] = [at('started_at'), at('dialed_at'), at('answered_at')];
  // What targets took that failed before is not the preparation of the last one.
  const tried = (record.attempts ?? []).filter((a) => a.reason !== 'transfer');
  const last = tried.length > 1 ? Date.parse(tried.at(-1).started_at) : started;
  const prepared = last > started && last <= (dialed ?? answered ?? end) ? last : started;
  return [
    prepared > started && ['failed targets', started, prepared],
    [tried.some((a) => a.prepare_ms || a.prepare_status) ? 'preparing' : 'routing', prepared, dialed ?? answered ?? end],
    dialed !== null && ['dialing', dialed, answered ?? end],
    answered !== null && ['in call', answered, end],
  ].filter(Boolean);
}

// phases is the time line of a call: what is long is wider, but not as much, so that a set-up of a second can be seen beside
// a talk of an hour.
export function phases(record, now) {
  const at = (name) => (record[name] ? Date.parse(record[name]) : null);
  const [started, end] = [at('started_at'), at('ended_at') ?? now];
  const marks = [['prepared_at', 'prepared'], ['ringing_at', 'ringing'], ['dialed_at', 'dialled'], ['answered_at', 'answered']];
  const parts = partsOf(record, now);
  const line = el('div.phases', { role: 'img', 'aria-label': parts.map(([name, from, to]) => `${name} ${ms(to - from)}`).join(', ') });
  for (const [name, from, to] of parts) {
    const part = el(`div.part.p-${name.replace(' ', '')}`, {}, el('b', {}, name), el('span', {}, to - from < 60000 ? ms(to - from) : clock(to - from)));
    part.style.flexGrow = Math.sqrt(Math.max(to - from, 1));
    line.append(part);
  }
  const list = el('p.hint', {}, 'After the INVITE: ', marks.filter(([k]) => at(k) !== null).map(([k, w]) => `${w} ${ms(at(k) - started)}`).concat(
    record.ended_at ? [`ended ${ms(end - started)}`] : []).join(' · '), '. Widths are not to scale.');
  return el('div', {}, line, list);
}
