// The page of adapters: where each one is, what it is asked for, and for who has the key, load, pin and remove.

import {key, onKey, wantKey} from './key.js';
import {call, KeyWanted, Problem} from './server.js';

const PAGE = 50;
const SHOWN_MAX = 1_000;
const LOOK_MILLIS = 2_000;
const SURE_MILLIS = 3_000;
const FAULTS_SHOWN_MAX = 3; // of an adapter that a diverged training left behind every tensor is wrong

const by = id => document.getElementById(id);

/** The table's rows by name: a row stays the same element, so that focus and a half-made decision survive a look. */
const rows = new Map();
let shownMax = PAGE;
let looks = 0;
let timer;

// ---- looking --------------------------------------------------------------------------------------------------------

/** Looks now, and from now on. */
async function look() {
  clearTimeout(timer);
  const mine = ++looks;
  if (document.hidden) return; // a page that nobody sees asks nothing
  try {
    const query = new URLSearchParams({limit: shownMax, search: by('search').value.trim()});
    const list = await call('GET', `/v1/adapters?${query}`);
    if (mine !== looks) return; // another look began meanwhile
    show(list);
    hush('look');
  } catch (problem) {
    complain(problem, 'look');
    if (problem instanceof KeyWanted) return; // goes on with the next key
  }
  if (mine === looks) timer = setTimeout(look, LOOK_MILLIS);
}

function show({data, has_more: hasMore, total, host}) {
  const gone = new Set(rows.keys());
  const body = by('rows');
  data.forEach((adapter, index) => {
    gone.delete(adapter.name);
    const row = rows.get(adapter.name) ?? newRow(adapter.name);
    fill(row, adapter);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  gone.forEach(name => {
    rows.get(name).remove();
    rows.delete(name);
  });
  by('none').hidden = data.length > 0;
  by('more').hidden = !hasMore || shownMax >= SHOWN_MAX;
  by('counts').textContent = `${total.toLocaleString('en')} registered · ${host.device_adapters} on the device · `
    + `${host.adapters} in host memory, ${size(host.bytes_used)} of ${size(host.bytes_max)}`;
}

function newRow(name) {
  const row = by('row').content.firstElementChild.cloneNode(true);
  row.dataset.name = name;
  const part = selector => row.querySelector(selector);
  part('.adapter-name').textContent = name;
  for (const [selector, word] of [['.load', 'Load'], ['.pin', 'Pin'], ['.remove', 'Remove']]) {
    part(selector).setAttribute('aria-label', `${word} ${name}`);
  }
  const path = `/v1/adapters/${encodeURIComponent(name)}`;
  part('.load').addEventListener('click', () => wish('POST', `${path}/prefetch`));
  part('.pin').addEventListener('click', () => wish('POST', `${path}/${row.dataset.pinned === 'true' ? 'unpin' : 'pin'}`));
  part('.remove').addEventListener('click', () => sure(part('.remove'), () => wish('DELETE', path)));
  rows.set(name, row);
  return row;
}

function fill(row, adapter) {
  const part = selector => row.querySelector(selector);
  const usable = adapter.state === 'usable';
  row.dataset.pinned = adapter.pinned;
  const more = adapter.problems.length - FAULTS_SHOWN_MAX;
  part('.adapter-faults').textContent =
    [...adapter.problems.slice(0, FAULTS_SHOWN_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join(' · ');
  part('.place').textContent = usable ? adapter.place : 'cannot be served';
  part('.place').dataset.place = usable ? adapter.place : 'invalid';
  part('.pinned').hidden = !adapter.pinned;
  part('.version').textContent = adapter.version ?? 'not read yet';
  part('.rank').textContent = usable ? adapter.rank : '–';
  part('.size').textContent = usable ? size(adapter.weight_bytes) : '–';
  part('.requests').textContent = adapter.requests.toLocaleString('en');
  part('.used').textContent = adapter.idle_seconds === null ? 'never' : ago(adapter.idle_seconds);
  part('.pin').textContent = adapter.pinned ? 'Unpin' : 'Pin';
  part('.pin').setAttribute('aria-label', `${adapter.pinned ? 'Unpin' : 'Pin'} ${adapter.name}`);
  part('.load').disabled = !usable || adapter.place !== 'disk';
  part('.pin').disabled = !usable;
}

function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(bytes < 10 ? 1 : 0)} ${units[unit]}`;
}

function ago(seconds) {
  if (seconds < 5) return 'now';
  const [unit, length] = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]].find(([, long]) => seconds >= long);
  const count = Math.floor(seconds / length);
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

// ---- doing ----------------------------------------------------------------------------------------------------------

async function wish(method, path) {
  if (!key()) {
    complain(new Problem("This needs an administrator's key (chorale.adapters.admin-key)."), 'wish');
    wantKey("An administrator's key is wanted.");
    return;
  }
  try {
    await call(method, path);
    hush('wish');
  } catch (problem) {
    complain(problem, 'wish');
  }
  look();
}

/** What cannot be undone wants a second press. */
function sure(button, action) {
  if (button.classList.contains('sure')) {
    unsure(button);
    action();
    return;
  }
  button.classList.add('sure');
  button.textContent = 'Really?';
  setTimeout(() => unsure(button), SURE_MILLIS);
}

function unsure(button) {
  button.classList.remove('sure');
  button.textContent = 'Remove';
}

function complain(problem, about) {
  by('problem').textContent = problem.code ? `${problem.message} (${problem.code})` : problem.message;
  by('problem').dataset.about = about;
  by('problem').hidden = false;
}

function hush(about) {
  if (by('problem').dataset.about === about) by('problem').hidden = true;
}

by('tools').addEventListener('submit', event => event.preventDefault());
by('search').addEventListener('input', () => {
  shownMax = PAGE;
  look();
});
by('more').addEventListener('click', () => {
  shownMax = Math.min(SHOWN_MAX, shownMax * 4);
  look();
});
document.addEventListener('visibilitychange', look);
onKey(look);
look();
