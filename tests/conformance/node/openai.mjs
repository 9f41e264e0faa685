// The official OpenAI SDK.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { ARGUMENTS, CUTS, PROMPT, SCHEMA, TEXT, WORDS } from './rig.mjs';
import { isNoParseFailure, pieces, thrown } from './rig.mjs';

const tool = { name: 'weather', description: 'Tells the weather.', parameters: SCHEMA };
const tools = [{ type: 'function', function: tool }];
const responseTools = [{ type: 'function', ...tool, strict: false }];

export function* checks(rig) {
  const connect = ({ key = rig.key, url = rig.url, headers } = {}) =>
    new OpenAI({ apiKey: key, baseURL: `${url}/v1`, defaultHeaders: headers, maxRetries: 0 });
  const client = connect();
  const chat = (options) =>
    client.chat.completions.create({ model: 'llama', messages: PROMPT, ...options });
  const respond = (options) =>
    client.responses.create({ model: 'gpt', input: 'Say hello.', ...options });

  yield ['chat', async () => {
    const answer = await chat();
    assert.equal(answer.choices[0].message.content, TEXT);
    assert.equal(answer.usage.total_tokens, 11);
  }];
  yield ['chat_tools', async () => {
    const [call] = (await chat({ tools })).choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), ARGUMENTS);
  }];
  yield ['chat_stream_helper', async () => {
    const stream = client.chat.completions.stream({ model: 'llama', messages: PROMPT, tools });
    const [call] = (await stream.finalMessage()).tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), ARGUMENTS);
  }];
  yield ['chat_stream_usage', async () => {
    const usages = [];
    for await (const chunk of await chat({ stream: true, stream_options: { include_usage: true } }))
      usages.push(chunk.usage?.total_tokens);
    assert.equal(usages.at(-1), 11);
  }];
  yield ['responses', async () => assert.equal((await respond()).output_text, TEXT)];
  yield ['responses_stream_helper', async () => {
    const stream = client.responses.stream({ model: 'gpt', input: '?', tools: responseTools });
    const [call] = (await stream.finalResponse()).output;
    assert.deepEqual(JSON.parse(call.arguments), ARGUMENTS);
  }];
  yield ['embeddings', async () => {
    const answer = await client.embeddings.create({ model: 'llama', input: 'one' });
    assert.deepEqual(answer.data[0].embedding, [0.5, -0.25, 0.125]);
  }];
  yield ['models', async () => {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes('llama'));
  }];

  const stream = true;
  const choiceOf = (chunk) => chunk.choices[0];
  const helped = client.responses.stream.bind(client.responses);
  const streams = {
    chat: ['primary', () => chat({ stream }), (chunk) => choiceOf(chunk)?.delta.content],
    tools: [
      'primary',
      () => chat({ stream, tools }),
      (chunk) => choiceOf(chunk)?.delta.tool_calls && WORDS[0],
    ],
    completion: [
      'primary',
      () => client.completions.create({ model: 'llama', prompt: 'Say hello.', stream }),
      (chunk) => choiceOf(chunk)?.text,
    ],
    responses: ['gpt', () => respond({ stream }), (event) => event.delta],
    responses_helper: [
      'gpt',
      () => whole(helped({ model: 'gpt', input: 'Say hello.' })),
      (event) => event.delta,
    ],
  };
  for (const [kind, [provider, open, textOf]] of Object.entries(streams)) {
    if (kind !== 'tools') {
      yield [`${kind}_stream`, async () => {
        assert.deepEqual(await pieces(open, textOf), { texts: WORDS, error: undefined });
      }];
    }
    for (const behaviour of CUTS) {
      yield [`${kind}_stream_${behaviour}`, async () => {
        await rig.ask('behave', provider, behaviour);
        const { texts, error } = await pieces(open, textOf);
        assert.ok(error, 'a cut stream passes for a whole one');
        isNoParseFailure(error);
        assert.deepEqual(texts, WORDS.slice(0, 1));
      }];
    }
  }
  yield ['careless_chat_stream', async () => {
    await rig.ask('behave', 'primary', 'careless');
    const [, open, textOf] = streams.chat;
    assert.deepEqual((await pieces(open, textOf)).texts.join(''), TEXT);
  }];
  for (const behaviour of ['incomplete', 'failed']) {
    yield [`responses_stream_${behaviour}`, async () => {
      await rig.ask('behave', 'gpt', behaviour);
      const { texts, error } = await pieces(streams.responses[1], (event) => event.type);
      assert.deepEqual([texts.at(-1), error], [`response.${behaviour}`, undefined]);
    }];
  }

  const send = ({ model, prompt = 'Say hello.', ...options }) => {
    const messages = [{ role: 'user', content: prompt }];
    return connect(options).chat.completions.create({ model, messages });
  };
  const refusals = rig.refusals('primary', 'llama', 'slow', send);
  for (const [name, [status, code, act]] of Object.entries(refusals)) {
    yield [name, async () => {
      const error = await thrown(act);
      assert.ok(error instanceof OpenAI.APIError, `${error}`);
      assert.deepEqual([error.status, error.code], [status, code]);
      assert.ok(error.requestID, 'no x-request-id');
    }];
  }
  yield ['exhaustion_is_asked_once', async () => {
    for (const name of ['primary', 'fallback']) await rig.ask('behave', name, 429);
    let sent = 0;
    const counting = (...request) => ((sent += 1), fetch(...request));
    // With the retries that it makes by default.
    const usual = new OpenAI({ apiKey: rig.key, baseURL: `${rig.url}/v1`, fetch: counting });
    const ask = { model: 'llama', messages: PROMPT };
    const error = await thrown(() => usual.chat.completions.create(ask));
    assert.deepEqual([error.status, sent], [503, 1]);
  }];
}

/** All of a stream that the SDK gathers, and that it is whole. */
async function* whole(stream) {
  yield* stream;
  assert.equal((await stream.finalResponse()).status, 'completed');
}
