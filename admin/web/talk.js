// The view that talks with an agent: a call by this browser.

import { answer, events } from './api.js';
import { el, fill, line, put } from './dom.js';
import { feed, listen } from './feed.js';
import { ms, words } from './format.js';

const kept = 'flowbridge-talk'; // the call of this tab, so that a page that was reloaded can end it
const patience = 5000; // how long audio may take to connect, in milliseconds
const digits = [...'123456789*0#'];

// blocked says why there can be no call from this page.
function blocked() {
  if (!isSecureContext) return 'Browsers give a microphone only to https pages, and to those of 127.0.0.1 and localhost. Open this page by one of these: an SSH tunnel does not help, because it carries no audio (UDP).';
  if (!globalThis.RTCPeerConnection || !navigator.mediaDevices?.getUserMedia) return 'This browser has no WebRTC.';
  return '';
}

// refusals says why there is no microphone, by the name of the error.
const refusals = {
  NotAllowedError: 'The microphone was not allowed: allow it for this page, by the symbol beside the address.',
  NotFoundError: 'There is no microphone: plug one in.',
  NotReadableError: 'The microphone does not open: another program may have it.',
};

const unheard = 'No audio connects: UDP to this node’s media.ports does not come through. Is there a firewall, an SSH tunnel (which carries no UDP), or an address in media.advertise that this browser does not reach?';

const remove = (place) => answer(place, { method: 'DELETE', keepalive: true });

const microphone = () => navigator.mediaDevices.getUserMedia({ audio: true });

// meter shows the level of a stream in an element, until the context is closed or the returned function is called.
function meter(audio, stream, shown) {
  const node = audio.createAnalyser();
  audio.createMediaStreamSource(stream).connect(node);
  const samples = new Float32Array(node.fftSize);
  let over = false;
  const tick = () => {
    if (over || audio.state === 'closed') return;
    node.getFloatTimeDomainData(samples);
    shown.value = Math.sqrt(samples.reduce((sum, s) => sum + s * s, 0) / samples.length);
    setTimeout(tick, 100);
  };
  tick();
  return () => { over = true; };
}

// Talk is one call. tell(text, bad) says how it goes; over() is called once, at its end.
class Talk {
  constructor(to, levels, tell, over) {
    Object.assign(this, { to, levels, tell, over, place: '', ended: false, abort: new AbortController() });
  }

  async begin() {
    try {
      this.tell('Waiting for the microphone …');
      this.mine = await microphone();
      if (this.ended) return this.end('');
      this.audio = new AudioContext();
      this.unmeter = meter(this.audio, this.mine, this.levels.me);
      this.pc = new RTCPeerConnection();
      this.sender = this.pc.addTrack(this.mine.getAudioTracks()[0], this.mine);
      this.pc.ontrack = (e) => this.hear(new MediaStream([e.track]));
      this.pc.onconnectionstatechange = () => this.connected(this.pc.connectionState);
      navigator.mediaDevices.ondevicechange = () => this.changed();
      await this.pc.setLocalDescription();
      this.tell('Calling …');
      const res = await answer(`/api/browser-calls?${new URLSearchParams({ to: this.to })}`, { method: 'POST', body: this.pc.localDescription.sdp, headers: { 'Content-Type': 'application/sdp' }, signal: this.abort.signal });
      this.place = res.headers.get('Location');
      sessionStorage.setItem(kept, this.place);
      await this.pc.setRemoteDescription({ type: 'answer', sdp: await res.text() });
      this.timer = setTimeout(() => this.tell(unheard, true), patience);
      return this.follow();
    } catch (err) {
      return this.end(refusals[err.name] ?? `No call: ${err.message}. ${err.remedy ?? ''}`, true);
    }
  }

  hear(stream) {
    this.player = new Audio();
    this.player.srcObject = stream;
    this.player.play().catch(() => this.tell('The browser plays no sound: allow it for this page.', true));
    meter(this.audio, stream, this.levels.agent);
  }

  connected(state) {
    if (state !== 'new' && state !== 'connecting') clearTimeout(this.timer);
    if (state === 'disconnected') this.tell('The connection is interrupted …', true);
    if (state === 'failed') this.end('The connection for audio is lost, or never came up. Is UDP to media.ports blocked?', true);
    if (state === 'connected' && this.state) this.show(this.state);
  }

  // changed opens the microphone again after a headset is plugged in or out.
  async changed() {
    try {
      const next = await microphone();
      for (const t of this.mine.getTracks()) t.stop();
      this.mine = next;
      await this.sender.replaceTrack(next.getAudioTracks()[0]);
      this.unmeter();
      this.unmeter = meter(this.audio, next, this.levels.me);
    } catch (err) {
      this.tell(refusals[err.name] ?? `The microphone is lost: ${err.message}.`, true);
    }
  }

  // follow reads how the call goes, also from the node's next process.
  async follow() {
    while (!this.ended) {
      this.abort = new AbortController(); // aborted also when the node falls silent
      await events(`${this.place}/events`, (_, state) => this.show(state), this.abort).catch((err) => err.status === 404 && this.end('The node no longer knows the call.', true));
      await new Promise((next) => { setTimeout(next, 500); });
    }
  }

  show(state) {
    this.state = state;
    this.began ??= state.phase === 'bridged' ? Date.now() : undefined;
    if (state.phase === 'ended') this.end(`The call has ended: ${state.words || words(state.cause ?? '')}.${this.began ? ` It lasted ${ms(Date.now() - this.began)}.` : ''}`);
    else if (state.phase !== 'bridged') this.tell(`${words(state.phase)} …`);
    else this.tell(`In call with ${state.target}.${state.on_hold ? ' On hold.' : ''} ${state.speaks?.length === 2 ? 'Both speak.' : state.speaks?.length ? `${state.speaks[0] === 'agent' ? 'The agent speaks' : 'You speak'}.` : ''}`);
  }

  press(digit) {
    const keys = this.sender?.dtmf;
    if (keys?.canInsertDTMF) keys.insertDTMF(keys.toneBuffer + digit); // it replaces those that wait
    else this.tell('This call takes no keys.', true);
  }

  end(text, bad) {
    if (this.place) remove(this.place).catch(() => {}); // it may have ended by itself
    sessionStorage.removeItem(kept);
    clearTimeout(this.timer);
    navigator.mediaDevices.ondevicechange = null;
    for (const t of this.mine?.getTracks() ?? []) t.stop();
    this.pc?.close();
    if (this.audio?.state !== 'closed') this.audio?.close();
    if (this.ended) return;
    this.ended = true;
    this.abort.abort();
    this.tell(text, bad);
    this.over();
  }
}

export function talk(main, params) {
  document.title = 'Talk · Flowbridge';
  const result = el('p.result', { role: 'status' });
  const level = (label) => el('meter', { 'aria-label': label, min: 0, max: 0.3, value: 0 });
  const levels = { me: level('Your level'), agent: level('The agent’s level') };
  const number = el('input', { name: 'to', type: 'tel', required: true, pattern: '\\+?[0-9A-Za-z._*\\-]{1,64}', maxlength: 65, value: params.get('to') ?? '', placeholder: '+15075785607', title: 'A number that a route of the browser trunk takes' });
  const button = el('button.main', {}, 'Talk');
  let call = null;
  const tell = (text, bad) => { put(result, line(text, 600)); result.className = bad ? 'result problem' : 'result'; };
  const refresh = () => {
    for (const b of main.querySelectorAll('.keypad button')) b.disabled = !call;
    put(button, call ? 'Hang up' : 'Talk');
    number.disabled = Boolean(call);
    button.disabled = !call && (Boolean(blocked()) || !feed.hello?.call);
    if (!call && feed.hello && !feed.hello.call) tell('You may not call. That needs a token with call: true, and a trunk with browser: true.', true);
  };
  const form = el('form.card.place', { 'aria-label': 'Talk' }, el('h2', {}, 'Talk'), el('p', {}, 'Talk to an agent through this browser’s microphone.'),
    el('label', {}, el('span', {}, 'Number to call'), number), button,
    el('label', {}, el('span', {}, 'You'), levels.me), el('label', {}, el('span', {}, 'Agent'), levels.agent),
    el('div.keypad', { role: 'group', 'aria-label': 'Keys' }, digits.map((d) => el('button', { type: 'button', onclick: () => call?.press(d) }, d))));
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    if (call) {
      call.end('You have hung up.');
      return;
    }
    call = new Talk(number.value.trim(), levels, tell, () => { call = null; refresh(); });
    call.begin();
    refresh();
  });
  fill(main, el('h1', {}, 'Talk'), result, el('div.places', {}, form));
  const left = sessionStorage.getItem(kept);
  if (left) {
    remove(left).catch(() => {});
    sessionStorage.removeItem(kept);
    tell('The page was reloaded, which has ended the call.');
  } else if (blocked()) tell(blocked(), true);
  const leaves = () => call?.end('');
  addEventListener('pagehide', leaves);
  const ends = listen(refresh);
  refresh();
  return () => { leaves(); removeEventListener('pagehide', leaves); ends(); };
}
