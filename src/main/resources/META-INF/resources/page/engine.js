// The quiet line at the foot of the page: what the engine does at this moment, from GET /v1/load.

import {call, KeyWanted} from './server.js';

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
      const load = await call('GET', '/v1/load');
      if (look !== this.#looks) return; // another look began meanwhile and goes on instead of this
      this.#show(load, performance.now());
    } catch (problem) {
      this.#parts.strip.dataset.state = 'silent';
      this.#parts.words.textContent = problem.message;
      this.#parts.pagesWords.textContent = this.#parts.residents.textContent = '';
      this.#last = null;
      if (problem instanceof KeyWanted) return; // goes on with the next key
    }
    if (look === this.#looks) this.#timer = setTimeout(() => this.look(), this.busy ? BUSY_MILLIS : IDLE_MILLIS);
  }

  #show(load, now) {
    const {strip, words, pages, pagesWords, residents} = this.#parts;
    // A rate over a shorter time than that would be noise: then the older look stays what is compared with.
    const before = this.#last ?? {load, now};
    if (now - before.now >= BUSY_MILLIS / 2 || !this.#last) this.#last = {load, now};
    const tokens = load.answer_tokens - before.load.answer_tokens;
    const steps = load.steps - before.load.steps;
    const rows = load.rows - before.load.rows;
    strip.dataset.state = load.requests.running > 0 ? 'running' : 'idle';
    words.textContent = [
      load.state === 'SERVING' ? 'Engine' : `Engine ${load.state.toLowerCase()}`,
      `${load.requests.running} running`,
      `${load.requests.waiting} waiting`,
      `${Math.round(tokens / Math.max(now - before.now, BUSY_MILLIS / 2) * 1000).toLocaleString('en')} tokens/s`,
      ...steps > 0 ? [`${(rows / steps).toFixed(1)} rows a step`] : [],
    ].join(' · ');
    const share = used => `${(100 * used / Math.max(load.pages.total, 1)).toFixed(2)}%`;
    pages.style.setProperty('--kv', share(load.pages.kv));
    pages.style.setProperty('--adapters', share(load.pages.adapter));
    const held = `${count(load.pages.total, 'page')}: ${load.pages.kv} KV, ${load.pages.adapter} adapters, ${load.pages.cached} cached, ${load.pages.free} free`;
    pages.setAttribute('aria-label', held);
    pagesWords.textContent = held;
    residents.textContent = `${count(load.adapters_resident, 'adapter')} resident`;
  }
}
