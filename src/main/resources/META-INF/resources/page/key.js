// The visitor's API key: sent with every call of the page, and kept in sessionStorage alone, so that it goes with the tab.

const STORED = 'chorale.key';
/** What a header can carry, and so what a key is made of. */
const SENDABLE = /^[!-~]*$/;

/** Every page has the panel, and says in it whose key it wants. */
const panel = document.getElementById('key-panel');
panel.innerHTML = `
  <summary>API key</summary>
  <form id="key-form" class="key-form" novalidate>
    <label class="unseen" for="key">API key</label>
    <input id="key" type="password" autocomplete="off" spellcheck="false" aria-describedby="key-words key-hint">
    <button type="submit">Use it</button>
    <span id="key-hint" class="hint">Kept in this tab alone, and gone with it.</span>
    <span id="key-words" class="key-words" role="alert"></span>
  </form>`;
const field = document.getElementById('key');
const words = document.getElementById('key-words');

/** Where the browser keeps nothing (its settings may forbid it), the key lasts as long as the page. */
let held = stored() ?? '';

function stored() {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return null;
  }
}

/** The key, or '' for none. */
export const key = () => held;

/** Opens the field and says why. Whoever is typing goes on typing where they are. */
export function wantKey(why) {
  words.textContent = why;
  panel.open = true;
  if (!document.activeElement?.matches('input, textarea')) field.focus();
}

/** Calls when the visitor has handed in a key (or taken it back): what was refused can be asked again. */
export function onKey(listener) {
  document.getElementById('key-form').addEventListener('submit', event => {
    event.preventDefault();
    if (take()) listener();
  });
}

function take() {
  const value = field.value.trim();
  if (!SENDABLE.test(value)) {
    wantKey('An API key has no spaces and no letters beyond ASCII.');
    return false;
  }
  held = value;
  words.textContent = '';
  try {
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
  } catch {
    // Then it is asked for again after the page is loaded again.
  }
  return true;
}

field.placeholder = panel.dataset.whose;
field.value = held;
field.addEventListener('change', take);
