// The score: a staff for each voice, a note for each token. It shows what batching is, at the speed at which it happens.
//
// A column is about one step of the engine. The stream does not number steps, and hands on the tokens of several steps
// voice by voice when they come quickly; but while a voice sings, each step gives it one token. So its notes stand in
// adjoining columns; what begins in the first frame begins together, and what begins later has its newest note under the
// newest of the others.

const LANE_HEIGHT = 22;
const NOTE_WIDTH = 15; // of a column while there is room; then columns move closer

export class Score {
  #figure;
  #lanes;
  #canvas;
  #columns = 0;
  #waiting = new Map();
  #next = [];
  #notes = [];
  #colours = [];
  #drawn = 0;
  #drawnWidth = 0;

  constructor(figure, lanes, canvas) {
    this.#figure = figure;
    this.#lanes = lanes;
    this.#canvas = canvas;
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#redraw());
  }

  get steps() {
    return this.#columns;
  }

  /** Takes new paper: a staff for each of these models. */
  begin(models) {
    this.#columns = 0;
    this.#waiting.clear();
    this.#next = [];
    this.#notes = [];
    this.#figure.hidden = false;
    this.#lanes.replaceChildren(...models.map(model => {
      const lane = document.createElement('li');
      lane.textContent = model.id;
      lane.classList.toggle('base', model.base);
      lane.style.setProperty('--hue', model.hue);
      return lane;
    }));
    this.#canvas.style.height = `${models.length * LANE_HEIGHT}px`;
    this.#redraw();
  }

  /** Takes the next token of a lane; a longer text stands higher on the staff, which makes the melody. */
  note(lane, text) {
    if (!this.#waiting.has(lane)) this.#waiting.set(lane, []);
    this.#waiting.get(lane).push(Math.min(text.trim().length, 8) / 8);
  }

  /** Draws the notes that are new; everything, when the columns have to move closer. */
  flush() {
    const isFirst = this.#columns === 0;
    const late = [];
    for (const [lane, heights] of this.#waiting) {
      if (isFirst || lane in this.#next) this.#write(lane, this.#next[lane] ?? 0, heights);
      else late.push([lane, heights]);
    }
    for (const [lane, heights] of late) this.#write(lane, Math.max(this.#columns - heights.length, 0), heights);
    this.#waiting.clear();
    if (this.#columnWidth() === this.#drawnWidth) this.#draw(this.#drawn);
    else this.#redraw();
  }

  #write(lane, column, heights) {
    for (const height of heights) this.#notes.push({lane, column: column++, height});
    this.#next[lane] = column;
    this.#columns = Math.max(this.#columns, column);
  }

  #columnWidth() {
    const fits = Math.floor(this.#canvas.clientWidth / NOTE_WIDTH);
    if (this.#columns <= fits) return NOTE_WIDTH;
    // In powers of a root of two, so that most new columns leave the old ones in place.
    const crowding = Math.ceil(Math.log2(this.#columns / fits) * 4) / 4;
    return NOTE_WIDTH / 2 ** crowding;
  }

  #redraw() {
    const {clientWidth: width, clientHeight: height} = this.#canvas;
    if (width === 0) return;
    const scale = window.devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const pen = this.#canvas.getContext('2d');
    pen.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    this.#colours = [...this.#lanes.children].map(lane => getComputedStyle(lane).color);
    pen.fillStyle = style.getPropertyValue('--line');
    for (let lane = 0; lane < this.#lanes.children.length; lane++) {
      pen.fillRect(0, (lane + 0.5) * LANE_HEIGHT, width, 1);
    }
    this.#drawnWidth = this.#columnWidth();
    this.#draw(0);
  }

  #draw(from) {
    const pen = this.#canvas.getContext('2d');
    const across = Math.max(0.7, Math.min(this.#drawnWidth * 0.42, 4.6));
    for (const {lane, column, height} of this.#notes.slice(from)) {
      const x = (column + 0.5) * this.#drawnWidth;
      const y = (lane + 0.5) * LANE_HEIGHT + 0.5 + (0.5 - height) * LANE_HEIGHT * 0.5;
      pen.fillStyle = this.#colours[lane];
      pen.beginPath();
      pen.ellipse(x, y, across, Math.max(across * 0.7, 1.6), -0.35, 0, 2 * Math.PI);
      pen.fill();
    }
    this.#drawn = this.#notes.length;
  }
}
