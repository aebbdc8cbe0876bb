// Other clients that people use talk to a running server: the AI SDK, LangChain and a plain reader of event streams.
//
//   node clients.mjs URL EXPECTED_JSON

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {ChatOpenAI} from '@langchain/openai';
import {generateText, streamText} from 'ai';
import {createParser} from 'eventsource-parser';

const [url, expectedFile] = process.argv.slice(2);
const baseURL = new URL('/v1', url).href;
const [story] = JSON.parse(readFileSync(expectedFile, 'utf8')).filter(({adapter}) => adapter === 'moral');
const prompt = story.messages[0].content;

test('AI SDK: text, stream, usage, and an error in words', async () => {
  const provider = createOpenAICompatible({name: 'chorale', baseURL, includeUsage: true});
  const model = provider('moral');
  const whole = await generateText({model, prompt, temperature: 0, maxOutputTokens: 300});
  assert.equal(whole.text, story.text);
  assert.equal(whole.usage.outputTokens, story.greedy_ids.length);

  const stream = streamText({model, prompt, temperature: 0, maxOutputTokens: 300});
  let text = '';
  for await (const piece of stream.textStream) text += piece;
  assert.equal(text, story.text);
  assert.equal(await stream.finishReason, 'stop');
  assert.equal((await stream.usage).outputTokens, story.greedy_ids.length);

  await assert.rejects(
    generateText({model: provider('ghost'), prompt, maxRetries: 0}),
    error => error.statusCode === 404 && /The model `ghost` does not exist\./.test(error.message));
});

test('LangChain: text and stream', async () => {
  const model = new ChatOpenAI({
    model: 'moral', temperature: 0, maxTokens: 300, maxRetries: 0, apiKey: 'none', configuration: {baseURL},
  });
  const whole = await model.invoke(prompt);
  assert.equal(whole.content, story.text);
  assert.equal(whole.usage_metadata.output_tokens, story.greedy_ids.length);
  let text = '';
  for await (const chunk of await model.stream(prompt)) text += chunk.content;
  assert.equal(text, story.text);
});

test('a plain parser of event streams sees data events only, and [DONE] at the end', async () => {
  const response = await fetch(new URL('/v1/chat/completions', url), {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({model: 'moral', messages: story.messages, temperature: 0, max_tokens: 300, stream: true}),
  });
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const events = [];
  const parser = createParser({onEvent: event => events.push(event)});
  const decoder = new TextDecoder();
  for await (const bytes of response.body) parser.feed(decoder.decode(bytes, {stream: true}));
  assert.ok(events.every(event => event.event === undefined));
  assert.equal(events.at(-1).data, '[DONE]');
  const text = events.slice(0, -1).map(({data}) => JSON.parse(data).choices[0]?.delta.content ?? '').join('');
  assert.equal(text, story.text);
});
