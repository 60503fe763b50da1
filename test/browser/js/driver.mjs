// The driver drives one browser: it reads a step a line from standard input, as JSON,
// and answers each with a line: {"value": …} or {"error": "…"}.
import {createInterface} from 'node:readline';
import {readFileSync} from 'node:fs';
import {chromium} from 'playwright-core';

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const browser = await chromium.launch({executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--host-resolver-rules=MAP log.test 127.0.0.1']});
let context, page, wrong = [], requests = [];

const steps = {
  // open begins with an empty browser: without storage, and without what was said before.
  async open({width = 1280, height = 900, dark = false, script = true}) {
    await context?.close();
    context = await browser.newContext({viewport: {width, height}, colorScheme: dark ? 'dark' : 'light', javaScriptEnabled: script, acceptDownloads: true});
    [page, wrong, requests] = [await context.newPage(), [], []];
    page.on('pageerror', e => wrong.push(`error: ${e.message}`));
    page.on('dialog', d => { wrong.push(`dialog: ${d.message()}`); d.dismiss(); });
    page.on('console', m => { if (/Content Security Policy|Content-Security-Policy/.test(m.text())) wrong.push(`policy: ${m.text()}`); });
    page.on('request', r => requests.push(`${r.method()} ${r.url()} ${r.postData()?.length ?? 0}`));
  },
  goto: ({url}) => page.goto(url).then(() => {}),
  reload: () => page.reload().then(() => {}),
  fill: ({on, text}) => page.fill(on, text),
  click: ({on}) => page.locator(on).first().click(),
  press: ({key}) => page.keyboard.press(key),
  files: ({on, paths}) => page.setInputFiles(on, paths),
  // text waits until an element is there, and returns what is to be read of it.
  text: ({on}) => page.locator(on).first().innerText({timeout: 60_000}),
  count: ({on}) => page.locator(on).count(),
  evaluate: ({code}) => page.evaluate(code),
  picture: ({path}) => page.screenshot({path, fullPage: true}).then(() => {}),
  async download({on}) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.locator(on).first().click()]);
    return readFileSync(await file.path(), 'utf8');
  },
  // axe returns the serious faults. It is evaluated by the driver, which no policy of
  // the page holds for.
  async axe() {
    await page.evaluate(axe);
    const found = await page.evaluate('axe.run(document)');
    return found.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => `${v.id}: ${v.nodes.map(n => n.target).join(' ')}`);
  },
  wrong: () => wrong,
  requests: () => requests,
};

for await (const line of createInterface({input: process.stdin})) {
  const step = JSON.parse(line);
  let answer;
  try { answer = {value: await steps[step.do](step) ?? null}; } catch (e) { answer = {error: String(e.message).slice(0, 2000)}; }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
