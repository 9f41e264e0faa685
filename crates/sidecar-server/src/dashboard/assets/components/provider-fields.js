// The fields of a provider: how each is shown, read, filled in and checked.

import { keyError, nameError, parseJson, urlError } from '../checks.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { t } from '../i18n.js';
import { field, input, numberInput, select, toggle, wholeNumber } from './field.js';
import { icon } from './icons.js';
import { mappingEditor } from './mapping-editor.js';
import { choose, chosen, segmented } from './segmented.js';

const APIS = [
  'openai-completions',
  'openai-responses',
  'anthropic-messages',
  'google-generative-ai',
];
const TIMEOUTS = ['timeout_seconds', 'first_token_timeout_seconds', 'idle_timeout_seconds'];
const MOST_RPM = 1_000_000;
const MOST_SECONDS = 3_600;

/** What a provider is if nobody says otherwise. */
export const BLANK = {
  name: '',
  label: null,
  api_base_url: '',
  api: 'openai-completions',
  pool: 'primary',
  enabled: true,
  rpm_limit: null,
  limit_shape: 'window',
  burst: null,
  account: null,
  timeout_seconds: 600,
  first_token_timeout_seconds: 60,
  idle_timeout_seconds: 60,
  drain: false,
  http2: false,
  model_mappings: {},
  metadata: {},
};

/**
 * Fields that begin with `start`. `keyHint` stands at the key, `rate` is the limit in force,
 * `others` are names that are taken, `needsKey(url)` says whether a key has to be given, `changed`
 * is called when the mappings change by a button. Gives `{fields, key, mappings, parts}`: `fields`
 * are `{slot, get, set, check}` by name, of which only `get` and `set` are always there.
 */
export function providerFields({ start, isNew, keyHint, rate, others, needsKey, changed }) {
  const mappings = mappingEditor(start.model_mappings, changed);
  const fields = {
    name: line('name', start.name, { required: true, maxlength: 64 }),
    label: optionalLine('label', start.label, { maxlength: 200 }),
    api_base_url: line('api_base_url', start.api_base_url, {
      type: 'url',
      class: 'code',
      required: true,
      placeholder: 'https://api.example.com/v1',
    }),
    api: choice('api', APIS, start.api),
    pool: radio('pool', ['primary', 'fallback'], start.pool),
    enabled: flag('enabled', start.enabled),
    rpm_limit: limit('rpm_limit', start.rpm_limit, rate),
    limit_shape: radio('limit_shape', ['window', 'smooth'], start.limit_shape),
    burst: limit('burst', start.burst),
    account: optionalLine('account', start.account, { maxlength: 64 }),
    ...Object.fromEntries(TIMEOUTS.map((name) => [name, seconds(name, start[name])])),
    drain: flag('drain', start.drain),
    http2: flag('http2', start.http2),
    model_mappings: { get: mappings.value, set: mappings.setValue },
    metadata: json('metadata', start.metadata),
  };
  const { name, api_base_url: url, limit_shape: shape, burst } = fields;
  name.check = () => nameError(name.get(), others);
  url.check = () => urlError(url.get());
  const ofBurst = burst.check;
  burst.check = () => (shape.get() === 'smooth' ? ofBurst() : '');
  const key = keyField(keyHint, () => needsKey(url.get()));
  return { fields, key, mappings, parts: parts({ ...fields, key }, mappings, isNew) };
}

function parts(all, mappings, isNew) {
  const node = (name) => all[name].node;
  return [
    part(
      t('form.basics'),
      null,
      h('div.fields.two', {}, ['name', 'label', 'api_base_url', 'key', 'api', 'pool'].map(node)),
      isNew && node('enabled'),
    ),
    part(t('form.models'), t('form.models_lead'), mappings.node),
    part(
      t('form.limits'),
      t('form.limits_lead'),
      h('div.fields.two', {}, ['rpm_limit', 'account', 'limit_shape', 'burst'].map(node)),
    ),
    h(
      'details.panel.part',
      {},
      h(
        'summary',
        {},
        h('h2', {}, t('form.more')),
        h('span.muted', {}, t('form.more_lead')),
        icon('down'),
      ),
      h(
        'div.part-body',
        {},
        h('div.fields.three', {}, TIMEOUTS.map(node)),
        h('div.field', {}, node('drain'), h('p.hint', {}, t('hint.drain'))),
        h('div.field', {}, node('http2'), h('p.hint', {}, t('hint.http2'))),
        node('metadata'),
      ),
    ),
  ];
}

function part(title, lead, ...content) {
  return h('section.panel.part', {}, h('h2', {}, title), lead && h('p.muted', {}, lead), content);
}

const HINTED = new Set(['label', 'api_base_url', 'rpm_limit', 'burst', 'account', ...TIMEOUTS]);

function slotOf(name, control, more = {}) {
  const hint = HINTED.has(name) ? t(`hint.${name}`) : undefined;
  return field({
    label: t(`field.${name}`),
    hint,
    control,
    wide: name === 'api_base_url',
    ...more,
  });
}

function line(name, start, attrs) {
  const slot = slotOf(name, input({ value: start ?? '', ...attrs }));
  return {
    slot,
    node: slot.node,
    get: () => slot.control.value.trim(),
    set: (to) => (slot.control.value = to ?? ''),
  };
}

function optionalLine(name, start, attrs) {
  const made = line(name, start, attrs);
  return { ...made, get: () => made.get() || null };
}

function choice(name, options, start) {
  const named = options.map((one) => [one, t(`${name}.${one}`)]);
  const slot = slotOf(name, select(named, start));
  return {
    slot,
    node: slot.node,
    get: () => slot.control.value,
    set: (to) => (slot.control.value = to),
  };
}

function radio(name, options, start) {
  const words = name === 'limit_shape' ? 'shape' : name;
  const named = options.map((one) => [one, t(`${words}.${one}`)]);
  const group = segmented(t(`field.${name}`), named, start);
  const label = h('span.label', {}, t(`field.${name}`));
  const node = h('div.field', {}, label, group, h('p.hint', {}, t(`hint.${name}`)));
  return { node, get: () => chosen(group), set: (to) => choose(group, to) };
}

function flag(name, start) {
  const node = toggle({ label: t(`field.${name}`), checked: start });
  const box = node.querySelector('input');
  return { node, get: () => box.checked, set: (to) => (box.checked = to) };
}

function limit(name, start, rate) {
  const placeholder = rate && !start ? String(rate) : '';
  const slot = slotOf(name, numberInput({ value: start ?? '', placeholder }));
  const text = () => slot.control.value.trim();
  const number = () => wholeNumber(text(), 1, MOST_RPM);
  return {
    slot,
    node: slot.node,
    get: () => (text() === '' ? null : (number() ?? NaN)),
    set: (to) => (slot.control.value = to ?? ''),
    check: () => (text() !== '' && number() === undefined ? rangeText(MOST_RPM) : ''),
  };
}

function seconds(name, start) {
  const slot = slotOf(name, numberInput({ value: start }), { suffix: 's' });
  const get = () => wholeNumber(slot.control.value, 1, MOST_SECONDS);
  return {
    slot,
    node: slot.node,
    get,
    set: (to) => (slot.control.value = to),
    check: () => (get() === undefined ? rangeText(MOST_SECONDS) : ''),
  };
}

function json(name, start) {
  const control = h('textarea.code', { rows: 4, spellcheck: 'false' });
  const slot = slotOf(name, control, { wide: true, hint: t(`hint.${name}`) });
  const set = (to) => {
    control.value = Object.keys(to).length > 0 ? JSON.stringify(to, null, 2) : '';
  };
  const parsed = () => parseJson(control.value.trim() || '{}');
  set(start);
  return {
    slot,
    node: slot.node,
    get: () => parsed().value,
    set,
    check() {
      const { value, error } = parsed();
      if (error) return error;
      const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
      return isObject ? '' : t('check.object');
    },
  };
}

// It is never filled in: what is stored does not leave the server.
function keyField(hint, isNeeded) {
  const control = input({
    type: 'password',
    class: 'code',
    autocomplete: 'new-password',
    name: 'provider-key',
  });
  const slot = slotOf('api_key', control, { wide: true, hint });
  return {
    slot,
    node: slot.node,
    get: () => control.value,
    check: () => keyError(control.value, isNeeded()),
  };
}

function rangeText(max) {
  return t('check.range', { min: 1, max: count(max) });
}
