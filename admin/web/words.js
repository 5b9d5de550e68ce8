// What happened to a call, in plain words.

import { clip, peer, visible } from './dom.js';
import { bytes, clock, count, fixed, momentOf, percent, spoken, words, zone } from './format.js';

// causes.json is made of b2bua/cause/causes.yaml, as docs/causes.md is: what happened, which side to look at first, what to look at.
export const causes = await (await fetch(new URL('causes.json', import.meta.url))).json();

// platforms.json has the address of a platform's own page of a call, by the host of its target. Only there is another host named.
const platforms = await (await fetch(new URL('platforms.json', import.meta.url))).json();

// platformPage is the address of the page that the platform itself has of a call; null: it is not known.
export function platformPage(c, targets) {
  const host = /@([\w.-]+)/.exec(targets?.find((t) => t.name === c.target)?.address ?? '')?.[1];
  const id = c.synthflow_call_id || c.report?.call_id || '';
  return host && Object.hasOwn(platforms, host) && /^[\w-]{1,128}$/.test(id) ? platforms[host].replace('{id}', id) : null;
}

// testTrunk is the trunk of test calls.
export const testTrunk = 'test caller';

// places has a sentence for each side that causes.json names.
const places = {
  none: 'Nothing is wrong: this is how calls end.',
  caller: "Look at the caller's side first.",
  platform: 'Look at the platform first.',
  target: "Look at the target's last error first: the platform, or our token (401, 403).",
  configuration: 'Look at this configuration first.',
  machine: 'Look at this machine first.',
  network: 'Look at the network and both sides.',
};

// testIsOver reports whether a call was a test that lasted as long as a test lasts: its end is no fault.
const testIsOver = (c) => c.trunk === testTrunk && c.cause === 'max_duration';

// endOf is why a call ended, in words.
export const endOf = (c) => (testIsOver(c) ? 'test over' : words(c.cause));

// agentOf is the last attempt of a test that reached a target.
const agentOf = (c) => (c.attempts ?? []).findLast((a) => a.target !== testTrunk);

// tested says how a test went.
function tested(c) {
  const a = agentOf(c);
  if (!a || a.cause) return 'The target did not take the call.';
  return said`${short(a.target)} answered after ${spoken(a.ms)}${c.media?.b?.rx ? ', and was heard' : ', but no audio came from it'}.`;
}

// isNormal says whether a cause is how calls end that went well.
export const isNormal = (cause) => causes[cause]?.side === 'none';

// refusesToken reports whether an attempt failed because the platform's API refuses our token, which no platform can mend.
const refusesToken = (a) => a?.prepare_status === 401 || a?.prepare_status === 403;
const tokenRefused = 'Look at this configuration first: the API refuses our token (token_file of the target).';

function place(cause, attempts = []) {
  if (cause === 'prepare_failed' && refusesToken(attempts.at(-1))) return tokenRefused;
  return places[causes[cause]?.side] ?? '';
}

// verdict says where to look. A call that ended well may have been mute, have waited for targets that failed before, or have outlived its
// process: that is not nothing.
export function verdict(c) {
  if (testIsOver(c) && !c.problems?.length) return tested(c);
  if (c.problems?.includes('not-told')) return `${isNormal(c.cause) ? 'Its end is as usual, but' : `${place(c.cause, c.attempts)} Besides:`} the caller ${c.told?.whole ? 'did not accept the' : 'was not told the whole'} statement of its route.`;
  const wrong = (c.problems ?? []).filter((p) => !['one-way', 'silent', 'no-answer'].includes(p)).map((p) => words(p).replaceAll('-', ' '));
  if (c.media?.one_way) return [`${isNormal(c.cause) ? 'Its end is as usual, but' : `${place(c.cause, c.attempts)} One-way audio:`} ${unheard(c.media)} `, ...mute(c.media), wrong.length ? ` Besides: ${wrong.join(', ')}.` : ''];
  if (c.media?.silences) return `${isNormal(c.cause) ? 'Its end is as usual, but ' : `${place(c.cause, c.attempts)} Besides: `}${silences(c)}.${wrong.length ? ` It also had: ${wrong.join(', ')}.` : ''}`;
  if (isNormal(c.cause) && c.restored) return `Its end is as usual, but ${outlived(c)}.`;
  const failed = isNormal(c.cause) ? (c.attempts ?? []).find((a) => a.cause && a.reason !== 'transfer') : null;
  const atOnce = c.cause === 'agent_hangup' && c.answered_at && c.duration_ms < 2000 && c.media && !c.media.b?.rx ? 'It hung up at once, without a sound. Look at the platform first.' : '';
  if (atOnce && !failed) return atOnce;
  const silent = !atOnce && isNormal(c.cause) && c.answered_at && c.duration_ms >= 1000 && c.media ? ['a', 'b'].filter((k) => !c.media[k]?.rx) : [];
  if (silent.length === 2) return 'Its end is as usual, but no audio came from either side.';
  if (silent.length) return [`Its end is as usual, but no audio came from ${sides[silent[0]]}. `, ...mute({ ...c.media, one_way: silent[0] })];
  if (isNormal(c.cause) && wrong.length && !failed) return `Its end is as usual, but it had: ${wrong.join(', ')}.`;
  return failed ? said`Its end is as usual, but target ${short(failed.target)} failed first (${words(failed.cause)}).${refusesToken(failed) ? ` ${tokenRefused}` : ''}${wrong.length ? ` It also had: ${wrong.join(', ')}.` : ''}${atOnce ? ` ${atOnce}` : ''}` : place(c.cause, c.attempts);
}

// silences says which side sent nothing in mid-call, and when: "the called side sent no audio from 0:08 on, after its re-INVITE".
function silences(c) {
  const one = (s) => {
    const to = s.to_ms === null || (c.duration_ms && s.to_ms >= c.duration_ms - 1000) ? 'on' : `to ${clock(s.to_ms)}`;
    const after = { reinvite_a: s.side === 'a' ? ', after its re-INVITE' : ", after the caller's re-INVITE", reinvite_b: s.side === 'b' ? ', after its re-INVITE' : ", after the called side's re-INVITE", transfer: ', after a transfer', restart: ', after a restart of Flowbridge' };
    return `${sides[s.side]} sent no audio from ${clock(s.from_ms)} ${to}${after[s.after] ?? ''}`;
  };
  const all = c.media.silences;
  return `${all.slice(0, 3).map(one).join('; ')}${all.length > 3 ? `; and ${count(all.length - 3)} more times` : ''}`;
}

const unheard = (m) => `${sides[m.one_way === 'a' ? 'b' : 'a']} did not hear ${sides[m.one_way]}${m[m.one_way].rx ? ' when it began' : ''}.`;

// mute says where to look for the audio of the side that was not heard.
function mute(m) {
  const s = m[m.one_way];
  const side = s.expected ? said`${sides[m.one_way]} (${short(s.expected)})` : sides[m.one_way];
  if (s.refused) return said`RTP came from ${short(s.refused)}, which is not believed: if that is its address, write it in media_sources.`;
  if (s.dropped) return [`Its packets were dropped: ${Object.entries(s.dropped_by).map(([w, n]) => `${words(w)} ${count(n)}`).join(', ')}.`];
  return ['Look at ', ...[side].flat(), ' and the way from there: no packet came. Is it muted, does a firewall or NAT stop its RTP, is media.advertise our address?'];
}

// said is a sentence with texts of peers in it, as children for an element.
const said = (parts, ...values) => parts.flatMap((p, i) => [p, values[i] ?? '']);
const short = (s) => peer(s, 80);

// story tells a call in sentences: who called, where it went, what each target did, how it ended, how it sounded. It gives
// children for an element.
export function story(c, live) {
  const tried = (c.attempts ?? []).map((a, i, all) => (c.trunk === testTrunk && a.target === testTrunk ? '' : attempt(a, c, i === all.length - 1)));
  return [opening(c), ...tried, talk(c, live), c.restored ? `${outlived(c)}.` : '', live ? '' : ending(c), live ? '' : sound(c), conversation(c)].filter((s) => s.length).map((s) => [s, ' ']);
}

function opening(c) {
  const over = c.trunk ? c.trunk === testTrunk ? ', a test by the built-in test caller' : said` over trunk ${short(c.trunk)}` : '';
  return said`${c.from ? short(c.from) : 'Somebody'} called ${c.to ? short(c.to) : 'no number'}${over} at ${momentOf(c.started_at)} ${zone.name}${c.direction === 'outbound' ? ', an outbound call' : ''}.`;
}

function attempt(a, c, last) {
  const asked = a.prepare_status ? `its API answered ${a.prepare_status} after ${spoken(a.prepare_ms)}` : a.prepare_ms ? `its API was asked for ${spoken(a.prepare_ms)}` : '';
  const why = a.reason === 'transfer' ? 'The agent transferred the call to' : 'Flowbridge tried';
  if (!a.cause) {
    const took = last && !c.answered_at ? (c.ended_at ? 'the call ended before it answered' : 'it has not answered yet') : `it answered${Math.abs(a.ms - c.setup_ms) > 50 ? ` after ${spoken(a.ms)}` : ''}`;
    return said`${why} ${short(a.target)}: ${[asked, took].filter(Boolean).join(', then ')}.`;
  }
  const status = a.sip_status ? ` with SIP ${a.sip_status}` : '';
  return said`${why} ${short(a.target)}: ${asked && `${asked}, and `}it failed${status} (${words(a.cause)}${a.error ? `: ${clip(visible(a.error), 200)}` : ''})${a.ms ? ` after ${spoken(a.ms)}` : ''}${last ? '' : ', so the next target was tried'}.`;
}

function talk(c, live) {
  if (!c.answered_at) return live ? 'It is not answered yet.' : 'It was never answered.';
  if (live) return `It was answered after ${spoken(c.setup_ms)}, and is up.`;
  return `It was answered after ${spoken(c.setup_ms)} and lasted ${spoken(c.duration_ms)}.`;
}

// outlived says how often the call's process was killed, and what was not heard for that.
function outlived(c) {
  const times = c.restored === 1 ? 'once' : `${count(c.restored)} times`;
  return `Flowbridge was killed ${times} during the call${c.media?.gap_ms ? `, and ${spoken(c.media.gap_ms)} of its audio are missing` : ', and no audio is known to be missing'}`;
}

const enders = { caller: 'The caller', agent: 'The called side', system: 'Flowbridge', operator: 'An operator' };

function ending(c) {
  const who = enders[c.ended_by] ?? 'Nobody known';
  const status = c.sip_status && !c.answered_at ? ` The caller got SIP ${c.sip_status}.` : '';
  if (testIsOver(c)) return `The test ended after ${spoken(c.duration_ms)}, as every test does.`;
  if (c.cause === 'caller_cancelled') return `${who} gave up before an answer.${status}`;
  if (c.cause.endsWith('_hangup')) return `${who} hung up.`;
  return `${who} ended it: ${words(c.cause)}.${status}`;
}

// conversation says what the conversation was like, worst first.
function conversation(c) {
  const t = c.talk;
  if (!c.answered_at || !t) return '';
  if (t.confidence === 'not_measured') return t.reason === 'steady' ? 'Not measured (steady sound).' : '';
  const tried = (t.barge_ins?.n ?? 0) + t.barge_ins_ignored;
  const all = [
    t.turns && [t.turns.p95_ms / 2000, `answers came after ${spoken(t.turns.p95_ms)} at p95`],
    t.barge_ins_ignored && [1 + t.barge_ins_ignored / tried, `the agent did not stop when interrupted, ${t.barge_ins_ignored} of ${tried}`],
    t.agent_dead_air_ms && [t.agent_dead_air_ms / 5000, `the caller waited for it in ${spoken(t.agent_dead_air_ms)} of dead air`],
    t.echo_ms && [3, `the called side repeats what the caller says, ${spoken(t.echo_ms)} later`],
    t.cut_offs && [t.cut_offs / 4, `it began while the caller spoke, ${count(t.cut_offs)} ×`],
    !t.turns && t.first_agent_ms !== null && [0, `the agent was heard after ${spoken(t.first_agent_ms)}`],
  ].filter(Boolean).sort((a, b) => b[0] - a[0]).map(([, words]) => words);
  if (!all.length) return t.first_agent_ms === null && t.first_agent_reason !== 'line_cut' ? 'The agent said nothing.' : ''; // line_cut: nobody listened
  const text = all.join('; ');
  return `${capital(text)}${t.confidence === 'noisy' ? ' (a noisy line: that may be wrong)' : ''}.`;
}

const sides = { a: 'the caller', b: 'the called side' };

const sounds = (mos) => `${mos >= 4 ? 'good' : mos >= 3.6 ? 'fair' : mos >= 3 ? 'poor' : 'bad'} (MOS ${fixed(mos, 1)})`;
const capital = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

// cut is how many packets of a side came too late or too early to be transcoded, missed how many could not be heard, and away how many
// the network lost or brought too late.
const cut = (s) => (s?.dropped_by?.overtaken ?? 0) + (s?.dropped_by?.ahead ?? 0);
export const missed = (s) => s.lost + Math.max(s.late ?? 0, cut(s));
const away = (s) => s.lost - (s.lost_here ?? 0) + (s.late ?? 0) - (s.late_here ?? 0);

function sound(c) {
  const m = c.media;
  if (!c.answered_at || !m || (!m.a?.rx && !m.b?.rx)) return c.answered_at ? 'No audio came from either side.' : '';
  const oneWay = m.one_way ? `One-way audio: ${unheard(m)} ` : '';
  const lost = ['a', 'b'].map((k) => [k, m[k]?.rx ? away(m[k]) : 0]).filter(([k, n]) => n && n >= 0.005 * (m[k].rx + m[k].lost));
  const heard = Math.min(...['a', 'b'].map((k) => m[k]?.mos || Infinity));
  const grade = m.silences ? `${capital(silences(c))}${heard < Infinity ? `; while there was sound, it sounded ${sounds(heard)}` : ''}`
    : !m.mos ? 'Its quality was not measured' : `It sounded ${sounds(m.mos)}`;
  const gone = ['a', 'b'].filter((k) => cut(m[k])).map((k) => `; ${count(cut(m[k]))} packets from ${sides[k]} were cut off: they came too late or too early to be transcoded`);
  return `${oneWay}${grade}${here(m)}${gone.join('')}${lost.length ? `; ${lost.map(([k, n]) => `${percent(n / (m[k].rx + m[k].lost))} of the packets from ${sides[k]} (${count(n)}) did not arrive here${m[k].late > (m[k].late_here ?? 0) ? ' in time' : ''}`).join(', ')}` : ''}.`;
}

// here says what became of a call's packets because this machine had no CPU for them, or stood still.
function here(m) {
  const parts = ['a', 'b'].map((k) => [k, (m[k].lost_here ?? 0) + (m[k].late_here ?? 0)]).filter(([, n]) => n).map(([k, n]) => `${count(n)} packets from ${sides[k]}`);
  const sent = parts.length ? `sent on ${parts.join(' and ')} too late or not at all` : '';
  const lacked = m.no_cpu_ms >= 1000 ? `had no CPU for ${spoken(m.no_cpu_ms)} of it` : '';
  return sent || lacked ? `; this machine ${[lacked, sent].filter(Boolean).join(', and ')}` : '';
}

// wellness says in a sentence whether somebody is needed: [state, text]. The banner has what is not well.
export function wellness(s) {
  const n = s.troubles?.length ?? 0;
  if (n) return [s.troubles.some((t) => t.severity === 'bad') ? 'bad' : 'warn', n === 1 ? 'Look at this: 1 thing is not well.' : `Look at this: ${count(n)} things are not well.`];
  return s.calls || s.ended ? ['ok', 'All is well.'] : ['idle', 'Ready. No calls in the last 5 minutes.'];
}

// machineLine is the process and its machine in a line.
export function machineLine(m, version, now) {
  if (!m?.started_at || !m.cpus) return '';
  return [`Flowbridge ${version === 'dev' ? 'built without git' : version ?? ''}`, `up ${ago(now - Date.parse(m.started_at))}`, `CPU ${fixed(m.cpu, 2)} of ${Number(m.cpus.toPrecision(3))}`, `memory ${bytes(m.memory)}`,
    m.disk_size && `disk ${bytes(m.disk_free)} left of ${bytes(m.disk_size)}`].filter(Boolean).join(' · ');
}

const ago = (n) => (n >= 86400e3 ? `${Math.floor(n / 86400e3)} d ${Math.floor((n % 86400e3) / 3600e3)} h` : spoken(Math.floor(n / 60000) * 60000 || n));
