// The view that places calls: to a person over a trunk, or to a target with the built-in test caller.

import { post } from './api.js';
import { confirm } from './dialogs.js';
import { el, fill, line } from './dom.js';
import { feed, listen } from './feed.js';

const number = '\\+?[0-9*#]{1,40}';

export function place(main, params) {
  document.title = 'Place a call · Flowbridge';
  const result = el('p.result', { role: 'status' });
  const only = el('p.hint', { role: 'status' });
  const field = (label, input) => el('label', {}, el('span', {}, label), input);
  const phone = (name, placeholder) => el('input', { name, type: 'tel', required: true, placeholder, pattern: number, maxlength: 41, autocomplete: 'tel', title: 'A number like +15075785607' });
  const select = (name, required) => el('select', { name, required });
  const me = form('Call me', 'Your phone rings first. When you answer, the agent is called and connected.', [
    field('Your number', phone('to', '+15075785607')), field('Number that you see', phone('from', '+12125550100')), field('Trunk', select('trunk', true)), field('Agent', select('target'))],
  () => 'The carrier calls the number, and the platform answers. Both may charge for it.');
  const tried = form('Try a target', 'The built-in test caller talks to the target for at most 30 s. It says a sentence, and repeats what it hears. The platform gets the called number as the calling one, too. The record is marked as a test.', [
    field('Target', select('target', true)), field('Number that is called', phone('to', '+15075785607'))],
  () => 'The platform takes it for a call of a customer, and may charge for it.', true);

  function form(title, about, fields, cost, test) {
    const button = el('button.main', {}, title);
    const f = el('form.card.place', { 'aria-label': title }, el('h2', {}, title), el('p', {}, about), fields, el('p.hint', {}, 'It costs what a call costs, and counts for caps and rates.'), button);
    f.addEventListener('submit', async (e) => {
      e.preventDefault();
      const body = Object.fromEntries([...new FormData(f)].filter(([, v]) => v));
      if (test) Object.assign(body, { test: true, from: body.to }); // so targets of both directions get it as the called number
      if (!(await confirm(`${title}?`, cost(), 'Call'))) return;
      button.disabled = true;
      result.className = 'result';
      fill(result, 'Calling …');
      try {
        location.hash = `#/calls/${encodeURIComponent((await post('/api/calls', body)).id)}`;
      } catch (err) {
        result.className = 'result problem';
        fill(result, line(`No call: ${err.message}. ${err.remedy ?? ''}`, 600));
      }
      button.disabled = false;
    });
    return f;
  }

  const wanted = params.get('target');
  let had = null;
  function refresh() {
    const may = feed.hello?.rights === 'operate';
    for (const b of main.querySelectorAll('form.place button')) if (result.textContent !== 'Calling …') b.disabled = !may;
    fill(only, feed.hello && !may ? 'Your token may only read: a call needs one with rights: operate.' : '');
    const all = feed.targets ?? [];
    const key = all.map((t) => t.name + t.kind).join();
    if (key === had) return;
    had = key;
    const options = (kinds, first) => [first ? el('option', { value: '' }, first) : null, all.filter((t) => kinds(t.kind)).map((t) => el('option', { value: t.name, selected: t.name === wanted }, line(t.name, 64)))];
    fill(me.elements.trunk, options((k) => k === 'trunk', 'Choose …'));
    fill(me.elements.target, options((k) => k !== 'trunk', 'as the routes say'));
    fill(tried.elements.target, options((k) => k !== 'trunk', 'Choose …'));
  }
  fill(main, el('h1', {}, 'Place a call'), only, result, el('div.places', {}, me, tried));
  const ends = listen(refresh);
  refresh();
  return ends;
}
