// The headless Chromium that drives the pages: one for each file of tests.

import {mkdirSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {after, before} from 'node:test';
import {chromium} from 'playwright-core';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-quic', '--no-first-run',
];

/** The accessibility checker, as a script for a page. */
export const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Opens a browser before the tests and closes it after them. The folder for pictures is there from then on. */
export function openBrowser(screenshots) {
  let browser;
  before(async () => {
    mkdirSync(screenshots, {recursive: true});
    browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS});
  });
  after(async () => {
    // A browser that has gone without saying so must not keep this process: what was to be found out is known by now.
    await Promise.race([browser?.close(), new Promise(done => setTimeout(done, 10_000))]);
    setTimeout(() => process.exit(), 3_000).unref();
  });
  return {newContext: options => browser.newContext(options)};
}
