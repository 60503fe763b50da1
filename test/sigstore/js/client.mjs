// A program around sigstore-js for the tests: what is to be done is one JSON
// object, the only argument.
//
//   {"do": "sign", "file", "bundle", "url", "api": 1 | 2, "type": "message" | "dsse" | "intoto",
//    "key", "certificate" or "publicKey", "tsa",
//    "times", "followConflict"}                             writes a bundle; times: the same upload again
//   {"do": "verify", "file", "bundle", "root", "publicKey"} verifies one, offline
import {createHash, createPrivateKey, createPublicKey, sign as rawSign} from 'node:crypto';
import {readFileSync, writeFileSync} from 'node:fs';
import {bundleFromJSON, bundleToJSON} from '@sigstore/bundle';
import {TrustedRoot} from '@sigstore/protobuf-specs';
import {DSSEBundleBuilder, MessageSignatureBundleBuilder, RekorWitness, TSAWitness} from '@sigstore/sign';
import {Verifier, toSignedEntity, toTrustMaterial} from '@sigstore/verify';

const read = path => readFileSync(path);

// fixed signs each message once: a second upload has the very same signature.
function fixed(task) {
  const key = createPrivateKey(read(task.key));
  const made = new Map();
  const material = task.certificate
    ? {$case: 'x509Certificate', certificate: read(task.certificate).toString()}
    : {$case: 'publicKey', publicKey: read(task.publicKey).toString(), hint: hint(task.publicKey)};
  return {
    async sign(data) {
      const id = createHash('sha256').update(data).digest('hex');
      if (!made.has(id)) made.set(id, rawSign('sha256', data, key));
      return {signature: made.get(id), key: material};
    },
  };
}

function spki(path) {
  return createPublicKey(read(path)).export({type: 'spki', format: 'der'});
}

function hint(path) {
  return createHash('sha256').update(spki(path)).digest('base64');
}

async function sign(task) {
  const witnesses = [new RekorWitness({
    rekorBaseURL: task.url, majorApiVersion: task.api, timeout: 20000, retry: 0, fetchOnConflict: task.followConflict ?? false,
    entryType: task.type === 'message' ? undefined : task.type,
  })];
  if (task.tsa) witnesses.push(new TSAWitness({tsaBaseURL: task.tsa, timeout: 5000, retry: 0}));
  const options = {signer: fixed(task), witnesses};
  const builder = task.type === 'message' ? new MessageSignatureBundleBuilder(options) : new DSSEBundleBuilder(options);
  let bundle;
  const indexes = [];
  for (let i = 0; i < (task.times ?? 1); i++) {
    bundle = await builder.create({data: read(task.file), type: 'application/vnd.in-toto+json'});
    indexes.push(bundle.verificationMaterial.tlogEntries[0].logIndex);
  }
  writeFileSync(task.bundle, JSON.stringify(bundleToJSON(bundle)));
  return {indexes};
}

function verify(task) {
  const root = TrustedRoot.fromJSON(JSON.parse(read(task.root)));
  const keys = task.publicKey ? {[hint(task.publicKey)]: {rawBytes: spki(task.publicKey)}} : undefined;
  const timestampThreshold = task.publicKey ? 0 : 1;
  const verifier = new Verifier(toTrustMaterial(root, keys), {tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold});
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(read(task.bundle))), read(task.file)));
  return {};
}

const task = JSON.parse(process.argv[2]);
try {
  console.log(JSON.stringify(await (task.do === 'sign' ? sign : verify)(task)));
} catch (err) {
  console.error(`${err.code ?? err.name}: ${err.message}${err.cause ? `: ${err.cause.statusCode ?? ''} ${err.cause.message}` : ''}`);
  process.exitCode = 1;
}
