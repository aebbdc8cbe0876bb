// The quiet line at the foot of the page: what the engine does at this moment, from GET /v1/load.

import {call} from './server.js';

const BUSY_MILLIS = 200;
const IDLE_MILLIS = 2_000;

const count = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

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
    const before = this.#last ?? {load, now};
    this.#last = {load, now};
    const tokens = load.answer_tokens - before.load.answer_tokens;
    const steps = load.steps - before.load.steps;
    const rows = load.rows - before.load.rows;
    strip.dataset.state = load.requests.running > 0 ? 'running' : 'idle';
    words.textContent = [
      load.state === 'SERVING' ? 'Engine' : `Engine ${load.state.toLowerCase()}`,
      `${load.requests.running} running`,
      `${load.requests.waiting} waiting`,
      `${now > before.now ? Math.round(tokens / (now - before.now) * 1000).toLocaleString('en') : 0} tokens/s`,
      ...steps > 0 ? [`${(rows / steps).toFixed(1)} rows a step`] : [],
    ].join(' · ');
    const share = used => `${(100 * used / Math.max(load.pages.total, 1)).toFixed(2)}%`;
    pages.style.setProperty('--kv', share(load.pages.kv));
    pages.style.setProperty('--adapters', share(load.pages.adapter));
    const held = `${count(load.pages.total, 'page')}: ${load.pages.kv} KV, ${load.pages.adapter} adapters, ${load.pages.free} free`;
    pages.setAttribute('aria-label', held);
    pagesWords.textContent = held;
    residents.textContent = `${count(load.adapters_resident, 'adapter')} resident`;
  }
}
