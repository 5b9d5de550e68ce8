// The frame of the page: views by the address behind #, the token, the state of the connection.

import { onUnauthorized, useToken } from './api.js';
import { askToken } from './dialogs.js';
import { clip, el, fill, line, renew, visible } from './dom.js';
import { connect, feed, listen } from './feed.js';
import { momentOf, zone } from './format.js';
import { keys } from './keys.js';
import { live } from './live.js';
import { targets } from './targets.js';
import { compare } from './compare.js';
import { fleet } from './fleet.js';
import { finished } from './finished.js';
import { call } from './call.js';
import { config } from './config.js';
import { place } from './place.js';
import { talk } from './talk.js';

const $ = (id) => document.getElementById(id);
const inBanner = 4; // troubles that the banner shows, the most urgent first
let leave = () => {}; // ends the view that is shown

// route shows the view of the address. A view fills main, and gives a function that ends it.
function route() {
  const [, name = 'live', rest = ''] = /^#\/(\w+)\/?([^?]*)/.exec(location.hash) ?? [];
  const params = new URLSearchParams(location.hash.split('?')[1] ?? '');
  leave();
  const main = fill($('main'));
  const calls = name === 'calls' && rest;
  for (const a of document.querySelectorAll('nav a')) {
    if (a.dataset.view === name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  if (calls) leave = call(main, decoded(rest));
  else if (name === 'finished') leave = finished(main, params);
  else if (name === 'targets') leave = targets(main);
  else if (name === 'compare') leave = compare(main, params);
  else if (name === 'fleet') leave = fleet(main);
  else if (name === 'config') leave = config(main);
  else if (name === 'place') leave = place(main, params);
  else if (name === 'talk') leave = talk(main, params);
  else leave = live(main);
  scrollTo(0, 0);
  connect(!calls && !['finished', 'targets', 'compare', 'fleet', 'place', 'talk', 'config'].includes(name));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not by a link of this page
  }
}

function showState() {
  const state = $('state');
  state.textContent = feed.online ? 'live' : 'reconnecting';
  state.classList.toggle('on', feed.online);
  if (feed.hello) {
    $('node').textContent = visible(clip(feed.hello.node, 64));
    $('node').title = `Flowbridge ${feed.hello.version}, right: ${feed.hello.rights}`;
  }
  const standsBy = !feed.online && feed.problem?.status === 404; // a node without calls has no events of them
  $('talk').hidden = !feed.hello?.call;
  $('place').hidden = feed.hello?.rights !== 'operate';
  $('fleet').hidden = !feed.hello?.fleet && !standsBy;
  const away = standsBy ? 'This node stands by: it has no calls. See Fleet.'
    : !feed.online && feed.problem?.status ? visible(`No live data: ${feed.problem.message}. ${feed.problem.remedy}`) : '';
  const troubles = away ? [] : feed.stats?.troubles ?? [];
  const shown = troubles.slice(0, inBanner);
  renew($('banner'), away, shown.map((t) => el(`p.${t.severity === 'bad' ? 'bad' : 'warn'}`, { title: `since ${momentOf(t.since)}` }, line(t.text, 400))),
    troubles.length > inBanner ? el('p.warn', {}, `And ${troubles.length - inBanner} more: flowbridge status, /api/status.`) : null);
  $('banner').classList.toggle('warn', !away && !troubles.some((t) => t.severity === 'bad'));
  $('banner').hidden = !away && !troubles.length;
}

onUnauthorized(askToken);
$('token').addEventListener('click', async () => {
  useToken('');
  await askToken(null, false);
  connect(false, true);
  route();
});
$('zone').textContent = zone.name;
$('zone').addEventListener('click', () => {
  zone.toggle();
  $('zone').textContent = zone.name;
  route();
});
document.querySelector('.find').addEventListener('submit', (e) => {
  e.preventDefault();
  const q = e.target.elements.q.value.trim();
  if (!q) return;
  const number = /^\+?[\d ()./-]{2,24}$/.test(q);
  location.hash = `#/finished?${new URLSearchParams(number ? { number: q.replace(/[^\d+]/g, '') } : { id: q })}`;
});
document.querySelector('.skip').addEventListener('click', (e) => {
  e.preventDefault();
  $('main').focus();
});
addEventListener('hashchange', route);
keys();
listen(showState);
route();
