// The page's routes: #/ and #/entry/INDEX, #/find/TEXT, #/entries/START, #/verify, #/trust.
import {h, show, number} from './dom.js';
import {ask} from './prover.js';
import * as log from './log.js';
import * as views from './views.js';
import {verifyView, dropped} from './verify.js';
import {trustView} from './trust.js';

const view = document.getElementById('view'), alarm = document.getElementById('alarm'), facts = document.getElementById('facts');
const form = document.getElementById('look'), what = document.getElementById('what'), files = document.getElementById('files');
let turn = 0; // counts routes, so that an answer to an old one is not shown

const waiting = text => h('div', {class: 'verdict wait', 'data-verdict': 'waiting'}, h('p', {}, text));
const trouble = e => h('div', {class: 'verdict bad', 'data-verdict': 'trouble'}, h('p', {}, h('strong', {}, '✗ It could not be looked up')), h('p', {}, e.message));

async function home(mine) {
  show(view, waiting('Reading and checking the newest tree head…'));
  const at = await log.head();
  if (mine !== turn) return;
  show(alarm, views.alarm(at));
  if (!at.head) return show(view, h('h2', {}, 'The newest tree head'), views.verdict(at, ''), views.checks(at.checks));
  const newest = h('div', {}, waiting('Proving the newest entries…')), chart = h('div', {});
  show(view, h('h2', {}, 'The newest tree head'), views.verdict(at, `The log signed its tree of ${number(at.head.size)} entries` + (at.checks.some(c => c.name === 'extends') ? ', which extends what this browser saw before' : '')), views.checks(at.checks),
    views.headFacts(at), chart, h('h2', {}, 'The newest entries'), newest);
  const list = await proveRange(at, Math.max(0, at.head.size - 10), at.head.size);
  if (mine !== turn) return;
  show(newest, list.length ? views.rows(list.reverse()) : h('p', {}, 'The log is empty.'), h('p', {class: 'pages'}, at.head.size > 10 && h('a', {href: '#/entries/' + Math.max(0, at.head.size - 20)}, 'Older entries')));
  if (log.native) show(chart, views.growth(await log.times(at.head.size)));
  watch(mine, at.head.size);
}

// watch looks for a newer head now and then, while the page is in sight.
function watch(mine, size) {
  setTimeout(async () => {
    if (mine !== turn) return;
    if (document.hidden) return watch(mine, size);
    const at = await log.head().catch(() => null);
    if (mine !== turn) return;
    if (at && (!at.head || at.head.size !== size)) return home(mine).catch(e => show(view, trouble(e)));
    watch(mine, size);
  }, 5000);
}

const proveRange = (at, start, end) => Promise.all(Array.from({length: Math.max(0, end - start)}, (_, i) => log.entry(start + i, {}, at)));

async function entries(mine, start) {
  show(view, waiting('Proving…'));
  const at = await log.head();
  const list = at.head ? await proveRange(at, start, Math.min(start + 20, at.head.size)) : [];
  if (mine !== turn) return;
  show(alarm, views.alarm(at));
  show(view, h('h2', {}, `Entries from ${number(start)} on`), at.head ? views.rows(list) : views.verdict(at, ''),
    h('p', {class: 'pages'}, start > 0 && h('a', {href: '#/entries/' + Math.max(0, start - 20)}, 'Older'), at.head && start + 20 < at.head.size && h('a', {href: '#/entries/' + (start + 20)}, 'Newer')));
}

async function entry(mine, index, asked) {
  const title = h('h2', {}, `Entry ${number(index)}`);
  show(view, title, waiting('Proving…'));
  const saying = log.said(index);
  saying.then(said => { // shown at once, and said to be unproven
    if (said && mine === turn && view.querySelector('[data-verdict=waiting]')) show(view, title, waiting(`The log says that this is a ${said.kind} entry. Proving that…`));
  });
  const result = await log.entry(index, asked);
  const said = await saying;
  if (mine !== turn) return;
  show(alarm, views.alarm(result));
  if (!result.entry || !result.verified)
    return show(view, title, views.verdict(result, ''), views.checks(result.checks), result.entry && [h('p', {class: 'note'}, 'What follows is not proven.'), ...views.details(index, result.entry, said), views.raw(result.entry)]);
  show(view, title, views.verdict(result, `Proven in this browser: entry ${number(index)} of ${number(result.head.size)} in this log`), views.checks(result.checks),
    views.details(index, result.entry, said), views.verifyIt(index, result), views.raw(result.entry), views.picture(result));
}

// find shows what a text can mean, and for each meaning a page of entries, proven.
async function find(mine, text, token) {
  const questions = log.lookups(text);
  if (questions[0].by === 'index') return location.replace('#/entry/' + questions[0].value);
  show(view, waiting('Asking the log, and proving what it answers…'));
  const at = await log.head();
  if (mine !== turn) return;
  show(alarm, views.alarm(at));
  if (!at.head) return show(view, views.verdict(at, ''), views.checks(at.checks));
  const [only, page] = token ? token.split('/') : [];
  const found = await Promise.all(questions.filter(q => !only || q.by === only).map(async q => ({q, ...await answered(q, at, page)})));
  if (mine !== turn) return;
  const some = found.filter(f => f.list.length);
  show(view, h('h2', {}, 'Found for ', h('span', {class: 'code'}, text)), some.length ? some.map(f => group(text, f)) : nothing(found, at));
}

async function answered(q, at, page) {
  const answer = await log.find(q, page);
  const asked = q.by === 'leaf' ? {leaf: q.value} : {by: q.by, value: q.value};
  const list = await Promise.all(answer.entries.map(e => log.entry(Number(e.index), asked, at)));
  list.forEach(r => { r.href = `#/entry/${r.index}/${q.by}/${encodeURIComponent(q.value)}`; });
  return {...answer, list};
}

const group = (text, f) => [h('h3', {}, `By ${views.nameOf(f.q.by)}`), views.rows(f.list),
  h('p', {class: 'said'}, 'That these are all such entries is this server’s word; that each is in the log, and says what you searched for, is proven.'),
  f.next && h('p', {class: 'pages'}, h('a', {href: `#/find/${encodeURIComponent(text)}/${f.q.by}/${encodeURIComponent(f.next)}`}, 'More'))];

function nothing(found, at) {
  const to = Math.min(...found.map(f => f.completeTo ?? at.head.size));
  return [h('p', {'data-found': 'nothing'}, 'The log answers that it has no such entry.'), h('p', {class: 'said'}, `That is this server’s word, for the first ${number(to)} entries. logcli search --verify reads the whole log, and proves it.`)];
}

async function route() {
  const mine = ++turn, [, page = '', ...rest] = location.hash.split('/').map(part => { try { return decodeURIComponent(part); } catch { return part; } });
  show(alarm);
  facts.hidden = page !== '';
  form.hidden = page === 'verify' || page === 'trust';
  for (const a of document.querySelectorAll('#nav a')) a.toggleAttribute('aria-current', a.hash === '#/' + (['verify', 'trust'].includes(page) ? page : ''));
  try {
    if (page === 'entry' && /^(0|[1-9]\d{0,15})$/.test(rest[0])) await entry(mine, Number(rest[0]), asking(rest[1], rest[2]));
    else if (page === 'entries' && /^\d{1,15}$/.test(rest[0])) await entries(mine, Number(rest[0]));
    else if (page === 'find' && rest[0]) await find(mine, rest[0], rest[1] && rest[1] + '/' + (rest[2] || ''));
    else if (page === 'verify') verifyView(view);
    else if (page === 'trust') trustView(view);
    else await home(mine);
  } catch (e) { if (mine === turn) show(view, trouble(e)); }
}

const asking = (by, value) => !by ? {} : by === 'leaf' ? {leaf: value} : {by, value};

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

// take is what happens to files that were chosen or dropped.
async function take(list) {
  if (!list.length) return;
  const mine = ++turn;
  facts.hidden = true;
  show(view, waiting('Reading the file…'));
  try {
    if (await dropped(list)) return go('#/verify');
    const file = list[0], progress = h('p', {}, '');
    show(view, h('div', {class: 'verdict wait'}, h('p', {}, `Hashing ${file.name} in this browser; it is not uploaded.`), progress));
    const sums = await ask('digest', {}, file, read => { progress.textContent = `${number(read)} of ${number(file.size)} bytes`; });
    if (mine === turn) go('#/find/' + encodeURIComponent(`sha256:${sums.sha256} sha384:${sums.sha384} sha512:${sums.sha512}`));
  } catch (e) { if (mine === turn) show(view, trouble(e)); }
}

form.addEventListener('submit', e => {
  e.preventDefault();
  if (what.value.trim()) go('#/find/' + encodeURIComponent(what.value.trim()));
});
files.addEventListener('change', () => { take([...files.files]); files.value = ''; });
for (const name of ['dragover', 'drop', 'dragleave']) document.addEventListener(name, e => {
  e.preventDefault();
  document.body.classList.toggle('over', name === 'dragover');
  if (name === 'drop') take([...e.dataTransfer.files]);
});
addEventListener('hashchange', route);
document.getElementById('nav').hidden = false;
route();
