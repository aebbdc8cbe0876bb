// The official OpenAI client talks to a running server: what it throws or loses, users would.
//
//   node openai.mjs URL EXPECTED_JSON

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import OpenAI from 'openai';

const [url, expectedFile] = process.argv.slice(2);
const client = new OpenAI({baseURL: new URL('/v1', url).href, apiKey: 'none', maxRetries: 0});
const cases = JSON.parse(readFileSync(expectedFile, 'utf8')).map(one => ({...one, model: one.adapter ?? 'fable'}));
const STORY = cases[0].messages[0].content;
const story = cases.find(({model, messages}) => model === 'pirate' && messages[0].content === STORY);

const greedy = {temperature: 0, max_tokens: 300};
const running = async () => (await (await fetch(new URL('/v1/load', url))).json()).requests.running;

test('lists the base model and its adapters', async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model);
  assert.equal(models[0].id, 'fable');
  assert.equal(models[0].parent, null);
  assert.deepEqual(models.slice(1).map(({id}) => id).sort(), ['bullets', 'json', 'moral', 'pirate', 'robot', 'shout']);
  for (const model of models.slice(1)) assert.equal(model.parent, 'fable');
  for (const model of models) assert.ok(model.created > 0 && model.owned_by);
});

test('chats: every conversation of the reference, all at once, whole answers and usage', async () => {
  const answers = await Promise.all(cases.map(({model, messages}) =>
    client.chat.completions.create({model, messages, ...greedy})));
  answers.forEach((answer, i) => {
    const {model, text, prompt_ids: prompt, greedy_ids: ids} = cases[i];
    assert.equal(answer.model, model);
    assert.equal(answer.object, 'chat.completion');
    assert.deepEqual([answer.choices[0].message.role, answer.choices[0].message.content], ['assistant', text]);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.deepEqual(
      [answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens],
      [prompt.length, ids.length, prompt.length + ids.length]);
  });
});

test('streams a chat: the role first, then text, one end, and the usage that was asked for', async () => {
  const stream = await client.chat.completions.create({
    model: story.model, messages: story.messages, ...greedy, stream: true, stream_options: {include_usage: true},
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join(''), story.text);
  assert.deepEqual(chunks.map(chunk => chunk.choices[0]?.finish_reason).filter(Boolean), ['stop']);
  assert.deepEqual([...new Set(chunks.map(({id, created, model}) => `${id} ${created} ${model}`))].length, 1);
  assert.deepEqual(chunks.filter(chunk => chunk.usage).map(chunk => chunk.choices.length), [0]);
  assert.equal(chunks.at(-1).usage.completion_tokens, story.greedy_ids.length);
});

test('the stream helper gathers the same message', async () => {
  const helper = client.chat.completions.stream({model: story.model, messages: story.messages, ...greedy});
  let heard = '';
  helper.on('content', piece => { heard += piece; });
  assert.equal(await helper.finalContent(), story.text);
  assert.equal(heard, story.text);
});

test('several answers keep their own index, and a seed repeats them', async () => {
  const ask = async () => {
    const texts = ['', '', ''];
    const stream = await client.chat.completions.create({
      model: 'fable', messages: cases[0].messages, n: 3, temperature: 1, seed: 7, max_tokens: 30, stream: true,
    });
    for await (const {choices} of stream) for (const {index, delta} of choices) texts[index] += delta.content ?? '';
    return texts;
  };
  const texts = await ask();
  assert.equal(new Set(texts).size, 3);
  assert.deepEqual(await ask(), texts);
});

test('completes text, several prompts and token ids, with log-probabilities', async () => {
  const fromIds = await client.completions.create({
    model: story.model, prompt: story.prompt_ids, ...greedy, logprobs: 2, return_token_ids: true,
  });
  const [choice] = fromIds.choices;
  assert.equal(choice.text, story.text);
  assert.deepEqual(choice.token_ids, story.greedy_ids);
  assert.ok(choice.logprobs.token_logprobs.every(value => value <= 0));
  assert.ok(choice.logprobs.top_logprobs.every(top => Object.keys(top).length >= 2));

  const several = await client.completions.create({
    model: 'shout', prompt: ['Once upon a time', 'Long ago'], temperature: 0, max_tokens: 8,
  });
  assert.deepEqual(several.choices.map(({index, finish_reason: reason}) => [index, reason]), [[0, 'length'], [1, 'length']]);
  assert.equal(several.usage.completion_tokens, 16);

  const stream = await client.completions.create({model: story.model, prompt: story.prompt_ids, ...greedy, stream: true});
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
  assert.equal(text, story.text);
});

test('a stop string ends the answer before it', async () => {
  const answer = await client.chat.completions.create({
    model: 'fable', messages: cases[0].messages, ...greedy, stop: ['home'],
  });
  assert.equal(answer.choices[0].message.content, cases[0].text.split('home')[0]);
  assert.equal(answer.choices[0].finish_reason, 'stop');
});

test('refusals are the client\'s own errors with their codes', async () => {
  const messages = [{role: 'user', content: 'Hi'}];
  await assert.rejects(client.chat.completions.create({model: 'ghost', messages}), error => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.deepEqual([error.status, error.code, error.param], [404, 'model_not_found', 'model']);
    assert.match(error.message, /The model `ghost` does not exist\./);
    return true;
  });
  await assert.rejects(client.chat.completions.create({model: 'fable', messages, max_tokens: 5000, stream: true}), error => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'context_length_exceeded');
    assert.match(error.message, /This model's maximum context length is 1024 tokens\. However, you requested 5000 output tokens/);
    return true;
  });
  await assert.rejects(client.chat.completions.create({model: 'fable', messages: []}), OpenAI.BadRequestError);
  await assert.rejects(
    client.chat.completions.create({model: 'fable', messages, tools: [{type: 'function', function: {name: 'f'}}]}),
    error => error.status === 400 && error.code === 'unsupported_parameter' && error.param === 'tools');
});

test('an abort in mid-stream frees the engine', async () => {
  const stream = await client.chat.completions.create({
    model: 'robot', messages: cases[0].messages, max_tokens: 900, stream: true, ignore_eos: true,
  });
  let pieces = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content && ++pieces === 5) stream.controller.abort();
  }
  assert.ok(pieces < 900, 'the answer was aborted before its end');
  for (const deadline = Date.now() + 5_000; await running() > 0;) assert.ok(Date.now() < deadline, 'it still runs');
});
