// What the page shows.
import {h, s, facts, number, time, dated, download, visible, unbase64} from './dom.js';
import * as log from './log.js';

const names = {index: 'index', leaf: 'leaf hash', artifact: 'digest of an artifact', publicKey: 'key', subject: 'identity in a certificate',
  issuer: 'OIDC issuer in a certificate', payload: 'digest of an envelope’s payload', envelope: 'digest of an envelope'};
export const nameOf = by => names[by] || by;

const marks = {passed: ['✓', 'good', 'passed'], failed: ['✗', 'bad', 'failed'], 'not checked': ['–', 'skipped', 'not checked'], warning: ['!', 'wait', 'warning']};

export function checks(list) {
  return h('ul', {class: 'checks', 'aria-label': 'Checks'}, list.map(c => {
    const [mark, style, word] = marks[c.state];
    return h('li', {class: style, 'data-check': c.name, 'data-state': c.state}, h('span', {role: 'img', 'aria-label': word}, mark), h('b', {}, c.name), h('span', {}, dated(c.detail)));
  }));
}

export const failure = result => result.checks.find(c => c.state === 'failed');

export function verdict(result, good) {
  const wrong = failure(result);
  if (!wrong) return h('div', {class: 'verdict good', 'data-verdict': 'proven'}, h('p', {}, h('strong', {}, '✓ ' + good)));
  return h('div', {class: 'verdict bad', 'data-verdict': 'failed'}, h('p', {}, h('strong', {}, `✗ Not proven: the ${wrong.name} check failed`)), h('p', {}, dated(wrong.detail)));
}

// alarm is of a log that contradicts what it showed before.
export function alarm(result) {
  const c = result.contradiction;
  if (!c) return null;
  return h('div', {class: 'verdict bad', 'data-verdict': 'contradiction'},
    h('p', {}, h('strong', {}, '✗ This log’s tree head does not extend the one that this browser remembers')),
    h('p', {}, dated(failure(result)?.detail || '')),
    h('p', {}, 'Keep both signed notes: together they are what others need to judge the log. Nothing that it shows now is believed.'),
    h('div', {class: 'buttons'}, download('older.checkpoint', c.older, 'The remembered note'), download('newer.checkpoint', c.newer, 'The note of now'),
      c.evidence && download('log.evidence', c.evidence, 'File of evidence')));
}

const link = (by, value) => '#/find/' + encodeURIComponent(by === 'publicKey' ? 'SHA256:' + value : value);

const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";

function who(signer) {
  const c = signer.certificate;
  return c && c.names?.length ? c.names[0] + (c.names.length > 1 ? ` and ${c.names.length - 1} more` : '') : signer.fingerprint.slice(0, 23) + '…';
}

export const whoSigned = e => e.signers?.length ? e.signers.map(who).join('; ') : 'nobody';

function certificate(c) {
  return h('div', {}, h('h4', {}, 'Its certificate says (who issued it is not checked)'), facts([
    ['Identity', (c.names || []).join(', ')], ...(c.extensions || []).map(e => [e.name, e.value]),
    ['Subject', c.subject], ['Issued by', c.issuer], ['Valid', `${time(c.from)} to ${time(c.to)}`], ['Serial number', c.serial, true]]),
  h('div', {class: 'buttons'}, download('certificate.pem', c.pem, 'Certificate (PEM)')));
}

function signer(one) {
  return h('div', {}, facts([['Key', h('a', {href: link('publicKey', one.fingerprint.slice(7))}, one.fingerprint), true], ['Algorithm', one.keyDetails, true]]),
    one.certificate && certificate(one.certificate));
}

function commands(index, e) {
  const key = log.trust().keys.find(k => !k.startsWith('-----'));
  const signed = e.signers?.length ? ` --signer ${e.signers[0].fingerprint}` : ' --any-signer';
  return `logcli get ${index} --url ${quoted(log.url)} --log-key ${quoted(key || 'VKEY')}\n` +
    `logcli verify FILE --proof ${index}.tlog-proof --log-key ${quoted(key || 'VKEY')}${signed}`;
}

// canonical shows the bytes: as text, if that is what they are, or else in hex.
function canonical(text64) {
  const bytes = unbase64(text64);
  try { return visible(new TextDecoder('utf-8', {fatal: true}).decode(bytes)); } catch {
    return Array.from(bytes, b => b.toString(16).padStart(2, '0')).join(' ');
  }
}

export function details(index, e, said) {
  const ms = Number(said?.integratedAt || 0);
  return [
    h('h3', {}, 'What was logged'),
    facts([['Kind', `${e.kind} ${e.version}`], ...(e.found || []).filter(f => ['artifact', 'payload', 'envelope'].includes(f.by))
      .map(f => [nameOf(f.by)[0].toUpperCase() + nameOf(f.by).slice(1), h('a', {href: link(f.by, f.value)}, f.value), true]),
    ['Leaf hash', e.leafHash, true], ['Logged at', ms ? `${time(Math.floor(ms / 1000))} (the log’s word, not proven)` : 'not said']]),
    h('h3', {}, e.signers?.length > 1 ? 'Signed by' : 'Signer'),
    e.signers?.length ? e.signers.map(signer) : h('p', {}, 'Nobody signed it.'),
  ];
}

export function verifyIt(index, result) {
  return [
    h('h3', {}, 'Verify it yourself'),
    h('pre', {class: 'wrap', tabindex: 0}, commands(index, result.entry)),
    h('div', {class: 'buttons'}, download(`${index}.tlog-proof`, result.proof, 'Download the proof file'),
      h('button', {type: 'button', class: 'plain', click: e => navigator.clipboard?.writeText(commands(index, result.entry)).then(() => { e.target.textContent = 'Copied'; })}, 'Copy the commands')),
  ];
}

export const raw = e => h('details', {}, h('summary', {}, `The logged bytes (${number(unbase64(e.canonical).length)})`), h('pre', {class: 'wrap', tabindex: 0}, canonical(e.canonical)));

// picture draws the way from the leaf to the root.
export function picture(result) {
  const steps = result.path || [], rows = steps.length + 1, row = 44;
  const y = i => 24 + (rows - 1 - i) * row, x = i => steps.slice(0, i).reduce((at, step) => at + (step.left ? -1 : 1) * 9, 0);
  const all = Array.from({length: rows}, (_, i) => x(i)), left = Math.min(...all) - 190, width = Math.max(...all) + 190 - left;
  const short = hash => hash.slice(0, 8) + '…';
  const drawing = s('svg', {class: 'tree', viewBox: `${left} 0 ${width} ${rows * row + 8}`, role: 'img', 'aria-label': `The way from entry ${result.index} to the root, over ${steps.length} hashes`});
  steps.forEach((step, i) => {
    const side = step.left ? x(i) - 80 : x(i) + 80;
    drawing.append(s('line', {x1: side, y1: y(i), x2: x(i + 1), y2: y(i + 1)}), s('line', {class: 'way', x1: x(i), y1: y(i), x2: x(i + 1), y2: y(i + 1)}),
      s('circle', {cx: side, cy: y(i), r: 5}), s('text', {class: 'soft', x: step.left ? side - 10 : side + 10, y: y(i) + 4, 'text-anchor': step.left ? 'end' : 'start'}, short(step.with)));
  });
  for (let i = 0; i < rows; i++) {
    const label = i === 0 ? 'entry ' + short(result.entry.leafHash) : (i === rows - 1 ? 'root ' : '') + short(steps[i - 1].hash);
    const before = i < steps.length && !steps[i].left;
    drawing.append(s('circle', {class: 'way-node', cx: x(i), cy: y(i), r: 6}), s('text', {x: before ? x(i) - 12 : x(i) + 12, y: y(i) + 4, 'text-anchor': before ? 'end' : 'start'}, label));
  }
  return h('details', {}, h('summary', {}, `The way to the root, over ${steps.length} hashes`),
    h('p', {class: 'hint'}, 'Filled: computed in this browser, from the entry up. Hollow: read from the log’s tiles. The root that comes out is the one that the log signed.'), drawing,
    h('ol', {class: 'code'}, steps.map(step => h('li', {}, `with ${step.with} on the ${step.left ? 'left' : 'right'}: ${step.hash}`))));
}

export function rows(list) {
  return h('table', {}, h('thead', {}, h('tr', {}, ['Entry', 'Kind', 'Signed by', 'Proven'].map(t => h('th', {scope: 'col'}, t)))),
    h('tbody', {}, list.map(r => h('tr', {'data-index': r.index}, h('td', {}, h('a', {href: r.href || `#/entry/${r.index}`}, number(r.index))),
      h('td', {class: 'kind'}, r.entry?.kind || '–'), h('td', {}, r.entry ? whoSigned(r.entry) : '–'),
      h('td', {class: r.verified ? 'good' : 'bad'}, r.verified ? '✓ yes' : `✗ ${failure(r)?.name}: ${failure(r)?.detail}`)))));
}

// growth is a chart of when entries came in, by the log's word.
export function growth(points) {
  if (points.length < 3 || points.at(-1).ms <= points[0].ms) return null;
  const w = 400, hgt = 90, first = points[0].ms, span = points.at(-1).ms - first, most = points.at(-1).index || 1;
  const at = points.map(p => `${(p.ms - first) / span * w},${hgt - p.index / most * (hgt - 8)}`).join(' ');
  const day = ms => time(Math.floor(ms / 1000)).slice(0, 16);
  return h('figure', {}, s('svg', {class: 'tree', viewBox: `-4 0 ${w + 8} ${hgt + 4}`, role: 'img', 'aria-label': `Entries over time, from ${day(first)} to ${day(points.at(-1).ms)}`}, s('polyline', {class: 'way', points: at})),
    h('figcaption', {class: 'hint'}, `Entries from ${day(first)} to ${day(points.at(-1).ms)} UTC (the log’s word, not proven)`));
}

export function headFacts(at) {
  return facts([['Entries', number(at.head.size)], ['Root', at.head.root, true],
    ...at.head.signatures.map(g => [g.by === 'log' ? 'Signed by the log' : g.by === 'witness' ? 'Cosigned by' : 'A line that is not checked', `${g.name}+${g.keyId}${g.time ? ', ' + time(g.time) : ''}`, true])]);
}
