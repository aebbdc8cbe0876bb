// The quiet line at the foot of the page: what the engine does at this moment, from GET /v1/load.

import {call} from './server.js';

const BUSY_MILLIS = 200;
const IDLE_MILLIS = 2_000;
/** More names than this do not fit the line. */
const RESIDENTS_MAX = 12;

const count = (number, one, many = `${one}s`) => `${number.toLocaleString('en')} ${number === 1 ? one : many}`;

export class EngineStrip {
  #parts;
  #timer;
  #looks = 0;
  #last = null;
  busy = false;

  constructor(parts) {
    this.#parts = parts;
    // A page that nobody sees asks nothing.
    document.addEventListener('visibilitychange', () => this.look());
  }

  /** Looks now, and from now on. */
  async look() {
    clearTimeout(this.#timer);
    const look = ++this.#looks;
    if (document.hidden) return;
    try {
      this.#show(await call('GET', '/v1/load'), performance.now());
    } catch (problem) {
      this.#parts.strip.dataset.state = 'silent';
      this.#parts.words.textContent = problem.message;
      this.#parts.pagesWords.textContent = this.#parts.residents.textContent = '';
      this.#last = null;
    }
    // Where another look began meanwhile, that one goes on instead of this.
    if (look === this.#looks) this.#timer = setTimeout(() => this.look(), this.busy ? BUSY_MILLIS : IDLE_MILLIS);
  }

  #show(load, now) {
    const {strip, words, pages, pagesWords, residents} = this.#parts;
    const rate = this.#last && now > this.#last.now
      ? (load.generatedTokens - this.#last.tokens) / (now - this.#last.now) * 1000 : 0;
    this.#last = {tokens: load.generatedTokens, now};
    strip.dataset.state = load.running > 0 ? 'running' : 'idle';
    words.textContent = [
      `${load.engine} engine`, `${load.running} running`, `${load.waiting} waiting`,
      `${Math.round(Math.max(rate, 0)).toLocaleString('en')} tokens/s`,
    ].join(' · ');
    const share = used => `${(100 * used / Math.max(load.pages.total, 1)).toFixed(2)}%`;
    pages.style.setProperty('--kv', share(load.pages.kv));
    pages.style.setProperty('--adapters', share(load.pages.adapters));
    const held = `${count(load.pages.total, 'page')}: ${load.pages.kv} KV, ${load.pages.adapters} adapters, ${load.pages.free} free`;
    pages.setAttribute('aria-label', held);
    pagesWords.textContent = held;
    const names = load.residentAdapters;
    const more = names.length > RESIDENTS_MAX ? ` and ${names.length - RESIDENTS_MAX} more` : '';
    residents.textContent = names.length ? `resident: ${names.slice(0, RESIDENTS_MAX).join(', ')}${more}` : 'no adapter resident';
  }
}
