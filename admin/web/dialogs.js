// The questions that the page asks.

import { useToken } from './api.js';
import { visible } from './dom.js';

const $ = (id) => document.getElementById(id);

// confirm asks before something is done to a call.
export function confirm(title, text, verb) {
  const d = $('confirm');
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  d.querySelector('button.main').textContent = verb;
  return answered(d);
}

let asking = null; // the answer that is waited for

// askToken asks for a token and keeps it. problem is the API's refusal, if there was one; had says that a token was sent. Asked again
// meanwhile, it waits for the same answer: what is typed stays.
export function askToken(problem, had) {
  asking ??= askOnce(problem, had).finally(() => { asking = null; });
  return asking;
}

async function askOnce(problem, had) {
  const d = $('ask-token');
  const input = d.querySelector('input');
  input.value = '';
  $('ask-token-why').textContent = had ? visible(`${problem.message}.`) : problem ? 'This node wants a token.' : '';
  if (!(await answered(d)) || !input.value.trim()) return false;
  useToken(input.value.trim());
  input.value = '';
  return true;
}

function answered(d) {
  d.returnValue = '';
  d.showModal();
  return new Promise((done) => {
    d.addEventListener('close', () => done(d.returnValue === 'ok'), { once: true });
  });
}
