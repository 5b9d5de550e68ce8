// The audio of a live call.

import { answer } from './api.js';

const rate = 8000; // of the audio, in samples per second
const ahead = [0.1, 1.5]; // how far what was received is ahead of what is heard, in seconds: at a start, and at most

// hear plays a live call, the caller on the left, until it ends or is aborted.
export async function hear(id, signal) {
  const out = new AudioContext({ sampleRate: rate });
  try {
    const reader = (await answer(`/api/calls/${encodeURIComponent(id)}/audio`, { signal })).body.getReader();
    let rest = new Uint8Array();
    let head = 44; // bytes of the WAV header that are still to come
    let end = 0; // of what was scheduled
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const all = new Uint8Array(rest.length + value.length);
      all.set(rest);
      all.set(value, rest.length);
      const from = Math.min(head, all.length);
      head -= from;
      const frames = Math.floor((all.length - from) / 4);
      rest = all.slice(from + 4 * frames);
      if (!frames || end > out.currentTime + ahead[1]) continue; // too far behind: this part is left out
      const part = out.createBuffer(2, frames, rate);
      const bytes = new DataView(all.buffer, from);
      for (const side of [0, 1]) part.getChannelData(side).set(Float32Array.from({ length: frames }, (_, i) => bytes.getInt16(4 * i + 2 * side, true) / 32768));
      const source = out.createBufferSource();
      source.buffer = part;
      source.connect(out.destination);
      if (end < out.currentTime) end = out.currentTime + ahead[0];
      source.start(end);
      end += frames / rate;
    }
  } finally {
    await out.close();
  }
}
