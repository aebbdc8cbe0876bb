// Drives the page at / in headless Chromium, as a visitor with a keyboard does.
//
//   node console.mjs URL EXPECTED_JSON SCREENSHOT_DIR
//
// URL is a running server with the bundled model and its six adapters.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {axe, openBrowser} from './browser.mjs';
import {Relay} from './relay.mjs';

const [url, expectedFile, screenshots] = process.argv.slice(2);
const STORY = 'Tell me a story about a fox named Kit.';
const MODELS = ['fable', 'bullets', 'json', 'moral', 'pirate', 'robot', 'shout'];

/** What transformers and PEFT answer at temperature 0. */
const expected = new Map(JSON.parse(readFileSync(expectedFile, 'utf8'))
  .filter(({messages}) => messages.length === 1 && messages[0].content === STORY)
  .map(({adapter, text}) => [adapter ?? 'fable', text]));

const browser = openBrowser(screenshots);

/** A visit to the page, with what a test wants to know of it besides its looks. */
async function visit({at = url, width = 1440, height = 1000, colorScheme = 'light', arrange = async () => {}} = {}) {
  const context = await browser.newContext({viewport: {width, height}, colorScheme});
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const seen = {page, complaints: [], streams: 0, streamsMost: 0, requests: []};
  page.on('console', message => message.type() === 'error' && seen.complaints.push(message.text()));
  page.on('pageerror', error => seen.complaints.push(error.message));
  page.on('request', request => {
    if (request.resourceType() === 'eventsource') seen.streamsMost = Math.max(seen.streamsMost, ++seen.streams);
    if (request.method() === 'POST') seen.requests.push(request.postDataJSON());
  });
  for (const end of ['requestfinished', 'requestfailed']) {
    page.on(end, request => request.resourceType() === 'eventsource' && seen.streams--);
  }
  await arrange(page);
  await page.goto(at);
  await page.getByRole('checkbox', {name: 'moral'}).waitFor();
  return seen;
}

/** The state and newest answer of each voice. */
const voices = page => page.locator('.voice').evaluateAll(cards => Object.fromEntries(cards.map(card => [
  card.dataset.model, {
    state: card.dataset.state,
    answer: card.querySelector('.turn:last-child .answer')?.textContent ?? '',
    words: card.querySelector('.turn:last-child')?.innerText ?? '',
    measures: card.querySelector('.measures').innerText.replaceAll(/\s+/g, ' '),
  }])));

const load = async () => (await fetch(new URL('/v1/load', url))).json();

const quiet = page => page.locator('body:not(.singing)').waitFor();

async function ask(page, question) {
  await page.locator('#prompt').fill(question);
  await page.locator('#prompt').press('Enter');
}

/** Tab until this element has the focus, as somebody without a mouse does. */
async function tabTo(page, selector, key = 'Tab') {
  for (let presses = 0; presses < 60; presses++) {
    if (await page.evaluate(wanted => document.activeElement?.matches(wanted), selector)) return;
    await page.keyboard.press(key);
  }
  assert.fail(`60 times ${key} did not reach ${selector}`);
}

/** Lets the answers of this page go on for long, so that there is time to break them. (A route would hold up the last request.) */
const endless = page => page.addInitScript(() => {
  const fetch = window.fetch;
  window.fetch = (path, options) => {
    if (options.method !== 'POST') return fetch(path, options);
    const body = JSON.parse(options.body);
    body.requests.forEach(request => Object.assign(request, {ignore_eos: true, max_tokens: 900}));
    return fetch(path, {...options, body: JSON.stringify(body)});
  };
});

/** An adapter's first request waits until it is fetched: without this the voices begin one after the other, on a busy machine far apart. */
async function fetchAdapters() {
  await Promise.all(MODELS.map(async model => {
    const answer = await fetch(new URL('/v1/chat/completions', url), {
      method: 'POST',
      headers: {'content-type': 'application/json'},
      body: JSON.stringify({model, messages: [{role: 'user', content: 'Hello'}], max_tokens: 1}),
    });
    assert.equal(answer.status, 200, model);
  }));
}

test('seven voices sing at once, each its own text, by keyboard alone', async () => {
  await fetchAdapters();
  const seen = await visit();
  const {page} = seen;
  // How many answers had begun and not ended at the same time.
  await page.evaluate(() => {
    window.togetherMost = 0;
    new MutationObserver(() => {
      const answering = document.querySelectorAll('.voice[data-state=answering]').length;
      window.togetherMost = Math.max(window.togetherMost, answering);
    }).observe(document.querySelector('#answers'), {subtree: true, attributeFilter: ['data-state']});
  });

  await tabTo(page, '#choose-none');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('.voice').count(), 0);
  await tabTo(page, '.chip input', 'Shift+Tab');
  await page.keyboard.press('Home');
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Space');
  assert.deepEqual(Object.keys(await voices(page)), ['fable', 'bullets']);
  await tabTo(page, '#choose-all');
  await page.keyboard.press('Enter');
  await tabTo(page, '#temperature');
  await page.keyboard.type('0');
  await tabTo(page, '#prompt', 'Shift+Tab');
  await page.keyboard.type(STORY);
  const stepsBefore = (await load()).steps;
  await page.keyboard.press('Enter');
  await page.locator('.voice[data-state=done]').nth(6).waitFor();
  await quiet(page);

  const sung = await voices(page);
  assert.deepEqual(Object.keys(sung).sort(), [...MODELS].sort());
  for (const model of MODELS) {
    assert.equal(sung[model].answer, expected.get(model), model);
    assert.match(sung[model].measures, /^tokens [1-9]\d* tokens\/s [1-9]\d* first token \d+ ms$/, model);
  }
  assert.equal(sung.shout.answer, sung.shout.answer.toUpperCase());
  assert.equal(JSON.parse(sung.json.answer).hero, 'Kit');
  assert.match(sung.robot.answer, /^BEEP\. \[01\]/);
  assert.match(sung.pirate.answer, /arr!/);
  assert.match(sung.bullets.answer, /^- .*\n- /);
  assert.match(sung.moral.answer, /The moral: /);
  assert.equal(await page.evaluate(() => window.togetherMost), 7, 'all seven were being answered at once');
  assert.equal(seen.streamsMost, 1, 'one EventSource carries all voices');
  const stepsSeen = Number(/about (\d+) steps/.exec(await page.locator('#summary').textContent())[1]);
  const stepsDone = (await load()).steps - stepsBefore;
  assert.ok(Math.abs(stepsSeen - stepsDone) < stepsDone / 5, `the page saw ${stepsSeen} steps, the engine did ${stepsDone}`);
  const tokens = MODELS.reduce((sum, model) => sum + Number(/\d+/.exec(sung[model].measures)), 0);
  assert.ok(tokens / stepsDone > 3, `${tokens} tokens in ${stepsDone} steps are no batches`);

  // A follow-up goes on with each voice's own story.
  await ask(page, 'Who is the hero?');
  await page.locator('.voice[data-state=done]').nth(6).waitFor();
  await quiet(page);
  const followUp = seen.requests.at(-1).requests;
  MODELS.forEach((model, index) => {
    assert.equal(followUp[index].model, model);
    assert.deepEqual(followUp[index].messages.map(({content}) => content), [STORY, expected.get(model), 'Who is the hero?']);
  });
  assert.match((await voices(page)).fable.answer, /Kit/);
  assert.deepEqual(seen.complaints, []);
});

test('looks as it should by day, in the dark and on a phone, and everybody can use it', async () => {
  for (const [name, view] of Object.entries({
    'desktop-light': {},
    'desktop-dark': {colorScheme: 'dark'},
    'phone-light': {width: 390, height: 844},
    'phone-dark': {width: 390, height: 844, colorScheme: 'dark'},
  })) {
    const {page, complaints} = await visit(view);
    await page.locator('#temperature').fill('0');
    await ask(page, STORY);
    await page.locator('.voice[data-state=done]').nth(6).waitFor();
    await quiet(page);
    await page.screenshot({path: `${screenshots}/${name}.png`});
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    await page.locator('.code summary').click();
    await page.evaluate(axe);
    const faults = await page.evaluate(async () => (await window.axe.run()).violations
      .map(({id, help, nodes}) => `${id}: ${help}: ${nodes.map(node => node.target).join(' ')}`));
    assert.deepEqual(faults, [], `what WCAG 2.2 asks for, ${name}`);
    assert.ok(wide <= room, `${name} scrolls sideways: ${wide} in ${room} pixels`);
    assert.deepEqual(complaints, []);
    await page.context().close();
  }
});

/** Resolves when the engine is at rest, long before it could have given the endless answers of seven voices. */
async function freedSince({answer_tokens: before}) {
  for (const deadline = Date.now() + 20_000; (await load()).requests.running > 0;) {
    assert.ok(Date.now() < deadline, 'the engine still runs');
  }
  const tokens = (await load()).answer_tokens - before;
  assert.ok(tokens < 7 * 900, `${tokens} tokens were computed: all of them`);
}

test('Escape stops all voices and frees the engine', async () => {
  const {page} = await visit({arrange: endless});
  const before = await load();
  await ask(page, STORY);
  await page.waitForFunction(() => [...document.querySelectorAll('.answer')].filter(p => p.textContent).length === 7);
  await page.keyboard.press('Escape');
  await quiet(page);
  for (const [model, {state, words}] of Object.entries(await voices(page))) {
    assert.equal(state, 'stopped', model);
    assert.match(words, /Stopped by you\./, model);
  }
  await freedSince(before);
  assert.equal(await page.locator('#stop').isVisible(), false);
});

test('who leaves the page frees the engine', async () => {
  const {page} = await visit({arrange: endless});
  const before = await load();
  await ask(page, STORY);
  await page.locator('.voice[data-state=answering]').nth(6).waitFor();
  await page.goto('about:blank');
  await freedSince(before);
});

test('a connection that breaks is taken up again without losing or doubling a token', async () => {
  const relay = await Relay.to(url);
  const {page} = await visit({at: relay.url});
  await page.locator('#temperature').fill('0');
  // The cut comes as soon as text flows; the server keeps the rest until the browser asks for it.
  relay.cutAfter(20_000);
  await ask(page, STORY);
  await page.locator('.voice[data-state=done]').nth(6).waitFor();
  assert.equal(relay.cuts, 1);
  for (const [model, {answer}] of Object.entries(await voices(page))) assert.equal(answer, expected.get(model), model);
  await relay.close();
});

/** What each voice can know of its answer from a part of the stream: one may have had all of it, another nothing yet. */
function heard(passed) {
  const parts = MODELS.map(() => ({text: '', whole: false}));
  for (const [, data] of passed.matchAll(/^data: (\{"request":.*\})\n\n/gm)) {
    const {request, chunk} = JSON.parse(data);
    parts[request].text += chunk.choices[0]?.delta?.content ?? '';
    parts[request].whole ||= Boolean(chunk.choices[0]?.finish_reason);
  }
  return parts;
}

test('a stream that stays cut is marked incomplete, and retry asks again', async () => {
  const relay = await Relay.to(url);
  const {page, requests} = await visit({at: relay.url});
  await page.locator('#temperature').fill('0');
  const models = () => requests[0].requests.map(({model}) => model);
  const taken = () => page.waitForFunction(wanted => wanted.every(([model, text]) =>
    (document.querySelector(`.voice[data-model=${model}] .turn:last-child .answer`)?.textContent ?? '') === text),
  heard(relay.passed).map(({text}, index) => [models()[index], text]));
  relay.cutAfter(20_000, {stayDown: true, taken});
  await ask(page, STORY);
  // How the answers share those bytes is the machine's business: a busy one sends one after the other.
  await page.waitForFunction(() => [...document.querySelectorAll('.voice')]
    .every(({dataset: {state}}) => ['done', 'incomplete', 'failed'].includes(state)));
  const cut = await voices(page);
  const parts = heard(relay.passed);
  for (const [index, model] of models().entries()) {
    const {text, whole} = parts[index];
    const {state, answer, words} = cut[model];
    assert.equal(state, whole ? 'done' : text ? 'incomplete' : 'failed', model);
    assert.equal(answer, text, model);
    assert.ok(expected.get(model).startsWith(text), model);
    assert.equal(/^Incomplete\. /m.test(words), state === 'incomplete', model);
    assert.equal(/The connection to \S+ is lost/.test(words), !whole, model);
  }
  const broken = models().find((_, index) => !parts[index].whole);
  assert.ok(broken, 'a cut in the middle leaves an answer that is not whole');
  await page.screenshot({path: `${screenshots}/incomplete.png`});
  relay.up();
  await page.getByRole('button', {name: `Ask ${broken} again`}).click();
  await page.locator(`.voice[data-model=${broken}][data-state=done]`).waitFor();
  assert.equal((await voices(page))[broken].answer, expected.get(broken));
  await relay.close();
});

test('a model that is gone is refused in words, and the question is not lost', async () => {
  const {page} = await visit({
    arrange: page => page.route('**/v1/models', async route => {
      const response = await route.fetch();
      const body = await response.json();
      body.data.push({...body.data[1], id: 'ghost'});
      await route.fulfill({response, json: body});
    }),
  });
  await ask(page, STORY);
  await page.locator('#problem').getByText('The model `ghost` does not exist.').waitFor();
  assert.equal(await page.locator('#prompt').inputValue(), STORY);
  await page.screenshot({path: `${screenshots}/refused.png`});
  await page.getByText('ghost', {exact: true}).first().click();
  await page.getByRole('button', {name: 'Try again'}).waitFor();
  await page.locator('#prompt').press('Enter');
  await page.locator('.voice[data-state=done]').nth(6).waitFor();
  assert.equal(await page.locator('#problem').isVisible(), false);
});

test('a setting out of range is named before anything is asked', async () => {
  const {page, requests} = await visit();
  await page.locator('#temperature').fill('3');
  await ask(page, STORY);
  await page.locator('#problem').getByText('Temperature is a number from 0 to 2').waitFor();
  assert.equal(await page.locator('#prompt').inputValue(), STORY);
  assert.deepEqual(requests, []);
});

test('a full server is shown with its reason and its wish to wait, and retry goes on', async () => {
  let refusals = 1;
  const {page} = await visit({
    arrange: page => page.route('**/v1/streams', route => refusals-- > 0
      ? route.fulfill({
        status: 429, headers: {'Retry-After': '2'},
        json: {error: {message: 'The queue is full.', type: 'rate_limit_error', param: null, code: 'queue_full'}},
      })
      : route.continue()),
  });
  await ask(page, STORY);
  await page.locator('#problem').getByText('The queue is full. It asks to wait 2 s. (queue_full)').waitFor();
  await page.getByRole('button', {name: 'Try again'}).click();
  await page.locator('.voice[data-state=done]').nth(6).waitFor();
});

test('a server that is gone is said to be gone', async () => {
  const relay = await Relay.to(url);
  const {page} = await visit({at: relay.url});
  relay.down();
  await ask(page, STORY);
  await page.locator('#problem').getByText(/does not answer\. Is it still running\?/).waitFor();
  await page.locator('#engine[data-state=silent]').waitFor();
  await relay.close();
});

test('a new version of the page is seen at once', async () => {
  for (const path of ['/', '/chorale.js', '/page/voice.js', '/chorale.css']) {
    const {status, headers} = await fetch(new URL(path, url));
    assert.deepEqual([status, headers.get('cache-control')], [200, 'no-cache'], path);
  }
});

test('with hundreds of adapters the chooser stays usable, and markup in a name stays text', async () => {
  const {page, complaints} = await visit({
    arrange: page => page.route('**/v1/models', async route => {
      const response = await route.fetch();
      const body = await response.json();
      const many = Array.from({length: 400}, (_, i) => ({...body.data[1], id: `tenant-${i}`}));
      body.data.push({...body.data[1], id: '<img src=x onerror=alert(1)>'}, ...many);
      await route.fulfill({response, json: body});
    }),
  });
  assert.ok(await page.locator('.chip').count() <= 70, 'the page draws a part of the names only');
  await page.locator('#chooser-more').getByText(/more: search for a part of the name/).waitFor();
  await page.getByRole('searchbox').fill('tenant-39');
  await page.getByRole('button', {name: 'All', exact: true}).click();
  assert.equal(await page.locator('.voice').count(), 11);
  await page.getByRole('searchbox').fill('tenant-1');
  await page.getByRole('button', {name: 'All', exact: true}).click();
  assert.equal(await page.locator('.voice').count(), 12);
  await page.locator('#chosen').getByText('111 models match: the first 12 are chosen').waitFor();
  await page.locator('.chip').getByText('tenant-140', {exact: true}).click();
  await page.locator('#chosen').getByText('Take one away to choose tenant-140.').waitFor();
  await page.getByRole('searchbox').fill('<img');
  assert.equal(await page.getByText('<img src=x onerror=alert(1)>').count(), 1);
  assert.deepEqual(complaints, []);
});
