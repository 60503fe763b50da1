// A proof file or a bundle, verified whole with its artifact, as logcli verify does.
import {h, show} from './dom.js';
import {base64} from './dom.js';
import {ask} from './prover.js';
import * as log from './log.js';
import * as views from './views.js';

let proof = null, artifact = null; // what was dropped

const most = 32 << 20; // bytes of a bundle

// dropped keeps dropped files, if one of them is a proof or a bundle.
export async function dropped(list) {
  for (const file of list) {
    const start = await file.slice(0, 4096).text();
    const isProof = start.startsWith('c2sp.org/tlog-proof@v1\n'), isBundle = /^\s*\{/.test(start) && (start.includes('sigstore.bundle') || /\.sigstore(\.json)?$/.test(file.name));
    if ((isProof || isBundle) && file.size <= most) {
      proof = file;
      artifact = list.find(other => other !== file) || null;
      return true;
    }
  }
  return false;
}

const input = (name, label, more = {}) => h('label', {}, label, h('input', {name, type: 'text', autocomplete: 'off', spellcheck: 'false', ...more}));

export function verifyView(view) {
  const out = h('div', {'aria-live': 'polite', id: 'verified'});
  const proofInput = h('input', {type: 'file', id: 'proof'}), artifactInput = h('input', {type: 'file', id: 'artifact'});
  const said = h('p', {class: 'hint'});
  const name = () => { said.textContent = [proof && `Proof: ${proof.name}.`, artifact && `Artifact: ${artifact.name}.`].filter(x => x).join(' '); };
  proofInput.addEventListener('change', () => { proof = proofInput.files[0] || null; name(); });
  artifactInput.addEventListener('change', () => { artifact = artifactInput.files[0] || null; name(); });
  const form = h('form', {submit: e => { e.preventDefault(); run(form, out); }},
    h('fieldset', {}, h('legend', {}, 'What is verified'), said,
      h('label', {for: 'proof'}, 'A proof file (.tlog-proof) or a Sigstore bundle'), proofInput,
      h('label', {for: 'artifact'}, 'The artifact that it is of: it is hashed in this browser, and not uploaded'), artifactInput,
      input('sha256', 'Or, for a bundle, the artifact’s SHA-256')),
    h('fieldset', {}, h('legend', {}, 'Who must have signed it'),
      input('fingerprint', 'A key, by its fingerprint (SHA256:…)'), input('identity', 'Or an identity in a certificate'), input('issuer', 'Its OIDC issuer, where the certificate has one'),
      h('label', {}, 'The authority’s certificates (PEM)', h('textarea', {name: 'roots', spellcheck: 'false'})),
      h('p', {class: 'hint'}, 'Left empty: who signed is not compared, and the result says so.')),
    h('button', {}, 'Verify'));
  show(view, h('h2', {}, 'Verify a file'), h('p', {}, 'Everything is checked in this browser, by the code of logcli verify. Timestamps of RFC 3161 and Sigstore’s trusted root are not read here: logcli verify does.'), form, out);
  name();
  if (proof) run(form, out);
}

async function run(form, out) {
  if (!proof) return show(out, h('p', {class: 'note'}, 'Choose a proof file or a bundle.'));
  show(out, h('div', {class: 'verdict wait'}, h('p', {}, 'Verifying…')));
  try {
    const result = await verify(new FormData(form));
    show(out, views.verdict(result, `Verified: entry ${result.index} of log ${result.origin || result.head?.origin}`), views.checks(result.checks), result.entry && views.details(result.index, result.entry, null),
      log.native && result.verified && h('p', {}, h('a', {href: '#/entry/' + result.index}, 'The entry in this log')));
  } catch (e) { show(out, h('div', {class: 'verdict bad', 'data-verdict': 'trouble'}, h('p', {}, h('strong', {}, '✗ It could not be verified')), h('p', {}, e.message))); }
}

async function verify(fields) {
  const bytes = new Uint8Array(await proof.arrayBuffer()), trust = log.trust();
  const isBundle = /^\s*\{/.test(new TextDecoder().decode(bytes.subarray(0, 100)));
  if (isBundle) trust.keys = [...trust.keys, ...await log.rekorKey()];
  const question = {...trust, proof: base64(bytes)};
  if (!artifact && !isBundle) return ask('proof', question);
  const text = name => fields.get(name).trim();
  const signer = {fingerprint: text('fingerprint'), identity: text('identity'), issuer: text('issuer'), roots: text('roots')};
  return ask('verify', {...question, signer, anySigner: !signer.fingerprint && !signer.identity, sha256: text('sha256').replace(/^sha256:/, '').toLowerCase(), now: Math.floor(Date.now() / 1000)}, artifact);
}
