// LangChain with the provider of OpenAI.

import assert from 'node:assert/strict';
import { ChatOpenAI } from '@langchain/openai';
import { ARGUMENTS, SCHEMA, TEXT, WORDS, isNoParseFailure, pieces, thrown } from './rig.mjs';

const PROMPT = 'Say hello.';
const tool = { name: 'weather', description: 'Tells the weather.', parameters: SCHEMA };

export function* checks(rig) {
  const chat = ({ model = 'llama', key = rig.key, url = rig.url, headers, ...options } = {}) => {
    const configuration = { baseURL: `${url}/v1`, defaultHeaders: headers };
    return new ChatOpenAI({ model, apiKey: key, configuration, maxRetries: 0, ...options });
  };
  const kinds = {
    chat: ['primary', chat()],
    responses: ['gpt', chat({ model: 'gpt', useResponsesApi: true })],
  };
  for (const [kind, [provider, model]] of Object.entries(kinds)) {
    const open = () => model.stream(PROMPT);
    const textOf = (chunk) => chunk.text;
    yield [`${kind}_invoke`, async () => {
      const answer = await model.invoke(PROMPT);
      assert.deepEqual([answer.text, answer.usage_metadata.total_tokens], [TEXT, 11]);
    }];
    yield [`${kind}_stream`, async () => {
      assert.deepEqual(await pieces(open, textOf), { texts: WORDS, error: undefined });
    }];
    yield [`${kind}_stream_tools`, async () => {
      const bound = model.bindTools([{ type: 'function', function: tool }]);
      let total;
      for await (const chunk of await bound.stream(PROMPT))
        total = total ? total.concat(chunk) : chunk;
      assert.deepEqual(total.tool_calls[0].args, ARGUMENTS);
    }];
    for (const behaviour of ['cut', 'stall', 'fail']) {
      yield [`${kind}_stream_${behaviour}`, async () => {
        await rig.ask('behave', provider, behaviour);
        const { texts, error } = await pieces(open, textOf);
        assert.ok(error, 'a cut stream passes for a whole one');
        isNoParseFailure(error);
        assert.deepEqual(texts, WORDS.slice(0, 1));
      }];
    }
  }
  const send = ({ prompt = PROMPT, ...options }) => chat(options).invoke(prompt);
  const refusals = rig.refusals('primary', 'llama', 'slow', send);
  for (const [name, [status, code, act]] of Object.entries(refusals)) {
    yield [name, async () => {
      const error = await thrown(act);
      assert.deepEqual([error.status, error.code], [status, code], `${error}`);
    }];
  }
}
