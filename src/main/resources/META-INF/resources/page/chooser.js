// Which models answer: one chip for each, and with many of them a search field over the chips.

/** More than this many answers side by side cannot be read, and no screen has room for them. */
export const CHOSEN_MAX = 12;
/** With thousands of adapters only the first matches are drawn; the rest is counted, and found by name. */
const CHIPS_MAX = 60;
const SEARCH_FROM = 13;

export class Chooser {
  #models = [];
  #chosen = new Set();
  #changed;
  #parts;

  /** @param changed called after each change of the choice */
  constructor(parts, changed) {
    this.#parts = parts;
    this.#changed = changed;
    parts.all.addEventListener('click', () => this.#all());
    parts.none.addEventListener('click', () => this.#choose([]));
    parts.search.addEventListener('input', () => this.#draw());
    parts.search.addEventListener('keydown', event => {
      // Enter in a form's field would send the form.
      if (event.key === 'Enter') event.preventDefault();
    });
    parts.chips.addEventListener('change', event => this.#toggle(event.target));
    parts.chips.addEventListener('keydown', event => this.#move(event));
  }

  /** The chosen models, in the server's order. */
  get chosen() {
    return this.#models.filter(model => this.#chosen.has(model.id));
  }

  set busy(busy) {
    this.#parts.fieldset.disabled = busy;
  }

  offer(models) {
    this.#models = models;
    this.#parts.searchField.hidden = models.length < SEARCH_FROM;
    this.#parts.fieldset.classList.toggle('many', models.length >= SEARCH_FROM);
    // A visitor's first answer takes one key: the base model and the first adapters are chosen already.
    this.#choose(models.slice(0, 8).map(model => model.id));
  }

  #choose(ids) {
    this.#chosen = new Set(ids);
    this.#draw();
    this.#say();
    this.#changed();
  }

  #matches() {
    const wanted = this.#parts.search.value.trim().toLowerCase();
    return this.#models.filter(model => model.id.toLowerCase().includes(wanted));
  }

  #all() {
    const matches = this.#matches();
    this.#choose(matches.slice(0, CHOSEN_MAX).map(model => model.id));
    if (matches.length > CHOSEN_MAX) {
      this.#say(`${matches.length} models match: the first ${CHOSEN_MAX} are chosen, the most that fit side by side.`);
    }
  }

  #toggle(box) {
    const id = box.value;
    if (!box.checked) {
      this.#chosen.delete(id);
    } else if (this.#chosen.size < CHOSEN_MAX) {
      this.#chosen.add(id);
    } else {
      box.checked = false;
      this.#say(`${CHOSEN_MAX} voices are chosen, the most that fit side by side. Take one away to choose ${id}.`);
      return;
    }
    this.#say();
    this.#changed();
  }

  /** Arrow keys go from chip to chip, so that a keyboard need not pass through all of them with Tab. */
  #move(event) {
    const boxes = [...this.#parts.chips.querySelectorAll('input')];
    const at = boxes.indexOf(event.target);
    const to = {ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: -1}[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    boxes.at(to % boxes.length).focus();
  }

  #say(words) {
    this.#parts.words.textContent = words ?? `${this.#chosen.size} of ${this.#models.length} chosen`;
  }

  #draw() {
    const matches = this.#matches();
    // What is chosen stays in sight, whatever is searched for.
    const shown = [
      ...this.#models.filter(model => this.#chosen.has(model.id) && !matches.includes(model)),
      ...matches.slice(0, CHIPS_MAX),
    ];
    this.#parts.chips.replaceChildren(...shown.map(model => this.#chip(model)));
    const hidden = matches.length - Math.min(matches.length, CHIPS_MAX);
    this.#parts.more.hidden = hidden === 0 && matches.length > 0;
    this.#parts.more.textContent = matches.length === 0
      ? `No model's name contains “${this.#parts.search.value.trim()}”.`
      : `${hidden} more: search for a part of the name.`;
  }

  #chip(model) {
    const chip = this.#parts.template.content.cloneNode(true).firstElementChild;
    const box = chip.querySelector('input');
    box.value = model.id;
    box.checked = this.#chosen.has(model.id);
    chip.querySelector('.chip-name').textContent = model.id;
    chip.classList.toggle('base', model.base);
    chip.style.setProperty('--hue', model.hue);
    chip.title = model.base ? 'the base model' : `an adapter on ${model.parent}`;
    return chip;
  }
}
