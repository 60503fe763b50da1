// Which log is trusted: keys, witnesses, and the newest head that is remembered.
import {h, show, number, download} from './dom.js';
import {ask} from './prover.js';
import * as log from './log.js';

export function trustView(view) {
  const trust = log.trust(), kept = log.memory.read(), out = h('div', {'aria-live': 'polite'});
  const keys = h('textarea', {id: 'keys', spellcheck: 'false', readonly: log.given}, ''), policy = h('textarea', {id: 'policy', spellcheck: 'false', readonly: log.given}, '');
  keys.value = trust.keys.join('\n');
  policy.value = trust.policy;
  const form = h('form', {submit: e => { e.preventDefault(); save(keys.value, policy.value, out); }},
    h('label', {for: 'keys'}, 'The log’s keys, one vkey a line'), keys, h('label', {for: 'policy'}, 'Witnesses that must have cosigned: a tlog-policy (empty: none)'), policy,
    !log.given && h('div', {class: 'buttons'}, h('button', {}, 'Save'), h('button', {type: 'button', class: 'plain', click: () => { log.memory.forget(); trustView(view); }}, 'Forget this log')), out);
  show(view, h('h2', {}, 'Whom you trust'), h('p', {}, trust.from), !log.given && h('p', {class: 'note'}, 'Compare the key with one that you have from elsewhere: from the log’s operator, its documentation, or a policy. A server that lies shows its own key.'), form,
    kept.note && [h('h3', {}, 'The newest tree head that this browser remembers'), h('p', {}, `${number(kept.size)} entries. Whatever the log shows must extend it.`), h('pre', {tabindex: 0}, kept.note), h('div', {class: 'buttons'}, download('remembered.checkpoint', kept.note, 'Download it'))]);
}

async function save(text, policy, out) {
  const keys = text.split('\n').map(k => k.trim()).filter(k => k);
  try {
    await ask('open', {keys, policy, note: ''}); // reads both
    if (!keys.length) throw new Error('give one key at least');
    log.memory.write({keys, policy, own: true, since: new Date().toISOString().slice(0, 10)});
    show(out, h('p', {class: 'good'}, '✓ Saved in this browser.'));
  } catch (e) { show(out, h('p', {class: 'bad'}, '✗ ' + e.message)); }
}
