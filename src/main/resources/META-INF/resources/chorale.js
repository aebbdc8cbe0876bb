// The page at /: one question, sung by every chosen voice at once over one stream.

import {Chooser} from './page/chooser.js';
import {EngineStrip} from './page/engine.js';
import {key, onKey} from './page/key.js';
import {Score} from './page/score.js';
import {call, follow, Problem} from './page/server.js';
import {copied, Voice} from './page/voice.js';

const SAMPLES = [
  'Tell me a story about a fox named Kit.', 'A story about a golden bell, please.', 'Write a short story on an island.',
];
const FOLLOW_UPS = ['Who is the hero?', 'Where does it happen?', 'What is the moral?'];

const by = id => document.getElementById(id);
const prompt = by('prompt');
const temperature = by('temperature');
const tokensMax = by('max-tokens');

/** All voices that were ever chosen, by model: who is chosen again goes on with its own conversation. */
const voices = new Map();
/** What is being sung: the voices, the answers' way to them, and how to stop. Null while all is quiet. */
let round = null;

const score = new Score(by('score'), by('lanes'), by('notes'));
const engine = new EngineStrip({
  strip: by('engine'), words: by('engine-words'), pages: by('pages'), pagesWords: by('pages-words'), residents: by('residents'),
});
const chooser = new Chooser({
  fieldset: by('chooser'), chips: by('chips'), all: by('choose-all'), none: by('choose-none'), words: by('chosen'),
  search: by('search'), searchField: by('search-field'), more: by('chooser-more'), template: by('chip'),
}, seat);

// ---- who is there ---------------------------------------------------------------------------------------------------

async function meet() {
  hush(by('chooser-problem'));
  try {
    const {data} = await call('GET', '/v1/models');
    if (data.length === 0) throw new Problem('The server has no model.');
    chooser.offer(data.map(({id, parent}, index) =>
      // Steps of the golden angle keep the hues of neighbours far apart, however many there are.
      ({id, parent, base: !parent, hue: (25 + index * 137.5) % 360})));
    showCurl();
  } catch (problem) {
    complain(by('chooser-problem'), problem, meet);
  }
}

function seat() {
  const seated = chooser.chosen.map(model => {
    if (!voices.has(model.id)) {
      voices.set(model.id, new Voice(model, {voice: by('voice'), turn: by('turn')}, again));
    }
    return voices.get(model.id);
  });
  by('answers').replaceChildren(...seated.map(voice => voice.element));
  by('send').disabled = seated.length === 0;
  offerSamples();
}

const seated = () => chooser.chosen.map(model => voices.get(model.id));

// ---- singing --------------------------------------------------------------------------------------------------------

/** Asks these voices this question, as one request with one stream. */
async function sing(singers, question) {
  if (round || !settingsAreGood()) return;
  hush(by('problem'));
  if (prompt.value.trim() === question) prompt.value = '';
  const tokensMaximum = tokensMax.valueAsNumber;
  const requests = singers.map(voice => ({
    model: voice.model.id,
    messages: voice.messages(question),
    temperature: temperature.valueAsNumber,
    max_tokens: tokensMaximum,
    stream: true,
    stream_options: {include_usage: true},
  }));
  const abort = new AbortController();
  const began = performance.now();
  round = {singers, stop: () => abort.abort(), changed: new Set(), stopped: false, began};
  singers.forEach(voice => voice.ask(question, began));
  setBusy(true);
  const sayAll = () => { by('summary').textContent = singers.length === 1 ? '1 voice sings…' : `${singers.length} voices sing…`; };
  const listener = {
    begun() {
      score.begin(singers.map(voice => voice.model));
      sayAll();
      // On a small screen the answers begin below its edge.
      if (by('score').getBoundingClientRect().top > innerHeight / 2) by('score').scrollIntoView();
    },
    part(index, chunk) {
      hear(index, chunk, tokensMaximum);
    },
    failed(index, problem) {
      singers[index].fail(problem);
    },
    wavering(yes) {
      if (yes) by('summary').textContent = 'The connection is lost; taking it up again…';
      else sayAll();
    },
    ended(problem) {
      for (const voice of singers.filter(voice => !voice.ended)) {
        if (round.stopped) voice.stop();
        else voice.fail(problem ?? new Problem('The stream ended before this answer did.'));
      }
      sumUp();
      rest();
    },
  };
  try {
    round.stop = (await follow(requests, listener, abort.signal)).stop;
  } catch (problem) {
    // Nothing was begun: the question goes back to where it was typed.
    singers.forEach(voice => voice.withdraw());
    prompt.value ||= question;
    rest();
    if (problem.name === 'AbortError') return; // stopped before it began
    complain(by('problem'), problem, () => sing(singers, question));
  }
}

/** One piece of the stream for one voice; what it changes is drawn with the next frame. */
function hear(index, chunk, tokensMaximum) {
  const voice = round.singers[index];
  const now = performance.now();
  const choice = chunk.choices[0];
  if (choice?.delta?.content) {
    voice.sing(choice.delta.content, now);
    score.note(index, choice.delta.content);
    if (round.changed.size === 0) requestAnimationFrame(draw);
    round.changed.add(voice);
  }
  if (choice?.finish_reason) voice.finish(choice.finish_reason, tokensMaximum);
  if (chunk.usage) {
    voice.counted(chunk.usage.completion_tokens);
    voice.flush();
  }
}

function draw() {
  if (!round) return;
  round.changed.forEach(voice => voice.flush());
  round.changed.clear();
  score.flush();
}

/** Says what the round came to, and offers what broke once more. */
function sumUp() {
  draw();
  const {singers, began} = round;
  const seconds = (Math.max(...singers.map(voice => voice.heardUntil)) - began) / 1000;
  const tokens = singers.reduce((sum, voice) => sum + voice.tokens, 0);
  const whole = singers.filter(voice => voice.whole).length;
  by('summary').textContent = (whole === singers.length ? '' : `${whole} of ${singers.length} voices to the end. `)
    + (score.steps === 0 ? 'No token came.'
      : `${tokens} tokens in about ${score.steps} steps and ${seconds.toFixed(2)} s: `
        + `${(tokens / score.steps).toFixed(1)} a step, ${Math.round(tokens / seconds)} a second.`);
  const broken = singers.filter(voice => voice.broken);
  if (broken.length > 1) {
    complain(by('problem'), new Problem(`${broken.length} of ${singers.length} answers are not whole; each card says why.`),
      () => sing(broken, broken[0].lastPrompt));
  }
}

function rest() {
  round = null;
  setBusy(false);
  offerSamples();
}

function stop() {
  if (!round) return;
  round.stopped = true;
  round.stop();
}

function again(voice) {
  if (!round) sing([voice], voice.lastPrompt);
}

function send() {
  const question = prompt.value.trim();
  if (!round && question && chooser.chosen.length > 0) {
    sing(seated(), question);
  } else if (!question) {
    prompt.focus();
  }
}

// ---- the form -------------------------------------------------------------------------------------------------------

function setBusy(busy) {
  const focusIsOnGoing = document.activeElement === by(busy ? 'send' : 'stop');
  document.body.classList.toggle('singing', busy);
  by('send').hidden = busy;
  by('stop').hidden = !busy;
  if (focusIsOnGoing) by(busy ? 'stop' : 'send').focus();
  chooser.busy = busy;
  by('fresh').disabled = busy || ![...voices.values()].some(voice => voice.lastPrompt);
  document.querySelectorAll('.sample, .retry').forEach(button => { button.disabled = busy; });
  engine.busy = busy;
  engine.look();
}

function settingsAreGood() {
  const wrong = [
    [temperature, 'Temperature is a number from 0 to 2 in steps of 0.05; 0 always takes the likeliest token.'],
    [tokensMax, 'Most tokens is a whole number from 1 up.'],
  ].find(([field]) => !field.checkValidity());
  if (!wrong) return true;
  complain(by('problem'), new Problem(wrong[1]));
  wrong[0].focus();
  return false;
}

function offerSamples() {
  const begun = seated().some(voice => voice.messages('').length > 1);
  by('samples').replaceChildren(...(begun ? FOLLOW_UPS : SAMPLES).map(text => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'sample';
    button.textContent = text;
    button.disabled = round !== null;
    button.addEventListener('click', () => {
      prompt.value = text;
      send();
      prompt.focus();
    });
    return button;
  }));
}

function complain(place, problem, retry) {
  const words = document.createElement('span');
  words.textContent = problem.code ? `${problem.message} (${problem.code})` : problem.message;
  place.replaceChildren(words);
  if (retry) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Try again';
    button.addEventListener('click', retry);
    place.append(button);
  }
  place.hidden = false;
}

function hush(place) {
  place.hidden = true;
  place.replaceChildren();
}

function showCurl() {
  const model = chooser.chosen.at(1) ?? chooser.chosen[0];
  by('curl').textContent = `curl -N ${location.origin}/v1/chat/completions -H 'Content-Type: application/json' \\
${key() ? '  -H "Authorization: Bearer $CHORALE_KEY" \\\n' : ''}  -d '{"model": ${JSON.stringify(model.id)}, "stream": true,
       "messages": [{"role": "user", "content": ${JSON.stringify(SAMPLES[0])}}]}'`;
}

by('composer').addEventListener('submit', event => {
  event.preventDefault();
  send();
});
prompt.addEventListener('keydown', event => {
  // While a word is being composed (Japanese, Chinese), Enter belongs to the input method.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') stop();
});
by('stop').addEventListener('click', stop);
// Without this the server would sing on for as long as it waits for a lost connection to come back.
addEventListener('pagehide', stop);
by('fresh').addEventListener('click', () => {
  voices.forEach(voice => voice.forget());
  by('score').hidden = true;
  by('fresh').disabled = true;
  offerSamples();
  prompt.focus();
});
by('copy-curl').addEventListener('click', async () => {
  const button = by('copy-curl');
  button.textContent = await copied(by('curl').textContent) ? 'Copied' : 'Not allowed';
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
});

onKey(() => {
  hush(by('problem'));
  meet();
  engine.look();
});

offerSamples();
meet();
engine.look();
