// What can be said about a value while it is typed. The server has the last word.

import { t } from './i18n.js';

const MOST_MODELS = 1_000;
const MAPPING_FIELDS = [
  'native_id',
  'reasoning',
  'reasoning_effort',
  'input_modalities',
  'cost',
  'cost_per_mtok',
  'context_window',
  'max_tokens',
  'compat',
  'stream_usage',
];
const COST_FIELDS = ['input', 'output', 'cacheRead', 'cacheWrite'];
const STREAM_USAGE = ['native', 'inject', 'forbid'];
const MOST_U32 = 4_294_967_295;

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** What is wrong with the name of a provider or a caller. */
export function nameError(name, others) {
  if (!name) return t('check.required');
  if ([...name].length > 64) return t('check.longest', { n: 64 });
  if (CONTROL.test(name)) return t('check.control');
  return others.includes(name) ? t('check.taken') : '';
}

/** What is wrong with a base URL. */
export function urlError(text) {
  if (!text) return t('check.required');
  if (/[^\x21-\x7e]/.test(text)) return t('check.url_characters');
  if (!/^https?:\/\//i.test(text)) return t('check.url_scheme');
  if (/[?#]/.test(text)) return t('check.url_query');
  const authority = text.replace(/^https?:\/\//i, '').split('/')[0];
  if (authority.includes('@')) return t('check.url_user');
  if (!authority || !URL.canParse(text)) return t('check.url_host');
  if (/\/chat\/completions\/?$|\/messages\/?$/.test(text)) return t('check.url_path');
  return '';
}

/** The origin of a base URL, as far as it can be told. */
export function originOf(text) {
  return URL.canParse(text) ? new URL(text).origin : text;
}

/** What is wrong with a key. */
export function keyError(key, isNeeded) {
  if (!key) return isNeeded ? t('check.key_required') : '';
  if (key.includes('****')) return t('check.key_masked');
  if (key.length > 4096 || /[^\x20-\x7e]/.test(key)) return t('check.key_characters');
  return '';
}

/** What is wrong with the name of a model. */
export function modelError(name) {
  const size = new TextEncoder().encode(name).length;
  if (size === 0) return t('check.required');
  return size > 256 || CONTROL.test(name) ? t('check.model_name') : '';
}

/** A text as JSON: `{value}`, or `{error}` with the place. */
export function parseJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const found =
      /position (\d+)/.exec(error.message) ?? /line (\d+) column (\d+)/.exec(error.message);
    const before = found && found.length === 2 ? text.slice(0, Number(found[1])).split('\n') : null;
    const line = before ? before.length : found?.[1];
    const column = before ? before.at(-1).length + 1 : found?.[2];
    return { error: line ? t('check.json_at', { line, column }) : t('check.json') };
  }
}

/** What is wrong with an object of mappings, as `[path, text]`. */
export function mappingErrors(mappings) {
  if (!isObject(mappings)) return [['', t('check.object')]];
  const names = Object.keys(mappings);
  const errors =
    names.length > MOST_MODELS ? [['', t('check.most_models', { n: MOST_MODELS })]] : [];
  for (const name of names) {
    errors.push(
      ...mappingError(name, mappings[name]).map(([field, text]) => [
        [name, field].filter(Boolean).join(' › '),
        text,
      ]),
    );
  }
  return errors;
}

/** What is wrong with one mapping, as `[field, text]`. */
export function mappingError(name, mapping) {
  const errors = [];
  const wrong = (field, text) => errors.push([field, text]);
  const nameText = modelError(name);
  if (nameText) wrong('', nameText);
  if (!isObject(mapping)) return [...errors, ['', t('check.object')]];
  for (const field of Object.keys(mapping)) {
    if (!MAPPING_FIELDS.includes(field)) wrong(field, t('check.unknown_field'));
  }
  const {
    native_id: native,
    reasoning,
    input_modalities: modalities,
    stream_usage: usage,
  } = mapping;
  if (isSet(native)) {
    if (typeof native !== 'string') wrong('native_id', t('check.text'));
    else if (modelError(native)) wrong('native_id', modelError(native));
    else if (name === '*' && native !== '*') wrong('native_id', t('check.any_model'));
  }
  if (reasoning !== undefined && typeof reasoning !== 'boolean')
    wrong('reasoning', t('check.boolean'));
  if (
    modalities !== undefined &&
    !(Array.isArray(modalities) && modalities.every((one) => typeof one === 'string'))
  )
    wrong('input_modalities', t('check.texts'));
  if (usage !== undefined && !STREAM_USAGE.includes(usage))
    wrong('stream_usage', t('check.one_of', { options: STREAM_USAGE.join(', ') }));
  for (const field of ['context_window', 'max_tokens']) {
    const value = mapping[field];
    if (isSet(value) && !(Number.isInteger(value) && value >= 0 && value <= MOST_U32))
      wrong(field, t('check.whole'));
  }
  if (isSet(mapping.cost) && isSet(mapping.cost_per_mtok)) wrong('cost', t('check.two_costs'));
  for (const [field, most] of [
    ['cost', 1],
    ['cost_per_mtok', 1_000_000],
  ]) {
    const cost = mapping[field];
    if (!isSet(cost)) continue;
    if (!isObject(cost)) {
      wrong(field, t('check.object'));
      continue;
    }
    for (const [part, price] of Object.entries(cost)) {
      if (!COST_FIELDS.includes(part)) wrong(`${field}.${part}`, t('check.unknown_field'));
      else if (isSet(price) && !(typeof price === 'number' && price >= 0 && price <= most))
        wrong(`${field}.${part}`, t(`check.${field}`));
    }
  }
  return errors;
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function isSet(value) {
  return value !== undefined && value !== null;
}
