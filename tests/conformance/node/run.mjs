// Drives the clients of the npm registry against the real server and scripted providers:
//
//     cd tests/conformance/node
//     npm ci
//     node run.mjs ../../../target/release/sidecar-server [WORD...]
//
// Needs Node 20 or newer, and Python 3 for the providers, which it shares with ../run.py. With
// words it makes only the checks whose names have one of them. Prints a line for each check and
// closes with `N passed, M failed`; exits 1 if any failed.
//
// The versions are pinned. package-lock.json names no registry: change it with
// `npm install --omit-lockfile-registry-resolved`.

import assert from 'node:assert/strict';
import { Rig } from './rig.mjs';
import * as ai from './ai.mjs';
import * as anthropic from './anthropic.mjs';
import * as langchain from './langchain.mjs';
import * as openai from './openai.mjs';

const [server, ...words] = process.argv.slice(2);
if (!server) {
  console.error('usage: node run.mjs SERVER [WORD...]');
  process.exit(2);
}

const rig = await Rig.start(server);
let passed = 0;
let failed = 0;
try {
  for (const [client, module] of Object.entries({ openai, anthropic, ai, langchain })) {
    for (const [name, check] of module.checks(rig)) {
      const full = `${client}: ${name}`;
      if (words.length > 0 && !words.some((word) => full.includes(word))) continue;
      try {
        await rig.ask('reset');
        await within(20, check());
        assert.deepEqual(await rig.ask('leaks'), []);
        passed += 1;
        console.log(`ok ${full}`);
      } catch (error) {
        failed += 1;
        console.log(`failed ${full}\n${error?.stack ?? error}`);
      }
    }
  }
} finally {
  await rig.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** What `promise` gives, or an error after so many seconds. */
async function within(seconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
