// A pool: how many of its providers are how, and how much of their limits is free.

import { h } from '../dom.js';
import * as format from '../format.js';
import { t } from '../i18n.js';
import { restLeft } from '../provider.js';
import { linkButton } from './button.js';
import { badge, meter, shape } from './status.js';

const STATES = ['healthy', 'cooling', 'error', 'disabled'];
const SHOWN = 10;

/** The panel of the pool `name` with its `counts`; `all` are the providers of all pools. */
export function poolPanel(name, counts, all) {
  const own = all
    .filter((provider) => provider.pool === name)
    .sort((one, other) => rank(one) - rank(other));
  const parts = STATES.map((status) => [status, counts[status] ?? 0]).filter(
    ([, count]) => count > 0,
  );
  return h(
    'section.panel.pool',
    { key: name },
    h(
      'div.panel-head',
      {},
      h('h2', {}, t(`pool.${name}`)),
      h('span.muted', {}, t('pool.count', { n: counts.total ?? 0 })),
    ),
    parts.length > 0
      ? h(
          'div.segments',
          { 'aria-hidden': 'true' },
          parts.map(([status, count]) =>
            h('span', { class: status, style: { 'flex-grow': String(count) } }),
          ),
        )
      : h('p.muted', {}, t(`pool.empty_${name}`)),
    h(
      'ul.counts',
      {},
      parts.map(([status, count]) =>
        h('li', {}, shape(status), h('strong', {}, count), ` ${t(`status.${status}`)}`),
      ),
    ),
    h('ul.pool-list', {}, own.slice(0, SHOWN).map(poolEntry)),
    own.length > SHOWN &&
      h(
        'a.panel-link',
        { href: '#/providers' },
        t('overview.more_providers', { n: own.length - SHOWN }),
      ),
    own.length === 0 &&
      linkButton(t('providers.add'), '#/providers/new', { small: true, icon: 'plus' }),
  );
}

// Where there are many, those that somebody may want to see come first.
function rank({ status, rate_limiter: limiter }) {
  const order = { error: 0, cooling: 2, healthy: 4, disabled: 6 };
  return (order[status] ?? 8) + (limiter?.capacity > 0 ? limiter.tokens / limiter.capacity : 1);
}

function poolEntry(provider) {
  const left = restLeft(provider);
  const { tokens = 0, capacity = 0 } = provider.rate_limiter ?? {};
  return h(
    'li',
    { key: provider.id },
    h('a', { href: `#/providers/${encodeURIComponent(provider.id)}` }, provider.name),
    left > 0
      ? h('span.timer', {}, format.countdown(left))
      : h('span.free', {}, t('limiter.free', { free: tokens, all: capacity })),
    meter(
      capacity > 0 ? tokens / capacity : 0,
      t('limiter.label', { free: tokens, all: capacity }),
      provider.status === 'healthy' ? '' : 'idle',
    ),
    badge(provider.status, provider.status_reason),
  );
}
