// The view of the configuration in force: beside the file on disk, or what was in force before the last reload.

import { get, post } from './api.js';
import { confirm } from './dialogs.js';
import { el, fill, line, visible } from './dom.js';
import { feed, listen } from './feed.js';
import { momentOf, zone } from './format.js';
import { diff } from './ladder.js';

const around = 3; // lines that stay around a difference

export function config(main) {
  document.title = 'Configuration · Flowbridge';
  const [status, result] = [el('p.hint', { role: 'status' }, 'Reading …'), el('p.result', { role: 'status' })];
  const [found, text] = [el('div'), el('div')];
  const against = el('select', { 'aria-label': 'Compare with', onchange: draw }, el('option', { value: 'on_disk' }, 'the file on disk'), el('option', { value: 'before' }, 'what was before the last reload'));
  const whole = el('input', { type: 'checkbox', onchange: draw, checked: true });
  const reload = el('button.main', { type: 'button', hidden: true, onclick: order }, 'Reload');
  fill(main, el('div.row.wraps', {}, el('h1', {}, 'Configuration'), el('label.row', {}, 'in force, compared with', against), el('label.row', {}, whole, 'whole text'), el('span.gap'), reload), status, result, found, text);
  const abort = new AbortController();
  let is = null;

  async function load() {
    try {
      is = await get('/api/config', abort.signal);
      is.findings = [...(is.check?.errors ?? []).map((f) => ({ ...f, error: true })), ...(is.check?.warnings ?? [])];
      status.className = 'hint';
      fill(status, line(`${is.file}, in force since ${momentOf(is.since)} ${zone.name}. What looks like a secret is ***.`, 400), is.need_restart.length ? el('b.warn', {}, ` Only a restart puts this in force: ${line(is.need_restart.join(', '))}.`) : '');
      draw();
    } catch (err) {
      if (abort.signal.aborted) return;
      reload.disabled = err.status === 404;
      if (err.status === 404) return fill(status, 'This process was started without a configuration file (flowbridge demo).');
      status.className = 'problem';
      fill(status, line(`${err.message}. ${err.remedy ?? ''}`, 600));
    }
  }

  // draw shows the lines of both texts. Those of the newer one have numbers and findings: that is the file on disk, or what is in force.
  function draw() {
    if (!is) return;
    const disk = against.value === 'on_disk';
    const [from, to] = disk ? [is.in_force, is.on_disk] : [is.before, is.in_force];
    const findings = disk || is.on_disk === is.in_force ? is.findings : [];
    fill(found, findings.filter((f) => !f.line || f.file || to === null).map(noted));
    if (from === null || to === null) return fill(text, el('p.hint', {}, disk ? 'The file cannot be read.' : 'There was no reload since the start.'));
    const lines = diff(from.split('\n'), to.split('\n'));
    const changed = lines.filter(([mark]) => mark !== ' ').length;
    const near = lines.map((_, i) => whole.checked || lines.slice(Math.max(0, i - around), i + around + 1).some(([mark]) => mark !== ' '));
    const rows = [];
    let n = 0;
    lines.forEach(([mark, l], i) => {
      if (mark !== '-') n++;
      const own = mark === '-' ? [] : findings.filter((f) => f.line === n && !f.file);
      if (!near[i] && !own.length) return;
      rows.push(el(`span.line${mark === '-' ? '.gone' : mark === '+' ? '.come' : ''}`, {}, el('span.no', { 'aria-hidden': 'true' }, mark === '-' ? '' : n), `${mark} ${visible(l)}\n`), own.map(noted));
    });
    const same = disk ? 'The file on disk is what is in force.' : 'The last reload changed no line.';
    fill(text, el('p', {}, changed ? `${changed} lines differ: − ${disk ? 'in force' : 'before'}, + ${disk ? 'on disk' : 'in force'}.` : same, is.findings.length || !is.check ? '' : ' flowbridge check finds nothing in it.'),
      rows.length ? el('pre.config', { tabindex: 0, 'aria-label': 'Lines of the configuration' }, rows) : null);
  }

  async function order() {
    const bad = is?.findings.some((f) => f.error);
    if (!(await confirm('Reload?', `New calls use ${is?.file ?? 'the file'} as it is on disk. Live calls keep what they began with.${bad ? ' It has errors and will be refused.' : ''}`, 'Reload'))) return;
    result.className = 'result';
    fill(result, 'Reloading …');
    try {
      const done = await post('/api/reload');
      fill(result, `Done: ${done.trunks} trunks, ${done.targets} targets, ${done.routes} routes.${done.need_restart.length ? ` Only a restart puts this in force: ${done.need_restart.join(', ')}.` : ''}`);
      against.value = 'before';
    } catch (err) {
      result.className = 'result problem';
      fill(result, line(`Not reloaded: ${err.message}. ${err.remedy ?? ''}`, 600));
    }
    load();
  }

  const rights = () => { reload.hidden = feed.hello?.rights !== 'operate'; };
  const ends = listen(rights);
  rights();
  load();
  return () => {
    abort.abort();
    ends();
  };
}

// noted is a finding of flowbridge check.
const noted = (f) => el(`span.finding${f.error ? '.bad' : ''}`, {}, el('b', {}, f.error ? 'error' : 'warning'), ' ', line([f.file && `${f.file} line ${f.line}:`, f.key, f.problem].filter(Boolean).join(' '), 600), f.remedy ? el('i', {}, ` ${line(f.remedy, 400)}`) : '');
