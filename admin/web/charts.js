// Small drawings: a spark line, lines over time, the phases of a call.

import { el, fill, put, svg } from './dom.js';
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
      const step = 100 / Math.max(30, (points?.length ?? 0) - 1);
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

function pathOf(points, x, y) {
  if (points.length === 1) return `M${x(0)} ${y(points[0][1])}L${x(points[0][0])} ${y(points[0][1])}`;
  return points.map(([t, v], i) => `${i ? 'L' : 'M'}${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join('');
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
