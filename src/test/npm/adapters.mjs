// Drives the page of adapters in headless Chromium, as an administrator does.
//
//   node adapters.mjs URL ADMIN_KEY SCREENSHOT_DIR
//
// URL is a running server with administration, which knows an adapter's folder "moral".

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {axe, openBrowser} from './browser.mjs';

const [url, key, screenshots] = process.argv.slice(2);
const browser = openBrowser(screenshots);

async function put(name) {
  const {status} = await fetch(new URL(`/v1/adapters/${name}`, url), {
    method: 'PUT',
    headers: {'Content-Type': 'application/json', Authorization: `Bearer ${key}`},
    body: JSON.stringify({source: 'moral'}),
  });
  assert.ok(status === 201 || status === 200, `PUT answers ${status}`);
}

async function visit({width = 1440, height = 900, colorScheme = 'light'} = {}) {
  const context = await browser.newContext({viewport: {width, height}, colorScheme});
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on('console', message => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', error => complaints.push(error.message));
  await page.goto(new URL('/adapters.html', url).href);
  await page.locator('tr[data-name=pirate]').waitFor();
  return {page, complaints};
}

test('an adapter is loaded, pinned and removed, with the key alone', async () => {
  await put('page-test');
  const {page} = await visit();
  await page.getByRole('searchbox').fill('page-te');
  await page.locator('tr[data-name=pirate]').waitFor({state: 'detached'});
  const row = page.locator('tr[data-name=page-test]');
  assert.equal(await row.locator('.place').textContent(), 'disk');
  assert.match(await row.locator('.version').textContent(), /^[0-9a-f]{12}$/);
  assert.equal(await row.locator('.rank').textContent(), '4');
  assert.equal(await row.locator('.used').textContent(), 'never');

  await page.getByRole('button', {name: 'Load page-test'}).click();
  await page.locator('#problem').getByText('needs an administrator\'s key').waitFor();
  await page.locator('#key').fill('wrong');
  await page.getByRole('button', {name: 'Load page-test'}).click();
  await page.locator('#problem').getByText('(invalid_api_key)').waitFor();
  await page.locator('#key').fill(key);
  await page.getByRole('button', {name: 'Load page-test'}).click();
  await row.locator('.place[data-place=host]').waitFor();
  assert.equal(await page.locator('#problem').isVisible(), false);

  await page.getByRole('button', {name: 'Pin page-test'}).click();
  await row.getByText('pinned').waitFor();
  await page.getByRole('button', {name: 'Unpin page-test'}).click();
  await row.locator('.pinned').waitFor({state: 'hidden'});

  await page.getByRole('button', {name: 'Remove page-test'}).click();
  assert.equal(await row.count(), 1, 'one press does not remove');
  await row.locator('.remove').click();
  await row.waitFor({state: 'detached'});
  await page.getByText('No adapter has such a name.').waitFor();
});

test('the longest name leaves the other columns in sight', async () => {
  const name = 'w'.repeat(128);
  await put(name);
  const {page} = await visit();
  await page.locator(`tr[data-name=${name}]`).waitFor();
  const {scrollWidth, clientWidth} = await page
    .locator('.adapter-frame')
    .evaluate(({scrollWidth, clientWidth}) => ({scrollWidth, clientWidth}));
  assert.ok(scrollWidth <= clientWidth, `the table is ${scrollWidth} wide in a frame of ${clientWidth}`);
});

test('of many faults the first are told', async () => {
  const {page} = await visit();
  const problems = Array.from({length: 9}, (_, index) => `fault ${index}`);
  await page.route('**/v1/adapters?**', async route => {
    const response = await route.fetch();
    const list = await response.json();
    list.data[0] = {...list.data[0], state: 'invalid', problems};
    await route.fulfill({response, json: list});
  });
  await page.getByText('fault 0 · fault 1 · fault 2 · and 6 more').waitFor();
});

test('looks as it should by day, in the dark and on a phone, and everybody can use it', async () => {
  await put('page-looks');
  for (const [name, view] of Object.entries({
    'adapters-light': {},
    'adapters-dark': {colorScheme: 'dark'},
    'adapters-phone': {width: 390, height: 844},
  })) {
    const {page, complaints} = await visit(view);
    await page.locator('#counts').getByText(/registered/).waitFor();
    await page.screenshot({path: `${screenshots}/${name}.png`});
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= room, `${name} scrolls sideways: ${wide} in ${room} pixels`);
    await page.evaluate(axe);
    const faults = await page.evaluate(async () => (await window.axe.run()).violations
      .map(({id, help, nodes}) => `${id}: ${help}: ${nodes.map(node => node.target).join(' ')}`));
    assert.deepEqual(faults, [], `what WCAG 2.2 asks for, ${name}`);
    assert.deepEqual(complaints, []);
    await page.context().close();
  }
});
