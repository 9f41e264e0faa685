// The live state: a snapshot, then merge patches, over one event stream.

import { get } from './api.js';

const STALE_AFTER = 12_000;
const KEPT_SAMPLES = 300;
const EVENTS = ['snapshot', 'change', 'tick'];

let source = null;
let state = null;
let heardAt = 0;
let clockOffset = 0;
let startedAt = 0;
let retry = 0;
let retryTimer = 0;
let samples = [];
let toldAt = 0;
const listeners = new Set();

setInterval(() => {
  if (source || retryTimer) sample();
  // A change that came in just now has been told with the time.
  if (!document.hidden && performance.now() - toldAt > 900) tell();
}, 1000);
document.addEventListener('visibilitychange', () => !document.hidden && tell());

/** The state as it is known, or `null`. Members that are not set are missing. */
export const current = () => state;

/** The time at the server, in milliseconds since 1970. */
export const now = () => Date.now() + clockOffset;

/** How long the server has run, in seconds. */
export const uptime = () => (now() - startedAt) / 1000;

/** What was seen in the last minutes, second by second. */
export const history = () => samples;

/** Calls `listener` once a second and whenever something changes. Gives what stops that. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** How fresh the state is: `connecting`, `live`, `reconnecting` or `stale`, and its age in seconds. */
export function freshness() {
  const age = Math.floor((performance.now() - heardAt) / 1000);
  if (!state) return { kind: retry > 0 ? 'reconnecting' : 'connecting', age: 0 };
  if (performance.now() - heardAt > STALE_AFTER) return { kind: 'stale', age };
  const isOpen = source?.readyState === EventSource.OPEN;
  return { kind: isOpen ? 'live' : 'reconnecting', age };
}

/** Connects, if it is not connected. */
export function start() {
  if (source) return;
  clearTimeout(retryTimer);
  retryTimer = 0;
  source = new EventSource('/dashboard/sse');
  for (const name of EVENTS) source.addEventListener(name, hear);
  source.addEventListener('error', failed);
}

/** Disconnects. With `forget` nothing that was seen is kept. */
export function stop(forget) {
  clearTimeout(retryTimer);
  retryTimer = 0;
  retry = 0;
  source?.close();
  source = null;
  if (forget) {
    state = null;
    samples = [];
  }
}

function hear(event) {
  let data;
  try {
    data = JSON.parse(event.data);
  } catch {
    return;
  }
  heardAt = performance.now();
  retry = 0;
  if (event.type === 'snapshot') {
    state = data;
    clockOffset = (Date.parse(data.time) || Date.now()) - Date.now();
    startedAt = now() - (data.uptime_seconds ?? 0) * 1000;
  } else if (event.type === 'change' && state) {
    state = merge(state, data);
  }
  if (event.type !== 'tick') tell();
}

// A lost connection is tried again by the browser; a refusal (session over, too many windows) is
// not, so that is seen to here.
function failed() {
  tell();
  if (source?.readyState !== EventSource.CLOSED) return;
  source = null;
  retry += 1;
  const wait = Math.min(30_000, 1000 * 2 ** (retry - 1));
  get('/session').catch(() => null);
  retryTimer = setTimeout(start, wait);
}

function sample() {
  const { kind } = freshness();
  const isKnown = state && kind !== 'stale';
  samples.push({
    at: now(),
    requests: isKnown ? (state.requests_per_minute ?? 0) : null,
    errors: isKnown ? (state.errors_per_minute ?? 0) : null,
  });
  if (samples.length > KEPT_SAMPLES) samples.splice(0, samples.length - KEPT_SAMPLES);
}

/** RFC 7396. Makes new objects where something changes, so that old ones can be compared. */
function merge(target, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const isObject = target !== null && typeof target === 'object' && !Array.isArray(target);
  const merged = new Map(isObject ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, merge(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

function tell() {
  toldAt = performance.now();
  for (const listener of [...listeners]) listener();
}
