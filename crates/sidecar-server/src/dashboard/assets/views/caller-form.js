// Adding and editing a caller, and giving it a new key.

import { get, path, post, put } from '../api.js';
import { nameError } from '../checks.js';
import { busy, button, copyButton } from '../components/button.js';
import { openDialog } from '../components/dialog.js';
import { field, input, numberInput, select, toggle, wholeNumber } from '../components/field.js';
import { icon } from '../components/icons.js';
import { failure, toast } from '../components/toast.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { t } from '../i18n.js';

const MOST = { rpm: 1_000_000, concurrency: 65_536, max_rounds: 1_000_000, weight: 100 };
const BUDGETS = ['budget_daily_usd', 'budget_monthly_usd'];
const OVERLAPS = ['0', '3600', '86400', '604800'];
const RESERVED = ['anonymous', '(other)'];
const BLANK = {
  name: '',
  label: null,
  enabled: true,
  rpm: null,
  concurrency: null,
  models: [],
  expires_at: null,
  budget_daily_usd: null,
  budget_monthly_usd: null,
  weight: 1,
  max_rounds: null,
  delivery: 'stream',
};

/** Opens the form for `caller`, or for a new one. `done` is called when something has changed. */
export async function editCaller(caller, all, done) {
  let known = BLANK;
  let etag = null;
  if (caller) {
    try {
      ({ data: known, etag } = await fetchCaller(caller));
    } catch (error) {
      return failure(error);
    }
  }
  return open(caller?.id, known, etag, all, done);
}

// The list has all there is to know; only the tag is missing there.
async function fetchCaller(caller) {
  try {
    return await get(path('callers', caller.id));
  } catch (error) {
    if (error.status === 404 || error.status === 405) return { data: caller, etag: null };
    throw error;
  }
}

function open(id, start, startTag, all, done) {
  let known = start;
  let etag = startTag;
  const others = [...RESERVED, ...all.filter((one) => one.id !== id).map((one) => one.name)];
  const number = (key) =>
    field({
      label: t(`caller.${key}`),
      hint: t(`caller_hint.${key}`),
      control: numberInput({
        value: known[key] ?? '',
        placeholder: key === 'weight' ? '1' : t('caller.no_limit'),
      }),
    });
  const name = field({
    label: t('caller.name'),
    hint: id ? t('caller_hint.name_fixed') : t('caller_hint.name'),
    control: input({ value: known.name, disabled: Boolean(id), maxlength: 64 }),
  });
  const label = field({
    label: t('caller.label'),
    control: input({ value: known.label ?? '', maxlength: 200 }),
  });
  const numbers = Object.fromEntries(Object.keys(MOST).map((key) => [key, number(key)]));
  const budgets = Object.fromEntries(
    BUDGETS.map((key) => [
      key,
      field({
        label: t(`caller.${key}`),
        hint: t(`caller_hint.${key}`),
        suffix: 'USD',
        control: numberInput({
          inputmode: 'decimal',
          value: known[key] ?? '',
          placeholder: t('caller.no_limit'),
        }),
      }),
    ]),
  );
  const models = field({
    label: t('caller.models'),
    hint: t('caller_hint.models'),
    wide: true,
    control: h('textarea.code', {
      rows: 3,
      spellcheck: 'false',
      placeholder: 'llama-3.3-70b\nclaude-*',
    }),
  });
  models.control.value = known.models.join('\n');
  const expires = field({
    label: t('caller.expires_at'),
    hint: t('caller_hint.expires_at'),
    control: input({ type: 'datetime-local', value: local(known.expires_at) }),
  });
  const delivery = field({
    label: t('caller.delivery'),
    hint: t('caller_hint.delivery'),
    control: select(
      ['stream', 'complete'].map((one) => [one, t(`delivery.${one}`)]),
      known.delivery,
    ),
  });
  const enabled = toggle({ label: t('caller.enabled'), checked: known.enabled });
  const notice = h('p.notice.warn', { role: 'alert', hidden: true });

  const text = (one) => one.control.value.trim();
  const modelsNow = () =>
    text(models)
      .split(/[\n,]/)
      .map((one) => one.trim())
      .filter(Boolean);
  const slots = { name, label, ...numbers, ...budgets, models, expires_at: expires, delivery };
  const values = () => ({
    name: text(name),
    label: text(label) || null,
    enabled: enabled.querySelector('input').checked,
    ...Object.fromEntries(
      Object.keys(MOST).map((key) => [
        key,
        text(numbers[key]) === ''
          ? key === 'weight'
            ? 1
            : null
          : (wholeNumber(text(numbers[key]), 1, MOST[key]) ?? NaN),
      ]),
    ),
    ...Object.fromEntries(BUDGETS.map((key) => [key, text(budgets[key]) || null])),
    models: modelsNow(),
    // A time that was not touched keeps its seconds.
    expires_at:
      text(expires) === local(known.expires_at)
        ? known.expires_at
        : text(expires)
          ? new Date(text(expires)).toISOString()
          : null,
    delivery: delivery.control.value,
  });
  const check = () => {
    if (!id) name.setError(nameError(text(name), others));
    for (const [key, slot] of Object.entries(numbers)) {
      const isWrong = text(slot) !== '' && wholeNumber(text(slot), 1, MOST[key]) === undefined;
      slot.setError(isWrong ? t('check.range', { min: 1, max: count(MOST[key]) }) : '');
    }
    for (const slot of Object.values(budgets)) {
      const amount = Number(text(slot));
      slot.setError(
        text(slot) !== '' &&
          !(/^\d+(\.\d+)?$/.test(text(slot)) && amount > 0 && amount <= 1_000_000)
          ? t('check.budget')
          : '',
      );
    }
    const star = modelsNow().find((one) => one.includes('*') && one.indexOf('*') < one.length - 1);
    models.setError(star ? t('check.star') : '');
    return !Object.values(slots).some((slot) => slot.hasError());
  };
  let isTouched = false;
  const submit = h(
    'button.button.primary',
    { type: 'submit' },
    h('span', {}, t(id ? 'save' : 'callers.add')),
  );
  const save = () => {
    isTouched = true;
    if (!check()) return dialog.node.querySelector('[aria-invalid="true"]')?.focus();
    const now = values();
    const change = Object.fromEntries(
      Object.entries(now).filter(
        ([key, to]) => JSON.stringify(to ?? null) !== JSON.stringify(known[key] ?? null),
      ),
    );
    return busy(submit, async () => {
      try {
        const { data } = id
          ? await put(path('callers', id), change, { etag })
          : await post('/callers', change);
        dialog.close();
        done();
        if (id) toast('ok', t('callers.saved', { name: data.name }));
        else showKey(data, t('callers.added', { name: data.name }));
      } catch (error) {
        if (error.status === 412) return takeOver();
        if (!slots[error.field]) return failure(error);
        slots[error.field].setError(error.message);
        slots[error.field].control.focus();
      }
    });
  };
  const takeOver = async () => {
    try {
      ({ data: known, etag } = await get(path('callers', id)));
      notice.replaceChildren(icon('alert'), h('span', {}, t('form.conflict_keep')));
      notice.hidden = false;
      notice.scrollIntoView({ block: 'center' });
    } catch (error) {
      failure(error);
    }
  };
  const body = [
    notice,
    h('div.fields.two', {}, name.node, label.node),
    h(
      'fieldset',
      {},
      h('legend', {}, t('caller.part_pace')),
      h(
        'div.fields.two',
        {},
        numbers.rpm.node,
        numbers.concurrency.node,
        numbers.weight.node,
        numbers.max_rounds.node,
      ),
    ),
    h(
      'fieldset',
      {},
      h('legend', {}, t('caller.part_money')),
      h('div.fields.two', {}, budgets.budget_daily_usd.node, budgets.budget_monthly_usd.node),
    ),
    h(
      'fieldset',
      {},
      h('legend', {}, t('caller.part_more')),
      h('div.fields.two', {}, models.node, expires.node, delivery.node),
      enabled,
    ),
  ];
  const cancel = button(t('cancel'), { kind: 'ghost', act: () => dialog.close() });
  const dialog = openDialog({
    title: id ? t('callers.edit_named', { name: known.name }) : t('callers.add'),
    body,
    actions: [cancel, submit],
    wide: true,
    submit: save,
  });
  dialog.node.addEventListener('input', () => isTouched && check());
  (id ? label : name).control.focus();
}

/** Asks how long the old key goes on, then makes a new one. */
export function rollKey(caller, done) {
  const overlap = field({
    label: t('callers.overlap'),
    hint: t('callers.overlap_hint'),
    control: select(
      OVERLAPS.map((one) => [one, t(`overlap.${one}`)]),
      '86400',
    ),
  });
  const submit = h(
    'button.button.primary',
    { type: 'submit' },
    icon('key'),
    h('span', {}, t('callers.roll')),
  );
  const roll = () =>
    busy(submit, async () => {
      try {
        const { data } = await post(`${path('callers', caller.id)}/roll`, {
          overlap_seconds: Number(overlap.control.value),
        });
        dialog.close();
        done();
        showKey(data, t('callers.rolled', { name: caller.name }));
      } catch (error) {
        failure(error);
      }
    });
  const cancel = button(t('cancel'), { kind: 'ghost', act: () => dialog.close() });
  const dialog = openDialog({
    title: t('callers.roll_named', { name: caller.name }),
    body: [h('p', {}, t('callers.roll_text')), overlap.node],
    actions: [cancel, submit],
    submit: roll,
  });
}

// The one time that a key is seen. It closes by its button only.
function showKey({ key }, title) {
  const command = `curl ${location.origin}/v1/models \\\n  -H 'authorization: Bearer ${key}'`;
  const done = button(t('callers.key_kept'), { kind: 'primary', act: () => dialog.close() });
  const dialog = openDialog({
    title,
    sticky: true,
    actions: [done],
    body: [
      h('p', {}, t('callers.key_once')),
      h(
        'div.command',
        {},
        h('pre.secret', { tabindex: 0, 'aria-label': t('column.key') }, key),
        copyButton(() => key),
      ),
      h('p.muted', {}, t('callers.key_try')),
      h(
        'div.command',
        {},
        h('pre', { tabindex: 0 }, command),
        copyButton(() => command),
      ),
    ],
  });
}

// A moment as the field wants it: in the reader's time zone, without one.
function local(time) {
  if (!time) return '';
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
