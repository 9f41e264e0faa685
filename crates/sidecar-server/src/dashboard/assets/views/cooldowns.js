// Who rests, until when, and who has rested.

import { get } from '../api.js';
import { button, linkButton } from '../components/button.js';
import { select } from '../components/field.js';
import { badge, chip, meter } from '../components/status.js';
import { emptyState, table } from '../components/table.js';
import { failure } from '../components/toast.js';
import { h, render, slot } from '../dom.js';
import * as format from '../format.js';
import { t, word } from '../i18n.js';
import { lanes } from '../lanes.js';
import * as live from '../live.js';
import { openRests, providerName, providers, restLeft } from '../provider.js';
import { resetProvider } from './provider-actions.js';

const MOST = 1_000;
const STEP = 50;
const DAY = 86_400_000;
const SHOWN_LANES = 12;

export function cooldownsView({ body, refresh }) {
  const timeline = lanes();
  let older = [];
  let limit = STEP;
  const only = select([], '', { 'aria-label': t('group.provider') });
  only.addEventListener('change', refresh);
  const filters = h('div.filters', {}, only);

  // The live state has the newest; the books have the rest.
  const load = async () => {
    try {
      older = (await get(`/stats/cooldown?limit=${MOST}`)).data.events;
      refresh();
    } catch (error) {
      failure(error);
    }
  };
  load();

  return {
    update() {
      const state = live.current();
      if (!state) return render(body, h('div.skeleton', {}, h('div')));
      const events = merged(state.cooldowns ?? [], older);
      offer(only, events);
      const fitting = only.value
        ? events.filter((event) => event.backend_id === only.value)
        : events;
      drawLanes(timeline, events);
      return render(
        body,
        resting(),
        events.length > 0 &&
          h(
            'section.panel',
            { key: 'lanes' },
            h(
              'div.panel-head',
              {},
              h('h2', {}, t('cooldowns.day')),
              h(
                'ul.legend',
                {},
                ['limit', 'fault', 'key'].map((kind) =>
                  h(
                    'li',
                    {},
                    h('span.swatch', { class: `rest-${kind}` }),
                    t(`cooldowns.kind_${kind}`),
                  ),
                ),
              ),
            ),
            slot(timeline.node),
          ),
        h(
          'section.panel.flush',
          { key: 'history' },
          h(
            'div.panel-head',
            {},
            h('h2', {}, t('cooldowns.history')),
            events.length > 0 && slot(filters),
          ),
          fitting.length === 0
            ? emptyState(t('cooldowns.none'), t('cooldowns.none_hint'))
            : table({
                label: t('cooldowns.history'),
                columns: columns(),
                rows: fitting,
                key: keyOf,
                limit,
                more: () => ((limit += 200), refresh()),
              }),
        ),
      );
    },
  };
}

function keyOf({ at, backend_id: id, model, scope, level }) {
  return [at, id, model ?? '', scope, level].join(' ');
}

function merged(newest, older) {
  const seen = new Map([...newest, ...older].map((event) => [keyOf(event), event]));
  return [...seen.values()].sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
}

function offer(only, events) {
  const ids = [...new Set(events.map((event) => event.backend_id))];
  const wanted = ['', ...ids].join('\n');
  if (only.dataset.ids === wanted) return;
  const chosen = only.value;
  only.dataset.ids = wanted;
  only.replaceChildren(
    h('option', { value: '' }, t('usage.all_provider')),
    ...ids.map((id) => h('option', { value: id }, providerName(id))),
  );
  only.value = ids.includes(chosen) ? chosen : '';
}

function resting() {
  const all = providers().filter(({ status }) => status === 'cooling' || status === 'error');
  return h(
    'section',
    { key: 'resting', 'aria-labelledby': 'resting' },
    h('h2.section-title', { id: 'resting' }, t('cooldowns.now')),
    all.length === 0
      ? h('div.panel', {}, emptyState(t('cooldowns.all_awake'), t('cooldowns.all_awake_hint')))
      : h('ul.rest-cards', {}, all.map(restCard)),
  );
}

function restCard(provider) {
  const left = restLeft(provider);
  const event = (live.current()?.cooldowns ?? []).find(
    (one) => one.backend_id === provider.id && Date.parse(one.until) > live.now(),
  );
  const whole = event ? Math.max(left, event.duration_ms / 1000) : left;
  return h(
    'li.panel.rest-card',
    { key: provider.id, class: provider.status },
    h(
      'div.rest-head',
      {},
      h('a.row-name', { href: `#/providers/${encodeURIComponent(provider.id)}` }, provider.name),
      badge(provider.status, provider.status_reason),
    ),
    h(
      'p.rest-clock',
      {},
      h('span.timer', { role: 'timer' }, left > 0 ? format.countdown(left) : t('cooldowns.soon')),
      provider.cooldown_until &&
        h('span.muted', {}, t('overview.until', { time: format.clock(provider.cooldown_until) })),
    ),
    meter(
      whole > 0 ? 1 - left / whole : 1,
      t('cooldowns.progress'),
      provider.status === 'error' ? 'bad' : 'warn',
    ),
    h(
      'p.muted.rest-advice',
      {},
      t(provider.status === 'error' ? 'cooldowns.advice_key' : 'cooldowns.advice_rest'),
    ),
    h(
      'div.rest-actions',
      {},
      button(t('form.reset'), {
        icon: 'reset',
        small: true,
        act: (pressed) => resetProvider(provider, pressed.currentTarget),
      }),
      provider.status === 'error' &&
        linkButton(t('cooldowns.new_key'), `#/providers/${encodeURIComponent(provider.id)}`, {
          icon: 'key',
          small: true,
        }),
    ),
  );
}

const KEY_REASONS = new Set(['auth', 'billing']);
const LIMIT_REASONS = new Set(['rate_limited', 'quota_spent', 'concurrency', 'overloaded']);

function kindOf(reason) {
  return KEY_REASONS.has(reason)
    ? 'rest-key'
    : LIMIT_REASONS.has(reason)
      ? 'rest-limit'
      : 'rest-fault';
}

function drawLanes(timeline, events) {
  const to = live.now();
  const from = to - DAY;
  const recent = events.filter((event) => Date.parse(event.until) > from);
  const ids = [...new Set(recent.map((event) => event.backend_id))].slice(0, SHOWN_LANES);
  timeline.update({
    from,
    to,
    lanes: ids.map((id) => ({
      name: providerName(id),
      rests: recent
        .filter((event) => event.backend_id === id)
        .slice(0, 300)
        .map((event) => ({
          from: Math.max(from, Date.parse(event.at)),
          to: Math.min(to, Date.parse(event.until)),
          reason: event.reason,
          model: event.model,
          kind: kindOf(event.reason),
        })),
    })),
  });
}

function columns() {
  const open = new Set(openRests().map(keyOf));
  return [
    {
      label: t('column.when'),
      cell: (event) =>
        h(
          'span',
          { title: format.moment(event.at) },
          format.momentShort(event.at),
          h('span.sub', {}, format.relative(event.at, live.now())),
        ),
    },
    {
      label: t('column.provider'),
      main: true,
      cell: (event) => h('span.row-name', {}, providerName(event.backend_id)),
    },
    { label: t('column.reason'), cell: (event) => word('reason', event.reason) },
    {
      label: t('column.model'),
      cell: (event) => (event.model ? h('code', {}, event.model) : format.NONE),
    },
    {
      label: t('column.scope'),
      cell: (event) =>
        h(
          'span',
          { title: word('scope_long', event.scope) },
          chip('off', word('scope', event.scope)),
        ),
    },
    { label: t('column.level'), kind: 'number', cell: (event) => format.count(event.level) },
    {
      label: t('column.rest'),
      kind: 'number',
      cell: (event) => [
        h('span', {}, format.duration(event.duration_ms / 1000)),
        h(
          'span.sub',
          {},
          open.has(keyOf(event))
            ? t('overview.until', { time: format.clock(event.until) })
            : word('rest_source', event.source),
        ),
      ],
    },
  ];
}
