// What to do next, for a view that has little to show.

import { el } from './dom.js';
import { feed } from './feed.js';

const all = {
  place: ['#/place', 'Place a call', 'to your own phone, or to a target with the test caller'],
  finished: ['#/finished', 'Finished calls', 'each with its messages, audio and end'],
  targets: ['#/targets', 'Targets', 'how each answers now'],
  compare: ['#/compare', 'Compare', 'targets, trunks and routes by their finished calls'],
  carrier: ['docs/guides/carrier.md', 'Connect a carrier', 'trunk, firewall, first call'],
  pbx: ['docs/guides/pbx.md', 'Connect a PBX', 'as one of its trunks'],
  routing: ['docs/guides/routing.md', 'Routes, failover, splits', 'which target takes a call, and what if it fails'],
  test: ['docs/guides/test.md', 'Test an agent', 'with a caller that speaks, interrupts and listens'],
  symptoms: ['docs/symptoms.md', 'By symptom', 'no sound, slow answers, dropped calls'],
};

// next is links to views and guides, by their names above. Placing a call needs the right to do so.
export function next(...names) {
  return el('nav.next', { 'aria-label': 'What to do next' }, names.filter((n) => n !== 'place' || feed.hello?.rights === 'operate').map((n) => {
    const [href, title, text] = all[n];
    return el('a', { href }, el('b', {}, title), el('span.hint', {}, text));
  }));
}
