// Editing which models a provider serves, as rows or as JSON, checked while one types.

import { mappingError, mappingErrors, modelError, parseJson } from '../checks.js';
import { h } from '../dom.js';
import { count, perMillion } from '../format.js';
import { t } from '../i18n.js';
import { button, iconButton } from './button.js';
import { field, input, numberInput, select, toggle } from './field.js';
import { icon } from './icons.js';
import { segmented } from './segmented.js';

const PRICES = ['input', 'output', 'cacheRead', 'cacheWrite'];
const MODALITIES = ['text', 'image', 'audio', 'video'];
// What the rows have a field for; everything else is kept as it is.
const TOKENS = ['context_window', 'max_tokens'];

/** `changed()` is called on every change. Gives `{node, value, errors, setValue, showError}`. */
export function mappingEditor(start, changed) {
  let rows = [];
  const list = h('div.mapping-rows');
  const area = h('textarea.code', {
    rows: 14,
    spellcheck: 'false',
    'aria-label': t('mapping.json_label'),
  });
  const problems = h('ul.problems', { 'aria-live': 'polite' });
  const empty = h('p.muted.mapping-empty', {}, t('mapping.empty'));
  let isJson = false;
  let serverError = '';

  const fromRows = () => Object.fromEntries(rows.map((row) => [row.name(), row.mapping()]));
  const duplicates = () => {
    const names = rows.map((row) => row.name());
    return names.filter((name, index) => name && names.indexOf(name) !== index);
  };
  const errors = () => {
    if (isJson) {
      const parsed = parseJson(area.value.trim() || '{}');
      return parsed.error ? [['', parsed.error]] : mappingErrors(parsed.value);
    }
    const twice = duplicates().map((name) => [name, t('check.twice')]);
    return [
      ...rows.flatMap((row) =>
        row
          .errors()
          .map(([part, text]) => [
            [row.name() || t('mapping.unnamed'), part].filter(Boolean).join(' › '),
            text,
          ]),
      ),
      ...twice,
    ];
  };
  const show = () => {
    for (const row of rows) row.show(duplicates());
    const found = isJson ? errors() : [];
    const all = serverError ? [['', serverError], ...found] : found;
    problems.replaceChildren(
      ...all
        .slice(0, 8)
        .map(([where, text]) =>
          h(
            'li',
            {},
            icon('alert'),
            h('span', {}, where && h('code', {}, where), where && ' ', text),
          ),
        ),
    );
    area.setAttribute('aria-invalid', String(isJson && found.length > 0));
    empty.hidden = rows.length > 0;
  };
  const onChange = () => {
    serverError = '';
    show();
    changed();
  };
  const addRow = (name, mapping, isOpen) => {
    const row = mappingRow(name, mapping, isOpen, onChange, () => {
      rows = rows.filter((one) => one !== row);
      row.node.remove();
      onChange();
      add.focus();
    });
    rows.push(row);
    list.append(row.node);
    return row;
  };
  const setValue = (mappings) => {
    rows = [];
    list.replaceChildren();
    for (const [name, mapping] of Object.entries(mappings)) addRow(name, mapping, false);
    area.value = JSON.stringify(mappings, null, 2);
    show();
  };
  const choose = (mode) => {
    if (mode === 'json') {
      area.value = JSON.stringify(fromRows(), null, 2);
    } else {
      const parsed = parseJson(area.value.trim() || '{}');
      if (
        parsed.error ||
        mappingErrors(parsed.value).some(([, text]) => text === t('check.object'))
      ) {
        modes.querySelector('input[value=json]').checked = true;
        return show();
      }
      isJson = false;
      setValue(parsed.value);
    }
    isJson = mode === 'json';
    area.hidden = !isJson;
    list.hidden = isJson;
    tools.hidden = isJson;
    return show();
  };

  const modes = segmented(
    t('mapping.mode'),
    [
      ['rows', t('mapping.rows')],
      ['json', 'JSON'],
    ],
    'rows',
    choose,
  );
  const add = button(t('mapping.add'), {
    icon: 'plus',
    small: true,
    act: () => (addRow('', {}, true).focus(), onChange()),
  });
  const all = button(t('mapping.add_any'), {
    small: true,
    kind: 'ghost',
    act: () => !rows.some((row) => row.name() === '*') && (addRow('*', {}, false), onChange()),
  });
  const tools = h('div.mapping-tools', {}, add, all);
  area.hidden = true;
  area.addEventListener('input', onChange);
  setValue(start);
  return {
    node: h(
      'div.mapping',
      {},
      h('div.mapping-head', {}, modes),
      empty,
      list,
      area,
      problems,
      tools,
    ),
    value: () => (isJson ? parseJson(area.value.trim() || '{}').value : fromRows()),
    errors,
    setValue: (mappings) => {
      setValue(mappings);
      serverError = '';
    },
    showError: (text) => {
      serverError = text;
      show();
    },
  };
}

function mappingRow(startName, start, isOpen, changed, removed) {
  // What has no field here comes back as it was.
  const {
    native_id: native,
    context_window: window,
    max_tokens: most,
    cost,
    cost_per_mtok: perMtok,
    reasoning,
    stream_usage: usage,
    input_modalities: modalities,
    ...rest
  } = start ?? {};
  const name = field({
    label: t('mapping.name'),
    control: input({ value: startName, placeholder: 'llama-3.3-70b', class: 'code' }),
  });
  const id = field({
    label: t('mapping.native'),
    control: input({
      value: native ?? '',
      placeholder: startName || 'meta/llama-3.3-70b-instruct',
      class: 'code',
    }),
  });
  const tokens = Object.fromEntries(
    TOKENS.map((key) => [
      key,
      field({
        label: t(`mapping.${key}`),
        control: numberInput({ value: { context_window: window, max_tokens: most }[key] ?? '' }),
      }),
    ]),
  );
  const shown = (part) => (perMtok ? (perMtok[part] ?? '') : perMillion(cost?.[part]));
  const prices = Object.fromEntries(
    PRICES.map((part) => [
      part,
      field({
        label: t(`mapping.${part}`),
        control: numberInput({ inputmode: 'decimal', value: shown(part) }),
      }),
    ]),
  );
  const pricesWere = PRICES.map((part) => String(shown(part))).join();
  const thinks = toggle({ label: t('mapping.reasoning'), checked: reasoning });
  const streamUsage = field({
    label: t('mapping.stream_usage'),
    hint: t('mapping.stream_usage_hint'),
    control: select(
      ['native', 'inject', 'forbid'].map((key) => [key, t(`mapping.usage_${key}`)]),
      usage ?? 'native',
    ),
  });
  const known = new Set([...MODALITIES, ...(Array.isArray(modalities) ? modalities : [])]);
  const reads = [...known].map((key) => [
    key,
    h('input', { type: 'checkbox', checked: (modalities ?? []).includes(key) }),
  ]);
  const summary = h('span.mapping-summary');
  const body = h(
    'div.mapping-more',
    { hidden: !isOpen },
    h(
      'div.fields.four',
      {},
      TOKENS.map((key) => tokens[key].node),
    ),
    h(
      'fieldset',
      {},
      h('legend', {}, t('mapping.prices')),
      h(
        'div.fields.four',
        {},
        PRICES.map((part) => prices[part].node),
      ),
    ),
    h(
      'div.fields.two',
      {},
      streamUsage.node,
      h(
        'div.field',
        {},
        h('span.label', {}, t('mapping.modalities')),
        h(
          'div.checks',
          {},
          reads.map(([key, box]) => h('label.check', {}, box, h('span', {}, key))),
        ),
      ),
    ),
    thinks,
    Object.keys(rest).length > 0 &&
      h('p.hint', {}, t('mapping.kept', { fields: Object.keys(rest).join(', ') })),
  );
  const open = iconButton(
    'down',
    t('mapping.details'),
    () => {
      body.hidden = !body.hidden;
      open.setAttribute('aria-expanded', String(!body.hidden));
    },
    { 'aria-expanded': String(isOpen) },
  );
  const remove = iconButton('trash', t('mapping.remove'), removed);
  const node = h(
    'div.mapping-row',
    {},
    h(
      'div.mapping-main',
      {},
      name.node,
      h('span.mapping-arrow', {}, icon('arrow')),
      id.node,
      h('div.mapping-buttons', {}, open, remove),
    ),
    summary,
    body,
  );

  const number = (text) =>
    text.trim() === '' ? undefined : Number(text.trim().replaceAll(/[\s_,]/g, ''));
  const priceNow = () => {
    const values = PRICES.map((part) => [part, number(prices[part].control.value)]).filter(
      ([, value]) => value !== undefined,
    );
    // Untouched prices go back in their own unit, digit by digit.
    if (PRICES.map((part) => prices[part].control.value.trim()).join() === pricesWere)
      return { cost, cost_per_mtok: perMtok };
    return {
      cost: undefined,
      cost_per_mtok: values.length > 0 ? Object.fromEntries(values) : undefined,
    };
  };
  const mapping = () => {
    const picked = reads.filter(([, box]) => box.checked).map(([key]) => key);
    const made = {
      native_id: id.control.value.trim() || undefined,
      ...(thinks.querySelector('input').checked || reasoning !== undefined
        ? { reasoning: thinks.querySelector('input').checked }
        : {}),
      input_modalities: picked.length > 0 ? picked : undefined,
      ...priceNow(),
      context_window: number(tokens.context_window.control.value),
      max_tokens: number(tokens.max_tokens.control.value),
      ...(streamUsage.control.value !== 'native' || usage !== undefined
        ? { stream_usage: streamUsage.control.value }
        : {}),
      ...rest,
    };
    return Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined));
  };
  const nameNow = () => name.control.value.trim();
  const errors = () => mappingError(nameNow(), mapping());
  const slots = { '': name, native_id: id, ...tokens };
  for (const part of PRICES) slots[`cost_per_mtok.${part}`] = prices[part];
  node.addEventListener('input', changed);
  node.addEventListener('change', changed);
  return {
    node,
    name: nameNow,
    mapping,
    errors,
    focus: () => name.control.focus(),
    show(duplicates) {
      const found = errors();
      const touched = (slot) => slot !== name || nameNow() !== '' || modelError(nameNow()) === '';
      for (const [part, slot] of Object.entries(slots)) {
        const text = found.find(([where]) => where === part)?.[1] ?? '';
        slot.setError(touched(slot) ? text : '');
      }
      if (duplicates.includes(nameNow())) name.setError(t('check.twice'));
      if (found.some(([where]) => where !== '' && where !== 'native_id')) {
        body.hidden = false;
        open.setAttribute('aria-expanded', 'true');
      }
      id.control.placeholder = nameNow() || 'meta/llama-3.3-70b-instruct';
      summary.textContent = summarise(mapping());
    },
  };
}

function summarise({ context_window: window, cost, cost_per_mtok: perMtok, reasoning }) {
  const price = (part) => (perMtok ? perMtok[part] : perMillion(cost?.[part]));
  const [input_, output] = [price('input'), price('output')];
  const isPriced = perMtok || cost;
  return [
    window ? t('mapping.sum_window', { n: count(window) }) : null,
    isPriced
      ? t('mapping.sum_price', { input: input_ || 0, output: output || 0 })
      : t('mapping.sum_unpriced'),
    reasoning ? t('mapping.sum_reasoning') : null,
  ]
    .filter(Boolean)
    .join(' · ');
}
