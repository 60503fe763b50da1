// The prover is Go's package page/prover in WebAssembly: the code of logcli verify.
// It is loaded when something is to be proven for the first time.
import './wasm_exec.js';

let loading;

async function load() {
  const answer = await fetch(new URL('prover.wasm.gz', import.meta.url));
  if (!answer.ok) throw new Error(`the verifier could not be loaded: ${answer.status}`);
  const bytes = await new Response(answer.body.pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
  const go = new Go();
  const {instance} = await WebAssembly.instantiate(bytes, go.importObject);
  go.run(instance);
  return globalThis.indelibleProver;
}

// ask asks the prover; see prover.go for the questions.
export async function ask(name, question = {}, file = null, progress = null) {
  loading ??= load();
  loading.catch(() => { loading = undefined; });
  const answer = JSON.parse(await (await loading)(name, JSON.stringify(question), file, progress));
  if (answer.error) throw new Error(answer.error);
  return answer;
}
