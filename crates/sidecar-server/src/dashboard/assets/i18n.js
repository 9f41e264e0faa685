// Words in the language of the reader.

import { en } from './lang/en.js';
import { zh } from './lang/zh.js';

const DICTIONARIES = { en, zh };
const KEPT = 'sidecar.language';

/** The languages there are, each by its own name. */
export const LANGUAGES = [
  ['en', 'English'],
  ['zh', '中文'],
];

let current = chosen();
let plurals = new Intl.PluralRules(current);
document.documentElement.lang = tag();

/** The language in use: `en` or `zh`. */
export function language() {
  return current;
}

/** The same as a tag for `Intl` and for the page. */
export function tag() {
  return current === 'zh' ? 'zh-CN' : 'en';
}

/** Uses `name` from now on, and the next time too. */
export function setLanguage(name) {
  if (!DICTIONARIES[name]) return;
  current = name;
  plurals = new Intl.PluralRules(current);
  document.documentElement.lang = tag();
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // Without storage it holds for this page.
  }
}

/** The text of `key`, with `{name}` replaced by `params.name`. `params.n` chooses the number. */
export function t(key, params = {}) {
  return fill(text(key, params), params).join('');
}

/** The same as a list in which a parameter may be a node. */
export function tx(key, params) {
  return fill(text(key, params), params);
}

/** Whether there is a text of `key`. */
export function has(key) {
  return key in DICTIONARIES[current] || key in en;
}

/** The text of `prefix.word`, or `word` itself if the server knows words that this page does not. */
export function word(prefix, name) {
  const key = `${prefix}.${name}`;
  return has(key) ? t(key) : String(name);
}

function text(key, params) {
  const found = DICTIONARIES[current][key] ?? en[key] ?? key;
  if (typeof found === 'string') return found;
  return found[plurals.select(Number(params.n ?? 0))] ?? found.other;
}

function fill(text, params) {
  // Every second piece is a name.
  return text.split(/\{(\w+)\}/).map((piece, at) => (at % 2 ? (params[piece] ?? '') : piece));
}

function chosen() {
  try {
    const kept = localStorage.getItem(KEPT);
    if (DICTIONARIES[kept]) return kept;
  } catch {
    // The browser's own choice will do.
  }
  const wanted = navigator.languages ?? [navigator.language];
  const known = wanted.map((name) => name.slice(0, 2)).find((name) => DICTIONARIES[name]);
  return known ?? 'en';
}
