// Numbers, times and durations in words.

let local = localStorage.getItem('zone') === 'local';

export const zone = {
  get name() { return local ? 'local time' : 'UTC'; },
  toggle() {
    local = !local;
    localStorage.setItem('zone', local ? 'local' : 'utc');
  },
};

const two = (n) => String(n).padStart(2, '0');

// dateOf and timeOf give parts of a moment (RFC 3339 or milliseconds) in the zone that is chosen.
export function dateOf(at) {
  const d = new Date(at);
  return local ? `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}` : d.toISOString().slice(0, 10);
}

export function timeOf(at, millis = false) {
  const d = new Date(at);
  const text = local ? `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}` : d.toISOString().slice(11, 19);
  return millis ? `${text}.${String(d.getUTCMilliseconds()).padStart(3, '0')}` : text;
}

export const momentOf = (at) => (at ? `${dateOf(at)} ${timeOf(at)}` : '–');

// inputOf is a moment as an input of type datetime-local has it; momentIn reads that as RFC 3339.
export const inputOf = (at) => (at ? `${dateOf(at)}T${timeOf(at)}` : '');
export const momentIn = (text) => (text ? new Date(local ? text : `${text}Z`).toISOString() : '');

// ms is a duration in milliseconds: 812 ms, 2.1 s, 1:03, 1:02:03.
export function ms(n) {
  if (n === null || n === undefined) return '–';
  if (n < 1000) return `${Math.round(n)} ms`;
  if (n < 10000) return `${(n / 1000).toFixed(1)} s`;
  if (n < 60000) return `${Math.round(n / 1000)} s`;
  return clock(n);
}

// clock is a duration as a call's: 0:05, 1:02:03.
export function clock(n) {
  const s = Math.max(0, Math.floor(n / 1000));
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

// spoken is a duration for a sentence.
export function spoken(n) {
  if (n < 60000) return ms(n);
  const s = Math.round(n / 1000);
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return [h && `${h} h`, m && `${m} min`, s % 60 && `${s % 60} s`].filter(Boolean).join(' ');
}

const grouped = new Intl.NumberFormat('en-GB');
export const count = (n) => (n === null || n === undefined ? '–' : grouped.format(n));

export const fixed = (n, digits = 1) => (n === null || n === undefined ? '–' : n.toFixed(digits));

// percent is a share of 1.
export function percent(share, digits = 1) {
  return share === null || share === undefined ? '–' : `${(share * 100).toFixed(digits)} %`;
}

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const [size, unit] = [[2 ** 40, 'TB'], [2 ** 30, 'GB'], [2 ** 20, 'MB'], [1024, 'KB']].find(([least]) => n >= least);
  return `${(n / size).toFixed(1)} ${unit}`;
}

// words turns a name of the API into words: no_answer, no answer.
export const words = (name) => String(name ?? '').replaceAll('_', ' ');
