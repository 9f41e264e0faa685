// The AI SDK of Vercel with the providers of OpenAI, of what is compatible with it, and of
// Anthropic.

import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, generateText, jsonSchema, streamText, tool } from 'ai';
import { ARGUMENTS, CUTS, SCHEMA, TEXT, WORDS, isNoParseFailure, thrown } from './rig.mjs';

const tools = {
  weather: tool({ description: 'Tells the weather.', inputSchema: jsonSchema(SCHEMA) }),
};
const usual = { prompt: 'Say hello.', maxRetries: 0 };

export function* checks(rig) {
  const settings = ({ key = rig.key, url = rig.url, headers } = {}) => {
    return { apiKey: key, baseURL: `${url}/v1`, headers };
  };
  const openai = (options) => createOpenAI(settings(options));
  const compatible = (options) =>
    createOpenAICompatible({ name: 'sidecar', ...settings(options) });
  const anthropic = (options) => createAnthropic(settings(options));
  // The provider, its model, that of the slow provider of the family, and how a model is made.
  const kinds = {
    chat: ['primary', 'llama', 'slow', (model, options) => openai(options).chat(model)],
    compatible: ['primary', 'llama', 'slow', (model, options) => compatible(options)(model)],
    responses: ['gpt', 'gpt', undefined, (model, options) => openai(options).responses(model)],
    claude: ['claude', 'claude', 'slow-claude', (model, options) => anthropic(options)(model)],
  };

  yield ['embedding', async () => {
    const model = openai().embeddingModel('llama');
    assert.deepEqual((await embed({ model, value: 'one' })).embedding, [0.5, -0.25, 0.125]);
  }];
  for (const [kind, [provider, name, slow, of]] of Object.entries(kinds)) {
    const model = of(name);
    yield [`${kind}_whole`, async () => {
      const answer = await generateText({ ...usual, model });
      assert.deepEqual([answer.text, answer.usage.totalTokens], [TEXT, 11]);
    }];
    yield [`${kind}_stream`, async () => {
      const { texts, errors, reason } = await read({ model });
      assert.deepEqual([texts, errors, reason], [WORDS, [], 'stop']);
    }];
    yield [`${kind}_tools`, async () => {
      const [call] = (await generateText({ ...usual, model, tools })).toolCalls;
      assert.deepEqual(call.input, ARGUMENTS);
    }];
    yield [`${kind}_stream_tools`, async () => {
      const { errors, calls } = await read({ model, tools });
      assert.deepEqual([errors, calls[0].input], [[], ARGUMENTS]);
    }];
    for (const behaviour of CUTS) {
      yield [`${kind}_stream_${behaviour}`, async () => {
        await rig.ask('behave', provider, behaviour);
        const { texts, errors } = await read({ model });
        assert.ok(errors.length > 0, 'a cut stream passes for a whole one');
        errors.forEach(isNoParseFailure);
        assert.deepEqual(texts, WORDS.slice(0, 1));
      }];
    }
    // Of the errors before an answer the shape is that of the others of the family.
    if (kind === 'responses') continue;
    const send = ({ model, prompt = usual.prompt, ...options }) =>
      generateText({ ...usual, prompt, model: of(model, options) });
    const refusals = rig.refusals(provider, name, slow, send);
    for (const [refusal, [status, code, act]] of Object.entries(refusals)) {
      yield [`${kind}_${refusal}`, async () => {
        const error = await thrown(act);
        assert.ok(APICallError.isInstance(error), `${error}`);
        assert.equal(error.statusCode, status);
        // What it could read of the body; without it there is none.
        assert.ok(error.data?.error.message, 'the body is not read');
        if (kind !== 'claude') assert.equal(error.data.error.code, code);
      }];
    }
  }
}

/** What a stream of text comes to. */
async function read(options) {
  const [texts, errors, calls] = [[], [], []];
  let reason;
  try {
    for await (const part of streamText({ ...usual, ...options, onError() {} }).fullStream) {
      if (part.type === 'text-delta') texts.push(part.text);
      if (part.type === 'error') errors.push(part.error);
      if (part.type === 'tool-call') calls.push(part);
      if (part.type === 'finish') reason = part.finishReason;
    }
  } catch (error) {
    errors.push(error);
  }
  return { texts, errors, reason, calls };
}
