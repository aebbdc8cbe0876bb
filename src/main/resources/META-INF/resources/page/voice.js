// One voice: a card with one model's own conversation, its answer as it arrives, and what it cost in time.

/** What a turn's state is called on the card; a state that is missing here needs no word. */
const WORDS = {
  waiting: 'waiting', answering: 'singing', done: 'done', stopped: 'stopped',
  incomplete: 'incomplete', failed: 'failed', quiet: '',
};

export class Voice {
  #card;
  #turns = [];
  #pending = '';
  #retry;

  /** @param retry called with this voice when the reader wants a failed answer again */
  constructor(model, templates, retry) {
    this.model = model;
    this.#retry = retry;
    const element = templates.voice.content.cloneNode(true).firstElementChild;
    const find = selector => element.querySelector(selector);
    this.element = element;
    this.#card = {
      turn: templates.turn, turns: find('.turns'), state: find('.state'), copy: find('.copy'),
      tokens: find('.tokens'), rate: find('.rate'), first: find('.first'),
    };
    find('h2').textContent = model.id;
    find('.part').textContent = model.base ? 'base model' : 'adapter';
    element.setAttribute('aria-label', model.id);
    this.#card.turns.setAttribute('aria-label', `Conversation with ${model.id}`);
    element.classList.toggle('base', model.base);
    element.dataset.model = model.id;
    element.style.setProperty('--hue', model.hue);
    this.#card.copy.addEventListener('click', () => this.#copy());
    this.#show('quiet');
  }

  get #turn() {
    return this.#turns.at(-1);
  }

  get tokens() {
    return this.#turn?.tokens ?? 0;
  }

  /** When the newest token came. */
  get heardUntil() {
    return this.#turn?.last ?? 0;
  }

  get whole() {
    return this.#turn?.state === 'done';
  }

  get broken() {
    return ['failed', 'incomplete'].includes(this.#turn?.state);
  }

  get ended() {
    return !['waiting', 'answering'].includes(this.#turn?.state);
  }

  /** The conversation that a new question continues: a turn without a whole or wilfully stopped answer is left out. */
  messages(prompt) {
    const told = this.#turns.filter(turn => turn.state === 'done' || (turn.state === 'stopped' && turn.text));
    return [
      ...told.flatMap(turn => [{role: 'user', content: turn.prompt}, {role: 'assistant', content: turn.text}]),
      {role: 'user', content: prompt},
    ];
  }

  forget() {
    this.#turns = [];
    this.#card.turns.replaceChildren();
    this.#show('quiet');
    this.#measure();
  }

  /** Begins a turn; a broken turn with the same question gives way to it, which is what a retry is. */
  ask(prompt, now) {
    if (this.broken && this.#turn.prompt === prompt) {
      this.#turns.pop().element.remove();
    } else if (this.broken) {
      this.#turn.element.querySelector('.retry').remove();
      this.#note('Left out of the conversation.');
    }
    const element = this.#card.turn.content.cloneNode(true).firstElementChild;
    element.querySelector('.asked').textContent = prompt;
    const answer = element.querySelector('.answer').appendChild(document.createTextNode(''));
    this.#card.turns.append(element);
    this.#turns.push({prompt, element, answer, text: '', tokens: 0, asked: now, first: null, last: now, state: 'waiting'});
    this.#card.turns.scrollTop = this.#card.turns.scrollHeight;
    this.#show('waiting');
    this.#measure();
  }

  /** Takes the last question back, as if it had never been asked: the server would not begin. */
  withdraw() {
    this.#turns.pop().element.remove();
    this.#show(this.#turn?.state ?? 'quiet');
    this.#measure();
  }

  /** Takes a piece of the answer; it is drawn by the next flush. */
  sing(text, now) {
    const turn = this.#turn;
    turn.first ??= now;
    turn.last = now;
    turn.text += text;
    if (turn.state === 'waiting') this.#show('answering');
    turn.tokens++; // an event is a token until the server's count comes with the end
    this.#pending += text;
  }

  /** The server's own count, which also knows of tokens that made no text. */
  counted(tokens) {
    this.#turn.tokens = tokens;
  }

  /** Draws what has arrived since the last flush: once a frame, however many tokens that was. */
  flush() {
    if (this.#pending) {
      const {turns} = this.#card;
      const atEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 24;
      this.#turn.answer.appendData(this.#pending);
      this.#pending = '';
      if (atEnd) turns.scrollTop = turns.scrollHeight; // who has scrolled up to read is left there
    }
    this.#measure();
  }

  /** The answer ended by itself. Anything but a stop of the model's own is said, so that nothing looks whole that is not. */
  finish(reason, tokensMax) {
    this.flush();
    this.#show('done');
    if (this.#turn.text === '') this.#note('It ended without a text.');
    if (reason === 'length') this.#note(`Ends here because of the limit: ${tokensMax} tokens, or the model's context.`);
    else if (reason !== 'stop') this.#note(`The server ended it: ${reason}.`);
  }

  stop() {
    this.flush();
    this.#show('stopped');
    this.#note('Stopped by you.');
  }

  /** The answer broke; what has arrived stays, and is marked as a part. */
  fail(problem) {
    this.flush();
    const some = this.#turn.text !== '';
    this.#show(some ? 'incomplete' : 'failed');
    this.#note(`${some ? 'Incomplete. ' : ''}${problem.message}`, problem.code);
    const again = document.createElement('button');
    again.type = 'button';
    again.className = 'retry';
    again.disabled = true; // until the round is over: one stream at a time
    again.textContent = `Ask ${this.model.id} again`;
    again.addEventListener('click', () => this.#retry(this));
    this.#turn.element.append(again);
    this.#card.turns.scrollTop = this.#card.turns.scrollHeight;
  }

  get lastPrompt() {
    return this.#turn?.prompt;
  }

  #note(words, code) {
    const note = document.createElement('p');
    note.className = 'remark';
    note.textContent = code ? `${words} (${code})` : words;
    this.#turn.element.append(note);
    this.#card.turns.scrollTop = this.#card.turns.scrollHeight;
  }

  #show(state) {
    if (this.#turn) this.#turn.state = state;
    this.element.dataset.state = state;
    this.element.setAttribute('aria-busy', String(!this.ended));
    this.#card.state.textContent = WORDS[state];
    this.#card.copy.disabled = !this.#turn?.text;
  }

  /** The rate counts from the question to the newest token: waiting is part of what a reader feels. */
  #measure() {
    const turn = this.#turn;
    const seconds = turn ? (turn.last - turn.asked) / 1000 : 0;
    this.#card.tokens.textContent = turn?.first ? String(turn.tokens) : '–';
    this.#card.rate.textContent = turn?.first && seconds > 0 ? String(Math.round(turn.tokens / seconds)) : '–';
    this.#card.first.textContent = turn?.first ? `${Math.round(turn.first - turn.asked)} ms` : '–';
  }

  async #copy() {
    const {copy} = this.#card;
    copy.textContent = await copied(this.#turn.text) ? 'Copied' : 'Not allowed';
    setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
  }
}

/** Puts a text on the clipboard; false where the browser forbids it, as over plain HTTP from another machine. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
