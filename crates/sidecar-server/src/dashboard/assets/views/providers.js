// The list of providers.

import { iconButton, linkButton } from '../components/button.js';
import { input, select, toggle } from '../components/field.js';
import { icon } from '../components/icons.js';
import { badge, chip, meter } from '../components/status.js';
import { emptyState, table } from '../components/table.js';
import { h, render, slot } from '../dom.js';
import * as format from '../format.js';
import { t, word } from '../i18n.js';
import * as live from '../live.js';
import { providers, restLeft } from '../provider.js';
import { firstSteps } from './empty.js';
import { askRemove, resetProvider, setEnabled, testProvider } from './provider-actions.js';

const FIRST = 100;
const STATES = ['healthy', 'cooling', 'error', 'disabled'];

export function providersView({ body, refresh }) {
  let limit = FIRST;
  const search = input({
    type: 'search',
    placeholder: t('providers.search'),
    'aria-label': t('providers.search'),
  });
  search.addEventListener('input', refresh);
  const status = select(
    [['', t('providers.any_status')], ...STATES.map((name) => [name, t(`status.${name}`)])],
    '',
    { 'aria-label': t('providers.status') },
  );
  status.addEventListener('change', refresh);
  const filters = h('div.filters', {}, h('span.search', {}, icon('search'), search), status);

  return {
    head: () => ({
      tools: linkButton(t('providers.add'), '#/providers/new', { kind: 'primary', icon: 'plus' }),
    }),
    update() {
      if (!live.current()) return render(body, h('div.skeleton', {}, h('div')));
      const all = providers();
      if (all.length === 0) return render(body, firstSteps({ hasProvider: false }));
      const words = search.value.trim().toLowerCase();
      const fits = (provider) =>
        (!status.value || provider.status === status.value) &&
        (!words || haystack(provider).includes(words));
      const rows = all.filter(fits);
      return render(
        body,
        slot(filters),
        rows.length === 0
          ? emptyState(t('providers.none_fit'))
          : table({
              label: t('nav.providers'),
              columns: columns(),
              rows,
              key: ({ id }) => id,
              limit,
              more: () => ((limit += 500), refresh()),
              rowClass: ({ enabled }) => (enabled ? '' : 'off'),
            }),
      );
    },
  };
}

function haystack({ name, label, api_base_url: url, account, model_mappings: models }) {
  return [name, label, url, account, ...Object.keys(models ?? {})]
    .filter(Boolean)
    .join('\n')
    .toLowerCase();
}

function columns() {
  return [
    { label: t('column.provider'), main: true, cell: nameCell },
    { label: t('column.status'), cell: statusCell },
    { label: t('column.models'), cell: modelsCell },
    { label: t('column.limit'), cell: limitCell },
    { label: t('column.latency'), kind: 'number', cell: latencyCell },
    {
      label: t('column.use'),
      cell: (provider) =>
        toggle({
          label: t('providers.use', { name: provider.name }),
          labelHidden: true,
          checked: provider.enabled,
          disabled: provider.source === 'env',
          act: (event) => setEnabled(provider, event.target),
        }),
    },
    { label: t('column.actions'), hidden: true, kind: 'actions', cell: actionsCell },
  ];
}

function nameCell(provider) {
  return [
    h('a.row-name', { href: `#/providers/${encodeURIComponent(provider.id)}` }, provider.name),
    chip(provider.pool === 'primary' ? 'info' : 'off', t(`pool.short_${provider.pool}`)),
    provider.source === 'env' && chip('off', t('source.env')),
    h('span.sub', {}, provider.label ?? host(provider.api_base_url)),
  ];
}

function host(url) {
  return url.replace(/^https?:\/\//, '');
}

function statusCell(provider) {
  const left = restLeft(provider);
  const isResting = provider.status === 'cooling' || provider.status === 'error';
  return [
    h(
      'span.status-cell',
      {},
      badge(provider.status),
      left > 0 &&
        h('span.timer', { title: format.moment(provider.cooldown_until) }, format.countdown(left)),
    ),
    isResting &&
      provider.status_reason &&
      h('span.sub', {}, word('reason', provider.status_reason)),
  ];
}

function modelsCell({ model_mappings: mappings }) {
  const names = Object.keys(mappings ?? {});
  if (names.length === 0) return h('span.muted', {}, t('providers.no_models'));
  if (names.includes('*') && names.length === 1) return h('span', {}, t('providers.every_model'));
  const rest = names.length - 1;
  return h(
    'span.models',
    { title: names.slice(0, 40).join('\n') },
    h('code', {}, names[0]),
    rest > 0 && h('span.muted', {}, ` +${format.count(rest)}`),
  );
}

function limitCell({ rate_limiter: limiter = {}, status }) {
  const { tokens = 0, capacity = 0 } = limiter;
  const text = t('limiter.label', { free: tokens, all: capacity });
  return h(
    'span.limit-cell',
    {},
    meter(capacity > 0 ? tokens / capacity : 0, text, status === 'healthy' ? '' : 'idle'),
    h('span.muted', {}, t('limiter.free', { free: tokens, all: capacity })),
  );
}

function latencyCell({ health = {} }) {
  return [
    h('span', {}, format.latency(health.last_latency_ms)),
    health.last_check_at &&
      h(
        'span.sub',
        { title: format.moment(health.last_check_at) },
        format.relative(health.last_check_at, live.now()),
      ),
  ];
}

function actionsCell(provider) {
  const name = provider.name;
  const isResting = provider.status === 'cooling' || provider.status === 'error';
  return h(
    'span.row-actions',
    {},
    iconButton('play', t('providers.test_named', { name }), (event) =>
      testProvider(provider, event.currentTarget),
    ),
    iconButton(
      'reset',
      t('providers.reset_named', { name }),
      (event) => resetProvider(provider, event.currentTarget),
      { disabled: !isResting },
    ),
    h(
      'a.icon-button',
      {
        href: `#/providers/${encodeURIComponent(provider.id)}`,
        title: t('providers.edit_named', { name }),
        'aria-label': t('providers.edit_named', { name }),
      },
      icon('edit'),
    ),
    iconButton('trash', t('providers.remove_named', { name }), () => askRemove(provider), {
      disabled: provider.source === 'env',
    }),
  );
}
