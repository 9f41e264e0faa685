// The servers and providers, which ../serve.py runs, and what all checks need.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const WORDS = ['Hello', ' there', ',', ' world.'];
export const TEXT = WORDS.join('');
export const ARGUMENTS = { city: 'Z\u00fcrich' };
export const PROMPT = [{ role: 'user', content: 'Say hello.' }];
export const SCHEMA = { type: 'object', properties: { city: { type: 'string' } } };
/** What cuts a stream after its first word. */
export const CUTS = ['cut', 'cut-line', 'cut-long', 'end', 'stall', 'fail'];

export class Rig {
  /** Starts everything; `server` is the path of the sidecar-server program. */
  static async start(server) {
    const run = fileURLToPath(new URL('../run.py', import.meta.url));
    const rig = new Rig();
    rig.child = spawn('python3', [run, '--server', server, '--serve'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    rig.lines = createInterface({ input: rig.child.stdout })[Symbol.asyncIterator]();
    Object.assign(rig, await rig.answer());
    return rig;
  }

  /** Has a command done, see ../serve.py. */
  async ask(...command) {
    this.child.stdin.write(`${JSON.stringify(command)}\n`);
    const answer = await this.answer();
    if (answer?.error) throw new Error(answer.error);
    return answer;
  }

  async answer() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the rig has ended');
    return JSON.parse(value);
  }

  async stop() {
    this.child.stdin.end();
    await once(this.child, 'exit');
  }

  /** Runs `act` under another value of a setting. */
  async setting(key, value, act) {
    await this.ask('set', key, value);
    try {
      return await act();
    } finally {
      await this.ask('unset', key);
    }
  }

  /** The refusals that every client is to read: status, code, and what to do to meet it. `send`
   * sends a request of `{model, key, url, headers, prompt}`, of which all but the model may be
   * left out; `provider` serves `model`, and one that takes a request a second serves `slow`. */
  refusals(provider, model, slow, send) {
    const keyed = (limits) => async () => send({ model, key: await this.ask('caller', limits) });
    const behaving = (behaviour) => async () => {
      for (const name of [provider, 'fallback']) await this.ask('behave', name, behaviour);
      return send({ model });
    };
    const limited = async () => {
      const key = await this.ask('caller', { rpm: 1 });
      await send({ model, key });
      return send({ model, key });
    };
    const crowded = () =>
      this.setting('queue_max_depth', 0, async () => {
        await send({ model: slow });
        return send({ model: slow });
      });
    const large = () =>
      this.setting('max_body_bytes', 1024, () => send({ model, prompt: 'x'.repeat(8_000_000) }));
    const late = async () => {
      await this.ask('behave', provider, 'hang');
      return send({ model, headers: { 'x-sidecar-deadline-ms': '300' } });
    };
    const badDeadline = { 'x-sidecar-deadline-ms': 'soon' };
    return {
      bad_deadline: [400, 'invalid_request', () => send({ model, headers: badDeadline })],
      bad_model: [400, 'invalid_body_model', () => send({ model: '' })],
      callers_fault: [400, 'scripted_400', behaving(400)],
      wrong_key: [401, 'invalid_api_key', () => send({ model, key: this.wrongKey })],
      no_key: [401, 'invalid_api_key', () => send({ model, url: this.closed })],
      caller_disabled: [403, 'caller_disabled', keyed({ enabled: false })],
      unknown_model: [404, 'model_not_found', () => send({ model: 'nowhere' })],
      body_too_large: [413, 'body_too_large', large],
      caller_limit: [429, 'caller_limit', limited],
      exhaustion: [503, 'all_pools_exhausted', behaving(429)],
      overloaded: [503, 'overloaded', crowded],
      upstream_timeout: [504, 'upstream_timeout', late],
    };
  }
}

/** The error that `act` throws. */
export async function thrown(act) {
  try {
    await act();
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'no error' });
}

/** The texts of what a stream yields, and the error that ends it, if one does. */
export async function pieces(open, textOf) {
  const texts = [];
  let error;
  try {
    for await (const item of await open()) {
      const text = textOf(item);
      if (text) texts.push(text);
    }
  } catch (thrown) {
    error = thrown;
  }
  return { texts, error };
}

/** That an error is not about a text that could not be read. */
export function isNoParseFailure(error) {
  for (let cause = error; cause; cause = cause.cause) {
    const name = `${cause.name}`;
    assert.ok(
      !(cause instanceof SyntaxError) && !/JSONParse|TypeValidation|ZodError/.test(name),
      `${name}: ${`${cause.message}`.slice(0, 300)}`,
    );
  }
}
