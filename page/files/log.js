// How the page reads its log, as any client does. What the log says is believed
// when the prover has proven it, and not before.
import {base64, unbase64, hex} from './dom.js';
import {ask} from './prover.js';

const data = document.body.dataset;
const place = 'indelible:' + data.origin;

export const given = data.given !== '';
export const native = 'native' in data;
export const origin = data.origin;
export const url = data.url;

const list = text => text.split('\n').map(k => k.trim()).filter(k => k);

// Failure is an answer that is not 200.
export class Failure extends Error {
  constructor(path, status, message) { super(`${path}: ${message || 'HTTP status ' + status}`); this.status = status; }
}

async function get(path, options = {}) {
  let answer;
  try {
    answer = await fetch(new URL(data.log + path, document.baseURI), options);
  } catch { throw new Failure(path, 0, 'the log does not answer'); }
  if (answer.ok) return answer;
  const said = await answer.text().catch(() => '');
  let message = '';
  try { message = JSON.parse(said).message; } catch { /* not the API's */ }
  throw new Failure(path, answer.status, typeof message === 'string' ? message.slice(0, 500) : '');
}

const bytes = async path => base64(new Uint8Array(await (await get(path)).arrayBuffer()));
const json = async path => (await get(path)).json();

// memory is what this browser remembers of the log: its keys, a policy, and the
// newest tree head that extended all before it.
export const memory = {
  read() {
    try { return JSON.parse(localStorage.getItem(place)) || {}; } catch { return {}; }
  },
  write(change) {
    try { localStorage.setItem(place, JSON.stringify({...memory.read(), ...change})); return true; } catch { return false; }
  },
  forget() { localStorage.removeItem(place); },
};

// trust is which keys and witnesses count, and where they come from.
export function trust() {
  const said = {keys: list(data.keys), policy: data.policy}, kept = memory.read();
  if (given) return {...said, from: data.given};
  if (!kept.keys) return {...said, from: 'This server said the keys just now: they are remembered from now on.'};
  return {keys: kept.keys, policy: kept.policy || '', from: kept.own ? 'You gave the keys.' : `This browser remembers the keys since ${kept.since}.`};
}

export const keysDiffer = () => !given && memory.read().keys && list(data.keys).some(k => !memory.read().keys.includes(k));

const failed = (name, detail) => ({name, state: 'failed', detail});

// head fetches the newest checkpoint, and proves that it extends the one that this
// browser remembers. result.head is set only if all holds.
export async function head() {
  const from = trust();
  const note = await (await get('checkpoint', {cache: 'no-store'})).text();
  const result = await ask('open', {...from, note});
  result.note = note;
  if (keysDiffer()) result.checks.push({name: 'key', state: 'warning', detail: 'this server names other keys than the ones that this browser remembers; those remembered count'});
  if (!result.head) return result;
  const kept = memory.read();
  if (kept.note) await extend(result, from, kept);
  if (result.head && !memory.write({keys: from.keys, policy: from.policy, since: kept.since || new Date().toISOString().slice(0, 10), note: result.head.note, size: result.head.size}))
    result.checks.push({name: 'extends', state: 'not checked', detail: 'this browser remembers nothing: it gives the page no storage'});
  return result;
}

async function extend(result, from, kept) {
  let found;
  try {
    const tiles = result.head.size > kept.size ? await fetchAll((await ask('plan-extends', {from: kept.size, to: result.head.size})).tiles) : {};
    found = await ask('extends', {...from, older: kept.note, newer: result.head.note, tiles});
  } catch (e) { found = {checks: [failed('extends', `that the log grew from the tree which this browser remembers is not proven: ${e.message}`)]}; }
  result.checks.push(...found.checks);
  if (found.verified) return;
  result.contradiction = {older: kept.note, newer: result.note, evidence: found.evidence};
  result.head = null;
}

async function fetchAll(paths) {
  const all = await Promise.all(paths.map(bytes));
  return Object.fromEntries(paths.map((path, i) => [path, all[i]]));
}

// entry proves an entry from tiles. asked is what the reader looked for.
export async function entry(index, asked = {}, at = null) {
  at ??= await head();
  const result = {verified: false, index, checks: [...at.checks], contradiction: at.contradiction};
  if (!at.head) return result;
  if (index >= at.head.size) return {...result, missing: true, checks: [...at.checks, failed('entry', `the log has ${at.head.size} entries; there is no number ${index}`)]};
  let found;
  try {
    const plan = await ask('plan-entry', {index, size: at.head.size});
    const [bundle, tiles] = await Promise.all([bytes(plan.bundle), fetchAll(plan.tiles)]);
    found = await ask('entry', {...trust(), note: at.head.note, index, bundle, tiles, asked});
  } catch (e) { return {...result, checks: [...at.checks, failed('entry', `what proves the entry could not be read: ${e.message}`)]}; }
  const known = new Set(found.checks.map(c => c.name));
  const extra = at.checks.filter(c => !known.has(c.name));
  return {...found, checks: [...found.checks.slice(0, 2), ...extra, ...found.checks.slice(2)]};
}

// said is what the native API says of an entry, which nobody proved; null without one.
export async function said(index) {
  if (!native) return null;
  try { return (await json(`v1/entries/${index}`)).entry; } catch { return null; }
}

// lookups are the questions that a text can mean.
export function lookups(text) {
  text = text.trim();
  if (/^(0|[1-9]\d{0,15})$/.test(text)) return [{by: 'index', value: text}];
  const all = text.split(/\s+/).flatMap(one);
  return all.length ? all : one(text);
}

const digests = {64: 'sha256:', 96: 'sha384:', 128: 'sha512:'};

function one(text) {
  const low = text.toLowerCase();
  if (/^SHA256:[0-9a-fA-F]{64}$/.test(text)) return [{by: 'publicKey', value: low.slice(7)}];
  if (/^sha(256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})$/.test(low))
    return [{by: 'artifact', value: low}, ...low.startsWith('sha256:') ? [{by: 'payload', value: low}, {by: 'envelope', value: low}] : []];
  if (/^[0-9a-f]{80}$/.test(low)) return [{by: 'leaf', value: low.slice(16)}]; // Rekor v1: the tree's id, and the leaf hash
  if (/^[0-9a-f]{64}$/.test(low)) return [{by: 'leaf', value: low}, ...one('sha256:' + low), {by: 'publicKey', value: low}];
  if (/^[0-9a-f]{96}([0-9a-f]{32})?$/.test(low)) return [{by: 'artifact', value: digests[low.length] + low}];
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return [{by: 'leaf', value: hex(unbase64(text))}];
  return [{by: 'subject', value: text}, ...text.startsWith('https://') ? [{by: 'issuer', value: text}] : []];
}

// find asks the log's index. next is a token for the page after this one.
export async function find({by, value}, token = '') {
  if (!native) throw new Failure('search', 404, 'this is a copy of the log’s tiles, without an index. An entry is found by its index, a proof file or a bundle; anything else needs the log itself');
  if (by === 'leaf') {
    const hash = base64(Uint8Array.from(value.match(/../g), x => parseInt(x, 16))).replaceAll('+', '-').replaceAll('/', '_');
    try { return {entries: [(await json('v1/entries:lookup?leafHash=' + encodeURIComponent(hash))).entry], next: ''}; } catch (e) {
      if (e.status === 404) return {entries: [], next: ''};
      throw e;
    }
  }
  const query = new URLSearchParams({[by]: value, pageSize: 20, ...token && {pageToken: token}});
  const answer = await json('v1/entries:search?' + query);
  return {entries: answer.entries, next: answer.nextPageToken, completeTo: Number(answer.completeTo), treeSize: Number(answer.treeSize)};
}

// times are when the log says that some entries came in, from first to last.
export async function times(size, samples = 12) {
  const at = Array.from({length: Math.min(samples, size)}, (_, i) => Math.round(i * (size - 1) / Math.max(1, Math.min(samples, size) - 1)));
  const all = await Promise.all(at.map(said));
  return at.map((index, i) => ({index, ms: Number(all[i]?.integratedAt || 0)})).filter(p => p.ms > 0);
}

// rekorKey is the key of Rekor v1's checkpoints, which this server says.
export async function rekorKey() {
  if (!('rekor' in data)) return [];
  try { return [await (await get('api/v1/log/publicKey')).text()]; } catch { return []; }
}
