// Records what one server says of itself in an overload, as the autoscaler's test replays it:
//   node src/test/k8s/record.mjs places|pages JAVA OUT.csv
// A packaged application with a simulated engine gets requests at random times, at a rate that rises to well above what it
// can do, stays there, and falls; every five seconds its metrics are read. A recording takes twenty minutes.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';

// Each a rate of requests (per second) at points of time (seconds), straight lines between them.
const overloads = {
  // Answers fill the places to run: 32 answers of about 4 s, 8 requests a second; then the queue.
  places: {
    settings: { 'simulated.step': '40MS', 'simulated.stop-probability': '0.01' },
    limits: ['chorale.scheduler.sequences-max=32', 'chorale.admission.queue-requests-max=400'],
    rate: [[0, 2], [60, 2], [300, 13], [390, 13], [391, 1], [1230, 1]],
    prompt: 20,
  },
  // Long prompts fill the pages: about 70 requests of 56 pages, 10 a second; then a short queue, then refusals.
  pages: {
    settings: { 'simulated.step': '60MS', 'simulated.stop-probability': '0.01' },
    limits: ['chorale.admission.queue-requests-max=40'],
    rate: [[0, 2], [60, 2], [240, 16], [330, 16], [331, 1], [1230, 1]],
    prompt: 800,
  },
};

const SCRAPE_SECONDS = 5;
const WANTED = /^chorale_(queue_estimate_seconds|queue_seconds_bucket|ttft_seconds_(bucket|count)|pages|running|running_limit|waiting|rejections_total|early_aborts_total|requests_total)(\{|$)/;

const [name, java, out] = process.argv.slice(2);
const overload = overloads[name];
if (overload === undefined || out === undefined) {
  console.error('usage: node record.mjs places|pages JAVA OUT.csv');
  process.exit(2);
}
const port = name === 'places' ? 18080 : 18081;
const server = spawn(java, [
  '-Xmx512m', '-XX:+UseSerialGC', '--enable-native-access=ALL-UNNAMED',
  `-Dquarkus.http.port=${port}`, '-Dchorale.engine.kind=simulated', '-Dchorale.native.dir=target/native',
  ...Object.entries(overload.settings).map(([key, value]) => `-Dchorale.engine.${key}=${value}`),
  ...overload.limits.map((limit) => `-D${limit}`),
  '-jar', 'target/quarkus-app/quarkus-run.jar',
], { stdio: ['ignore', 'inherit', 'inherit'] });
process.on('exit', () => server.kill());

const url = `http://127.0.0.1:${port}`;
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
for (let i = 0; !(await fetch(url + '/q/health/ready').then((answer) => answer.ok, () => false)); i++) {
  if (i === 120) throw new Error('the server does not start');
  await sleep(0.5);
}

let state = 7;
function random() { // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

function rateAt(second) {
  const next = overload.rate.findIndex(([at]) => at > second);
  if (next < 1) return 0;
  const [[t0, r0], [t1, r1]] = [overload.rate[next - 1], overload.rate[next]];
  return r0 + ((r1 - r0) * (second - t0)) / (t1 - t0);
}

const begun = performance.now();
const now = () => (performance.now() - begun) / 1000;
const end = overload.rate.at(-1)[0];
let sent = 0;

function ask() {
  const prompt = Array.from({ length: overload.prompt }, () => 3 + Math.floor(random() * 200));
  const body = JSON.stringify({ model: 'fable', prompt, max_tokens: 200, seed: ++sent, temperature: 1 });
  fetch(url + '/v1/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    .then((answer) => answer.arrayBuffer()).catch(() => {});
}

async function load() {
  for (let at = now(); at < end;) {
    at += -Math.log(1 - random()) / Math.max(0.01, rateAt(at));
    await sleep(Math.max(0, at - now()));
    ask();
  }
}

const rows = [];
async function scrape() {
  for (let at = 0; at <= end; at += SCRAPE_SECONDS) {
    await sleep(Math.max(0, at - now()));
    const text = await (await fetch(url + '/q/metrics')).text();
    const row = new Map();
    for (const line of text.split('\n')) {
      const space = line.lastIndexOf(' ');
      const series = line.slice(0, space);
      if (WANTED.test(series)) row.set(series, Number(line.slice(space + 1)));
    }
    rows.push([at, row]);
  }
}

await Promise.all([load(), scrape()]);
// A series that never moves says so with one value.
const series = [...rows.at(-1)[1].keys()].sort();
const lines = series.map((one) => {
  const values = rows.map(([, row]) => Math.round((row.get(one) ?? 0) * 1e4) / 1e4);
  return one + ' ' + (values.every((value) => value === values[0]) ? values[0] : values.join(' '));
});
writeFileSync(out, `# ${name}: every ${SCRAPE_SECONDS} s, ${rows.length} scrapes, ${sent} requests\n${lines.join('\n')}\n`);
process.exit(0);
