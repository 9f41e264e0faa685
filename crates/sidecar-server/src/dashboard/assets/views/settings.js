// Settings: typed, checked, in force at once.

import { get, path, put, remove } from '../api.js';
import { busy, button } from '../components/button.js';
import { field, numberInput, select, toggle, input } from '../components/field.js';
import { icon } from '../components/icons.js';
import { chip } from '../components/status.js';
import { failure, toast } from '../components/toast.js';
import { h, render } from '../dom.js';
import { has, t } from '../i18n.js';

const GROUPS = [
  [
    'limits',
    ['rate_rpm', 'cooldown_base_seconds', 'cooldown_max_seconds', 'emergency_rpm_fraction'],
  ],
  [
    'queue',
    ['queue_max_depth', 'queue_timeout_seconds', 'max_in_flight', 'exhausted_retry_after_seconds'],
  ],
  [
    'pools',
    [
      'pool_order',
      'spill_after_primary_seconds',
      'spill_after_fallback_seconds',
      'max_pool_retries',
    ],
  ],
  ['health', ['health_check_interval_seconds', 'health_check_timeout_seconds']],
  ['sizes', ['max_body_bytes', 'complete_max_bytes']],
  ['books', ['retention_hourly_days', 'retention_daily_days']],
  ['safety', ['upstream_private']],
];
const ORDERS = [
  ['primary', 'fallback'],
  ['fallback', 'primary'],
];

export function settingsView({ body }) {
  const rows = new Map();
  const load = async () => {
    render(body, h('div.skeleton', {}, h('div'), h('div')));
    try {
      const { data } = await get('/config');
      const known = new Map(data.settings.map((setting) => [setting.key, setting]));
      const grouped = new Set(GROUPS.flatMap(([, keys]) => keys));
      const others = [...known.keys()].filter((key) => !grouped.has(key));
      const groups = [...GROUPS, ['other', others]].map(([name, keys]) => [
        name,
        keys.filter((key) => known.has(key)),
      ]);
      body.replaceChildren(
        ...groups
          .filter(([, keys]) => keys.length > 0)
          .map(([name, keys]) =>
            h(
              'section.panel.settings',
              {},
              h('h2', {}, t(`settings.${name}`)),
              keys.map((key) => {
                const row = settingRow(known.get(key));
                rows.set(key, row);
                return row.node;
              }),
            ),
          ),
      );
    } catch (error) {
      render(
        body,
        h('p.notice.bad', { role: 'alert' }, icon('alert'), h('span', {}, error.message)),
      );
    }
  };
  load();
  return {
    head: () => ({ lead: t('settings.lead') }),
    isDirty: () => [...rows.values()].some((row) => row.isDirty()),
  };
}

function settingRow(start) {
  let setting = start;
  let etag = null;
  const node = h('div.setting');
  const isFixed = setting.source === 'env';
  const control = controlOf(setting, isFixed);
  const slot = field({
    label: has(`setting.${setting.key}`) ? t(`setting.${setting.key}`) : setting.key,
    hint: has(`setting_help.${setting.key}`) ? t(`setting_help.${setting.key}`) : setting.help,
    control: control.node,
    suffix: unitOf(setting.key),
  });
  const source = h('span');
  const save = button(t('save'), {
    kind: 'primary',
    small: true,
    act: (event) => change(event.currentTarget),
  });
  const undo = button(t('undo'), {
    kind: 'ghost',
    small: true,
    act: () => (control.set(setting.value), onInput()),
  });
  const reset = button(t('settings.reset'), {
    kind: 'ghost',
    small: true,
    icon: 'reset',
    act: (event) => restore(event.currentTarget),
  });
  const isDirty = () => JSON.stringify(control.value()) !== JSON.stringify(setting.value);
  const onInput = () => {
    slot.setError(control.error?.() ?? '');
    paint();
  };
  const paint = () => {
    const dirty = isDirty();
    save.hidden = !dirty;
    undo.hidden = !dirty;
    reset.hidden = dirty || setting.source !== 'stored';
    node.classList.toggle('is-dirty', dirty);
    render(
      source,
      setting.source === 'env'
        ? chip('info', t('source.env'))
        : setting.source === 'stored'
          ? chip('ok', t('settings.stored'))
          : chip('off', t('settings.default')),
      setting.source !== 'default' &&
        h('span.muted', {}, t('settings.default_is', { value: shown(setting.default) })),
    );
  };
  const settle = (answer) => {
    setting = answer.data;
    etag = answer.etag;
    control.set(setting.value);
    slot.setError('');
    paint();
  };
  // What somebody else has set meanwhile is told, and what was typed here stays.
  const refused = async (error) => {
    if (error.status !== 412) return slot.setError(error.message);
    const answer = await get(path('config', setting.key)).catch(() => null);
    if (answer) ({ data: setting, etag } = answer);
    slot.setError(t('settings.changed', { value: shown(setting.value) }));
    return paint();
  };
  const change = (pressed) =>
    busy(pressed, async () => {
      if (control.error?.()) return;
      try {
        settle(await put(path('config', setting.key), { value: control.value() }, { etag }));
        toast('ok', t('settings.saved', { name: setting.key }));
      } catch (error) {
        await refused(error);
      }
    });
  const restore = (pressed) =>
    busy(pressed, async () => {
      try {
        settle(await remove(path('config', setting.key), { etag }));
        toast('ok', t('settings.was_reset', { name: setting.key }));
      } catch (error) {
        if (error.status === 412) await refused(error);
        else failure(error);
      }
    });
  // The tag is read when somebody is about to change something.
  node.addEventListener('focusin', async () => {
    if (etag || isFixed) return;
    const answer = await get(path('config', setting.key)).catch(() => null);
    if (!answer || etag) return;
    etag = answer.etag;
    if (!isDirty()) settle(answer);
  });
  node.append(
    slot.node,
    h(
      'div.setting-side',
      {},
      source,
      h('code.muted', {}, setting.key),
      h('div.setting-buttons', {}, save, undo, reset),
    ),
  );
  node.addEventListener('input', onInput);
  node.addEventListener('change', onInput);
  paint();
  return { node, isDirty };
}

// What fits the value: a switch, an order, a number, or JSON for what this page does not know.
function controlOf({ key, value }, disabled) {
  if (typeof value === 'boolean') {
    const node = toggle({ label: t('settings.on'), checked: value, disabled });
    const box = node.querySelector('input');
    return { node, value: () => box.checked, set: (to) => (box.checked = to) };
  }
  if (key === 'pool_order') {
    const node = select(
      ORDERS.map((order) => [
        order.join(),
        order.map((name) => t(`pool.short_${name}`)).join(' → '),
      ]),
      value.join(),
      { disabled },
    );
    return { node, value: () => node.value.split(','), set: (to) => (node.value = to.join()) };
  }
  if (typeof value === 'number') {
    const node = numberInput({ value: String(value), disabled, inputmode: 'decimal' });
    const now = () =>
      node.value.trim() === '' ? NaN : Number(node.value.trim().replaceAll(/[\s_,]/g, ''));
    return {
      node,
      value: now,
      set: (to) => (node.value = String(to)),
      error: () => (Number.isFinite(now()) ? '' : t('check.number')),
    };
  }
  const node = input({ value: JSON.stringify(value), class: 'code', disabled });
  const parsed = () => {
    try {
      return JSON.parse(node.value);
    } catch {
      return undefined;
    }
  };
  return {
    node,
    value: parsed,
    set: (to) => (node.value = JSON.stringify(to)),
    error: () => (parsed() === undefined ? t('check.json') : ''),
  };
}

function unitOf(key) {
  if (key.endsWith('_seconds')) return 's';
  if (key.endsWith('_days')) return t('unit.days');
  if (key.endsWith('_bytes')) return t('unit.bytes');
  return key === 'rate_rpm' ? t('unit.rpm') : undefined;
}

function shown(value) {
  return Array.isArray(value) ? value.join(' → ') : String(value);
}
