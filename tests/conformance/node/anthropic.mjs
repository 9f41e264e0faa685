// The official Anthropic SDK.

import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { ARGUMENTS, CUTS, PROMPT, SCHEMA, TEXT, WORDS } from './rig.mjs';
import { isNoParseFailure, pieces, thrown } from './rig.mjs';

const tools = [{ name: 'weather', description: 'Tells the weather.', input_schema: SCHEMA }];

export function* checks(rig) {
  const connect = ({ key = rig.key, url = rig.url, headers } = {}) =>
    new Anthropic({ apiKey: key, baseURL: url, defaultHeaders: headers, maxRetries: 0 });
  const client = connect();
  const ask = { model: 'claude', max_tokens: 64, messages: PROMPT };

  yield ['message', async () => {
    const answer = await client.messages.create(ask);
    assert.deepEqual([answer.content[0].text, answer.usage.output_tokens], [TEXT, 4]);
  }];
  yield ['message_tools', async () => {
    const answer = await client.messages.create({ ...ask, tools });
    assert.deepEqual(answer.content[0].input, ARGUMENTS);
  }];
  yield ['stream_helper_tools', async () => {
    const answer = await client.messages.stream({ ...ask, tools }).finalMessage();
    assert.deepEqual(answer.content[0].input, ARGUMENTS);
  }];

  const streams = {
    stream: () => client.messages.create({ ...ask, stream: true }),
    stream_helper: () => whole(client.messages.stream(ask)),
  };
  const textOf = (event) => event.delta?.text;
  for (const [kind, open] of Object.entries(streams)) {
    yield [kind, async () => {
      assert.deepEqual(await pieces(open, textOf), { texts: WORDS, error: undefined });
    }];
    for (const behaviour of CUTS) {
      yield [`${kind}_${behaviour}`, async () => {
        await rig.ask('behave', 'claude', behaviour);
        const { texts, error } = await pieces(open, textOf);
        assert.ok(error, 'a cut stream passes for a whole one');
        isNoParseFailure(error);
        assert.deepEqual(texts, WORDS.slice(0, 1));
        // Where a line is cut no place is left for an error event.
        if (behaviour === 'cut-long') return;
        assert.ok(error instanceof Anthropic.APIError, `${error}`);
        assert.equal(error.error.error.type, 'api_error');
      }];
    }
  }

  const send = ({ model, prompt = 'Say hello.', ...options }) => {
    const messages = [{ role: 'user', content: prompt }];
    return connect(options).messages.create({ ...ask, model, messages });
  };
  const refusals = rig.refusals('claude', 'claude', 'slow-claude', send);
  for (const [name, [status, , act]] of Object.entries(refusals)) {
    yield [name, async () => {
      const error = await thrown(act);
      assert.ok(error instanceof Anthropic.APIError, `${error}`);
      assert.deepEqual([error.status, error.error.type], [status, 'error']);
      assert.ok(error.headers.get('x-request-id'), 'no x-request-id');
    }];
  }
}

/** All of a stream that the SDK gathers, and that it is whole. */
async function* whole(stream) {
  yield* stream;
  assert.equal((await stream.finalMessage()).stop_reason, 'end_turn');
}
