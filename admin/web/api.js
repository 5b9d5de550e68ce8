// Requests to the API, with the token of this tab.

const kept = 'flowbridge-token';

// Problem is an error that the API explained.
export class Problem extends Error {
  constructor(status, text, remedy, after) {
    super(text);
    this.status = status;
    this.remedy = remedy;
    this.after = after; // seconds until it is worth trying again; 0: not said
  }
}

let ask = async () => false; // asks for a token; false: there will be none
let asking = null;
let declined = false; // nobody wants to give one: it is not asked for again by itself

export const onUnauthorized = (f) => { ask = f; };

export function useToken(token) {
  declined = false;
  if (token) sessionStorage.setItem(kept, token);
  else sessionStorage.removeItem(kept);
}

// answer gives the response to a request. Its path is below the page's, so a proxy may put both below another one. A missing or wrong token is asked for, once for all requests that wait.
export async function answer(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(kept);
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const res = await fetch(new URL(path.slice(1), document.baseURI), { ...options, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
    if (res.ok) return res;
    const problem = await problemOf(res);
    if (res.status !== 401 || declined) throw problem;
    if (sessionStorage.getItem(kept) !== token) continue; // there is another one meanwhile
    asking ??= ask(problem, token !== null).finally(() => { asking = null; });
    declined = !(await asking);
    if (declined) throw problem;
  }
}

async function problemOf(res) {
  let said = {};
  try {
    said = await res.json();
  } catch { /* not from the API, but from something between */ }
  return new Problem(res.status, said.error || said.detail || said.title || `HTTP status ${res.status}`, said.remedy || '', parseInt(res.headers.get('Retry-After'), 10) || 0);
}

export const get = async (path, signal) => (await answer(path, { signal })).json();

export async function post(path, body) {
  const options = { method: 'POST' };
  if (body) Object.assign(options, { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
  return (await answer(path, options)).json();
}

// download saves an answer as a file. A link could not send the token.
export async function download(path, name) {
  const url = URL.createObjectURL(await (await answer(path)).blob());
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

const silence = 40000; // in milliseconds: a node that is there sends something each 15 s

// events calls tell(name, data) for each event, until the stream ends, falls silent, or is aborted.
export async function events(path, tell, abort) {
  const res = await answer(path, { signal: abort.signal, headers: { Accept: 'text/event-stream' } });
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const dead = setTimeout(() => abort.abort(), silence);
    const { value, done } = await reader.read().finally(() => clearTimeout(dead));
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const found = /^event: (\w+)\ndata: (.*)$/s.exec(part);
      if (found) tell(found[1], JSON.parse(found[2]));
    }
  }
}
