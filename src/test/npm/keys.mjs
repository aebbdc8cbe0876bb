// Drives both pages of a server that wants keys, in headless Chromium.
//
//   node keys.mjs URL KEY ADMIN_KEY SCREENSHOT_DIR
//
// URL is a running server that knows an adapter "pirate"; KEY is a client's. It needs no tokenizer: what it says to a question
// may be a refusal, but not for want of a key.

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {axe, openBrowser} from './browser.mjs';

const [url, key, adminKey, screenshots] = process.argv.slice(2);
const browser = openBrowser(screenshots);

/** A tab, and what it says to the API: method and path, and the key that went along. */
async function tab({path = '/', context} = {}) {
  const page = await (context ?? await browser.newContext()).newPage();
  page.setDefaultTimeout(30_000);
  const calls = [];
  page.on('request', request => {
    const {pathname} = new URL(request.url());
    if (pathname.startsWith('/v1/') && request.resourceType() !== 'eventsource') {
      calls.push({call: `${request.method()} ${pathname}`, authorization: request.headers().authorization});
    }
  });
  await page.goto(new URL(path, url).href);
  return {page, calls};
}

async function give(page, value) {
  // Where the server refuses at this moment, the page opens the field itself, and the click closes it again.
  for (let tries = 0; !await page.locator('#key').isVisible(); tries++) {
    assert.ok(tries < 5, 'a click opens the field');
    await page.locator('#key-panel summary').click();
  }
  await page.locator('#key').fill(value);
  await page.locator('#key').press('Enter');
}

test('a visitor is asked for a key, and every call carries the right one', async () => {
  const {page, calls} = await tab();
  await page.locator('#key-words').getByText('The server wants an API key.').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'key', 'what to do is where one types');
  assert.ok(calls.every(({authorization}) => authorization === undefined));
  await page.screenshot({path: `${screenshots}/key-wanted.png`});
  await page.evaluate(axe);
  const faults = await page.evaluate(async () => (await window.axe.run()).violations
    .map(({id, help, nodes}) => `${id}: ${help}: ${nodes.map(node => node.target).join(' ')}`));
  assert.deepEqual(faults, [], 'what WCAG 2.2 asks for');

  await give(page, 'ключ');
  await page.locator('#key-words').getByText('no letters beyond ASCII').waitFor();
  await give(page, 'wrong-key');
  await page.locator('#key-words').getByText('The server does not take this API key.').waitFor();
  assert.equal(await page.locator('.chip').count(), 0);

  calls.length = 0;
  await give(page, key);
  await page.getByRole('checkbox', {name: 'pirate'}).waitFor();
  assert.equal(await page.locator('#key-words').textContent(), '');
  await page.locator('#engine[data-state=idle]').waitFor();
  const answered = page.waitForResponse('**/v1/streams');
  await page.locator('#prompt').fill('Tell me a story about a fox named Kit.');
  await page.locator('#prompt').press('Enter');
  assert.notEqual((await answered).status(), 401);
  const asked = new Set(calls.map(call => call.call));
  for (const call of ['GET /v1/models', 'GET /v1/load', 'POST /v1/streams']) assert.ok(asked.has(call), call);
  assert.deepEqual(calls.filter(({authorization}) => authorization !== `Bearer ${key}`), []);
  const curl = await page.locator('#curl').textContent();
  assert.match(curl, /Authorization: Bearer \$CHORALE_KEY/);
  assert.ok(!curl.includes(key), 'what is copied holds no key');
});

test('the key lives in its tab alone, on both pages', async () => {
  const context = await browser.newContext();
  const {page, calls} = await tab({context});
  await give(page, key);
  await page.getByRole('checkbox', {name: 'pirate'}).waitFor();
  assert.deepEqual(await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie]), [[key], 0, '']);
  assert.deepEqual(await context.cookies(), []);
  assert.ok(!page.url().includes(key));

  calls.length = 0;
  await page.getByRole('link', {name: 'Adapters'}).click();
  await page.locator('tr[data-name=pirate]').waitFor();
  assert.ok(calls.length > 0 && calls.every(({authorization}) => authorization === `Bearer ${key}`));

  const {page: other} = await tab({context});
  await other.locator('#key-words').getByText('The server wants an API key.').waitFor();

  await give(page, '');
  await page.locator('#key-words').getByText('The server wants an API key.').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'a key that is taken back is forgotten');
});

test('a refusal while the page is open opens the field, and nobody is interrupted', async () => {
  const {page, calls} = await tab();
  await give(page, key);
  await page.getByRole('checkbox', {name: 'pirate'}).waitFor();
  await page.locator('#key-panel summary').click();
  await page.locator('#key').waitFor({state: 'hidden'});
  await page.locator('#prompt').fill('Once');
  // Taken back by the server: what the page says next is refused.
  await page.route('**/v1/load', route => route.fulfill({
    status: 401, json: {error: {message: 'The API key is not valid.', type: 'invalid_request_error', param: null, code: 'invalid_api_key'}},
  }));
  await page.locator('#key-words').getByText('The server does not take this API key.').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'prompt');
  const looks = () => calls.filter(({call}) => call === 'GET /v1/load').length;
  const before = looks();
  await page.waitForTimeout(5_000);
  assert.equal(looks(), before, 'what was refused is not asked again and again');
});

test('an administrator does on the page of adapters what a client may not', async () => {
  const {page} = await tab({path: '/adapters.html'});
  await give(page, key);
  const row = page.locator('tr[data-name=pirate]');
  await page.getByRole('button', {name: 'Pin pirate'}).click();
  await page.locator('#problem').getByText('(not_an_administrator)').waitFor();
  await give(page, adminKey);
  await page.getByRole('button', {name: 'Pin pirate'}).click();
  await row.getByText('pinned').waitFor();
  await page.getByRole('button', {name: 'Unpin pirate'}).click();
  await row.locator('.pinned').waitFor({state: 'hidden'});
});
