// A call on one axis of time: its phases, its messages, who spoke when, the silences between the caller and the agent, loss and jitter,
// and the sound of a recording with a player.

import { answer } from './api.js';
import { el, fill, line, put, svg } from './dom.js';
import { bytes, clock, count, ms, percent } from './format.js';
import { partsOf, pathOf } from './charts.js';

const bin = 80; // samples of a recording in one peak: 10 ms
const encrypted = (recording) => recording.file.endsWith('.age'); // by recording.recipients
const largest = 64 << 20; // of a recording that is drawn, in bytes: half an hour
const [slow, late] = [1500, 3000]; // silences from here on, in milliseconds
const spansMost = 2048 - 10; // bytes of a party's spans after which no more are kept: media/voice/turns/spans.go

// timeline makes the drawing. update(call, ladder) shows another state of it; open(i) is called for a message that is clicked.
export function timeline(open) {
  const drawing = svg('svg', { role: 'img', tabindex: 0 });
  const read = el('p.read');
  const players = el('span.players');
  const zoom = (text, label, f) => el('button', { type: 'button', 'aria-label': label, title: label, onclick: () => scale(f) }, text);
  const element = el('div.timeline', {}, el('div.row', {}, players, el('span.gap'), zoom('−', 'Zoom out', 2), zoom('+', 'Zoom in', 0.5), zoom('Set-up', 'Set-up of the call', null), zoom('All', 'All of the call', Infinity)), drawing, read);
  let call = null;
  let data = null;
  let [began, end] = [0, 1000]; // of the call: the second counts from the first, as all that follows
  let view = null; // [from, to] that is shown; null: all
  let at = null; // of the cursor
  let [gaps, overs] = [[], []];
  let sound = null; // of the recording that is loaded
  let [left, right] = [70, 8];

  const since = (moment) => Date.parse(moment) - began;
  const shown = () => view ?? [0, end];
  const x = (t) => left + ((t - shown()[0]) / (shown()[1] - shown()[0])) * (width() - left - right);
  const width = () => Math.max(240, drawing.clientWidth || 900);
  const talkAt = () => (data?.talk ? since(data.talk.start) : 0);

  function update(c, ladder) {
    [call, data, began] = [c, ladder, Date.parse(c.started_at)];
    end = Math.max(1000, c.ended_at ? since(c.ended_at) : Date.now() - began, ...(ladder?.messages ?? []).map((m) => since(m.at)));
    const t = ladder?.talk;
    [gaps, overs] = t ? [gapsOf(t), oversOf(t)] : [[], []];
    offer();
    draw();
  }

  function draw() {
    if (!call) return;
    left = width() < 500 ? 60 : 70;
    const rows = [];
    let y = 0;
    const row = (name, height, ...content) => {
      rows.push(svg('text', { x: 0, y: y + Math.min(height, 22) / 2 + 4 }, name), svg('g', { transform: `translate(0 ${y})` }, content));
      y += height + 5;
    };
    row('Phases', 15, partsOf(call, began + end).map(([name, from, to]) => [
      bar(`phase p-${name.replace(' ', '')}`, 0, 15, from - began, to - began, `${name}, ${ms(to - from)}`),
      x(to - began) - x(from - began) > 8 * name.length ? svg('text', { x: Math.max(x(from - began), left) + 4, y: 11 }, name) : null]));
    if (data) row('Messages', 13, data.messages.map(tick));
    if (data?.talk) {
      const [caller, agent] = [data.talk.caller, data.talk.agent].map((said) => said.map((s) => s.map((t) => t + talkAt())));
      row('Caller', 24, waveOf(0), caller.map(([f, t]) => bar('said s0', 1, 22, f, t, `the caller, ${ms(t - f)}`)));
      row('Silence', 9, gaps.map(([f, t]) => bar(`wait ${gradeOf(t - f)}`, 0, 9, f + talkAt(), t + talkAt(), `silence between the caller and the agent, ${ms(t - f)}`)),
        overs.map((o) => svg('path', { class: `over ${o.kept}`, d: `M${x(o.at + talkAt()).toFixed(1)} -3l-5 0l5 9l5 -9z` }, svg('title', {}, o.text))));
      row('Agent', 24, waveOf(1), agent.map(([f, t]) => bar('said s1', 1, 22, f, t, `the agent, ${ms(t - f)}`)));
    } else if (sound) {
      row('Caller', 24, waveOf(0));
      row('Agent', 24, waveOf(1));
    }
    if (data?.streams?.points?.length) {
      row('Loss', 18, ['a', 'b'].map((k, i) => figureOf(k, i, lossOf, 0.05)));
      row('Jitter', 18, ['a', 'b'].map((k, i) => figureOf(k, i, (f) => f.jitter_ms ?? 0, 20)));
    }
    const [from, to] = shown();
    const step = stepOf((to - from) / Math.max(2, (width() - left) / 90));
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      if (x(t) < width() - right - 12) rows.push(svg('text', { x: x(t), y: y + 11 }, step < 1000 ? `${(t / 1000).toFixed(1)} s` : clock(t)));
      rows.unshift(svg('line', { class: 'grid', x1: x(t), x2: x(t), y1: 0, y2: y }));
    }
    fill(drawing, rows, svg('line', { class: 'cursor', y1: 0, y2: y, visibility: 'hidden' }));
    drawing.setAttribute('height', y + 16);
    drawing.setAttribute('aria-label', `The call on one axis of time: arrow keys move along it. ${summary()}`);
    point(at);
  }

  // bar is what lies between two moments; null: it is out of sight.
  function bar(cls, y, height, from, to, title) {
    const [a, b] = [Math.max(x(from), left), Math.min(x(to), width() - right)];
    return b < left || a > width() - right ? null : svg('rect', { class: cls, x: a.toFixed(1), y, width: Math.max(1.5, b - a).toFixed(1), height }, svg('title', {}, title));
  }

  function tick(m, i) {
    const t = since(m.at);
    if (x(t) < left - 1 || x(t) > width() - right + 1) return null;
    return svg('rect', { class: `tick ${m.kind === 'decision' ? 'decided' : m.status >= 400 ? 'fails' : m.status >= 200 ? 'final' : 'request'}`, x: (x(t) - 1.5).toFixed(1), y: 0, width: 3, height: 13, onclick: () => open(i) },
      svg('title', {}, `${line(m.summary, 120)}, +${ms(m.ms)}`));
  }

  const lossOf = (f) => (f.lost ? f.lost / ((f.rx ?? 0) + f.lost) : 0);

  // figureOf draws a figure of a side over time, up to a top at least.
  function figureOf(key, i, of, top) {
    const s = data.streams;
    const points = s.points.map((p) => [since(s.start) + p.ms, of(p[key] ?? {})]);
    const most = Math.max(top, ...points.map((p) => p[1]));
    const before = (k) => (k ? points[k - 1][0] : since(s.start));
    const seen = points.filter(([t], k) => t >= shown()[0] && before(k) <= shown()[1]);
    const inside = (t) => Math.min(Math.max(x(t), left), width() - right);
    return svg('path', { class: `figure s${i}`, d: pathOf(seen, inside, (v) => 17 - (v / most) * 16, seen.length ? before(points.indexOf(seen[0])) : 0) });
  }

  // waveOf draws the sound of a party, where a recording is loaded.
  function waveOf(party) {
    if (!sound) return null;
    const peaks = sound.peaks[party];
    let d = '';
    const per = (shown()[1] - shown()[0]) / (width() - left - right); // milliseconds in a column
    for (let px = 0; px < width() - left - right; px++) {
      const t = shown()[0] + px * per - sound.at;
      let most = 0;
      for (let k = Math.max(0, Math.floor(t / 10)); k <= (t + per) / 10 && k < peaks.length; k++) most = Math.max(most, peaks[k]);
      if (most > 0) d += `M${left + px} ${(12 - most * 12).toFixed(1)}V${(12 + most * 12).toFixed(1)}`;
    }
    return svg('path', { class: `wave s${party}`, d });
  }

  function summary() {
    if (!call) return '';
    if (!data?.talk) return `It lasted ${ms(call.ended_at ? since(call.ended_at) : end)}.`;
    const spoke = [data.talk.caller, data.talk.agent].map((said) => `${isFull(said) ? 'at least ' : ''}${times(said.length)}`);
    return [`The caller spoke ${spoke[0]}, the agent ${spoke[1]}.`, ...figuresOf(call.talk)].join(' ');
  }

  // point moves the cursor, and says what is there. null: nowhere.
  function point(t) {
    at = t;
    const cursor = drawing.querySelector('.cursor');
    const inside = t !== null && t >= shown()[0] && t <= shown()[1];
    cursor?.setAttribute('visibility', inside ? 'visible' : 'hidden');
    if (!inside) {
      put(read, summary());
      return;
    }
    cursor.setAttribute('x1', x(t));
    cursor.setAttribute('x2', x(t));
    const spoken = t - talkAt();
    const is = (all) => all?.find(([f, e]) => f <= spoken && e >= spoken);
    const gap = is(gaps);
    const p = data?.streams?.points?.find((q) => since(data.streams.start) + q.ms >= t);
    const said = [is(data?.talk?.caller) && 'the caller speaks', is(data?.talk?.agent) && 'the agent speaks', gap && `a silence of ${ms(gap[1] - gap[0])}`,
      p && t > since(data.streams.start) && `loss ${percent(lossOf(p.a))} of the caller, ${percent(lossOf(p.b))} of the called side`];
    put(read, [t < 10000 ? ms(t) : clock(t), ...said.filter(Boolean)].join(' · '));
  }

  // scale shows a part as much longer around the cursor. Infinity: all, null: the set-up.
  function scale(by) {
    const [from, to] = shown();
    const answered = call.answered_at ? since(call.answered_at) : end;
    if (by === null) view = [0, Math.min(end, answered * 1.1 + 200)];
    else if (by === Infinity || (to - from) * by >= end) view = null;
    else {
      const span = Math.max(200, (to - from) * by);
      const middle = at !== null && at >= from && at <= to ? at : (from + to) / 2;
      view = [Math.min(Math.max(middle - span / 2, 0), end - span)];
      view.push(view[0] + span);
    }
    draw();
  }

  // go moves the cursor to a moment, and what is shown with it.
  function go(t) {
    const to = Math.min(Math.max(t, 0), end);
    if (view && (to < view[0] || to > view[1])) {
      const span = view[1] - view[0];
      const from = Math.min(Math.max(to - span / 4, 0), end - span);
      view = [from, from + span];
      at = to;
      draw();
    } else point(to);
  }

  const timeAt = (e) => shown()[0] + ((e.clientX - drawing.getBoundingClientRect().left - left) / (width() - left - right)) * (shown()[1] - shown()[0]);
  drawing.addEventListener('pointermove', (e) => { if (!playing) point(timeAt(e)); });
  drawing.addEventListener('pointerleave', () => { if (!playing) point(null); });
  drawing.addEventListener('click', (e) => {
    point(Math.min(Math.max(timeAt(e), 0), end));
    if (playing) play();
  });
  drawing.addEventListener('keydown', (e) => {
    const [from, to] = shown();
    const step = (to - from) / 100;
    const move = { ArrowLeft: -step, ArrowRight: step, PageUp: -20 * step, PageDown: 20 * step, Home: -Infinity, End: Infinity }[e.key];
    if (move) go(at === null ? (move > 0 ? from : to) : at + move);
    else if (e.key === '+' || e.key === '-') scale(e.key === '+' ? 0.5 : 2);
    else if (e.key === ' ' && sound) toggle();
    else return;
    e.preventDefault();
  });
  let wide = 0;
  const resized = new ResizeObserver(() => {
    if (width() === wide) return; // its own height
    wide = width();
    draw();
  });
  resized.observe(element);

  // The player. A recording is loaded when it is asked for, once.
  let playing = null;
  let audio = null;
  const gone = new AbortController(); // the view has ended

  function offer() {
    const all = (call.recordings ?? []).filter((r) => r.file && r.format === 'wav' && r.ended_at);
    const files = all.filter((r) => !encrypted(r));
    const key = `${all.map((r) => r.file).join()} ${sound?.file} ${Boolean(playing)}`;
    if (players.dataset.key === key) return;
    players.dataset.key = key;
    fill(players, files.map((r, i) => el('button', {
      type: 'button', disabled: r.bytes > largest, title: r.bytes > largest ? `${bytes(r.bytes)} are too much to draw: save it below` : null, onclick: () => (sound?.file === r.file ? toggle() : load(r)),
    }, sound?.file === r.file ? (playing ? 'Pause' : 'Play') : `Listen${files.length > 1 ? ` to no. ${i + 1}` : ''}`)),
    all.length > files.length ? el('span.hint', {}, 'The recording is encrypted: save it below, and decrypt it with flowbridge recordings decrypt.') : null);
  }

  async function load(r) {
    put(read, 'Loading the recording …');
    try {
      const res = await answer(`/api/recordings/${r.file.split('/').map(encodeURIComponent).join('/')}`, { signal: gone.signal });
      const file = await res.arrayBuffer();
      if (gone.signal.aborted) return;
      const swapped = call.direction === 'outbound'; // there the agent is the side that called
      stop();
      sound = { file: r.file, at: since(r.started_at), ...peaksOf(file, swapped) };
      point(sound.at);
      draw();
      play();
    } catch (err) {
      if (gone.signal.aborted) return;
      put(read, line(`No sound: ${err.message}. ${err.remedy ?? ''}`, 300));
    }
  }

  function play() {
    stop();
    audio ??= new AudioContext();
    const from = Math.max(0, (at ?? sound.at) - sound.at);
    const source = audio.createBufferSource();
    if (!sound.buffer) {
      sound.buffer = audio.createBuffer(2, sound.channels[0].length, 8000);
      sound.channels.forEach((samples, i) => sound.buffer.copyToChannel(samples, i));
      sound.channels = null; // the buffer has them
    }
    const { buffer } = sound;
    source.buffer = buffer;
    source.connect(audio.destination);
    source.start(0, from >= buffer.duration * 1000 ? 0 : from / 1000);
    audio.resume();
    playing = { source, from: from >= buffer.duration * 1000 ? 0 : from, began: audio.currentTime };
    const mine = playing;
    source.onended = () => { if (playing === mine) stop(); };
    const follow = () => {
      if (playing !== mine) return;
      go(sound.at + mine.from + (audio.currentTime - mine.began) * 1000);
      requestAnimationFrame(follow);
    };
    follow();
    offer();
  }

  function stop() {
    if (playing) {
      playing.source.onended = null;
      playing.source.stop();
    }
    playing = null;
    if (call) offer();
  }

  const toggle = () => (playing ? stop() : play());

  return { element, update, end() { gone.abort(); stop(); audio?.close(); resized.disconnect(); } };
}

const gradeOf = (gap) => (gap < slow ? 'good' : gap < late ? 'slow' : 'bad');
const times = (n) => (n === 1 ? 'once' : `${count(n)} times`);

// figuresOf are sentences with the record's own figures of a conversation. Only it knows of holds, transfers, keys and announcements.
function figuresOf(t) {
  if (!t || t.confidence === 'not_measured') return [];
  const barged = (t.barge_ins?.n ?? 0) + (t.barge_ins_ignored ?? 0);
  return [
    t.turns && `The caller waited ${times(t.turns.n)} for an answer, at most ${ms(t.turns.max_ms)}.`,
    barged && `The caller interrupted the agent ${times(barged)}${t.barge_ins_ignored ? `, and it went on ${times(t.barge_ins_ignored)}` : ''}.`,
    t.agent_dead_air_ms && `The agent was waited for in ${ms(t.agent_dead_air_ms)} of dead air.`,
    t.agent_music_ms && `The agent's side played music for ${ms(t.agent_music_ms)}: nobody waited.`,
    t.confidence === 'noisy' && 'The line was noisy: that may be wrong.',
  ].filter(Boolean);
}

// isFull says whether a party's spans take all the memory that they may: more may have been said.
function isFull(said) {
  const size = (n) => (n < 1 << 7 ? 1 : n < 1 << 14 ? 2 : n < 1 << 21 ? 3 : 4);
  return said.reduce((n, [from, to], i) => n + size(from - (said[i - 1]?.[1] ?? 0)) + size(to - from), 0) > spansMost;
}

// gapsOf are the silences between the caller's end and the agent's begin. A hold, a transfer, a key or an announcement may be in one:
// it need not be a wait for an answer.
function gapsOf({ caller, agent }) {
  const gaps = [];
  caller.forEach(([, to], i) => {
    const next = agent.find((a) => a[0] >= to);
    const again = caller[i + 1];
    if (next && !agent.some((a) => a[0] < to && a[1] > to) && (!again || again[0] >= next[0])) gaps.push([to, next[0]]);
  });
  return gaps;
}

// oversOf is where the caller began over the agent, and whether that stopped it: docs/guides/talk.md has the words.
function oversOf({ caller, agent }) {
  return caller.flatMap(([from, to]) => {
    const over = agent.find((a) => a[0] + 200 < from && a[1] - 200 > from);
    if (!over) return [];
    const went = over[1] - from;
    if (to - from < 600 && over[1] - to > 400) return [{ at: from, kept: 'short', text: `a short word at ${clock(from)} while the agent spoke` }];
    return [went < 3000 ? { at: from, kept: 'obeyed', text: `interrupted: the agent stopped after ${ms(went)}` } : { at: from, kept: 'ignored', text: `interrupted, but the agent went on for ${ms(went)}` }];
  });
}

// stepOf is the next round time between marks of the axis.
function stepOf(least) {
  return [100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000].find((s) => s >= least) ?? 3600000;
}

// peaksOf reads a WAV file as Flowbridge writes it, 16-bit PCM of two sides at 8 kHz: the samples, and their peaks, of the caller first.
function peaksOf(file, swapped) {
  const samples = new Int16Array(file.slice(44, 44 + (Math.max(0, file.byteLength - 44) & ~3)));
  const n = samples.length / 2;
  if (!n) throw new Error('the recording is empty');
  const channels = [0, 1].map(() => new Float32Array(n));
  const peaks = [0, 1].map(() => new Float32Array(Math.ceil(n / bin)));
  for (let i = 0; i < n; i++) {
    for (let side = 0; side < 2; side++) {
      const party = swapped ? 1 - side : side;
      const v = samples[2 * i + side] / 32768;
      channels[party][i] = v;
      const k = Math.floor(i / bin);
      if (Math.abs(v) > peaks[party][k]) peaks[party][k] = Math.abs(v);
    }
  }
  return { channels, peaks };
}
