// How a provider stands, beside its form, and what can be done about it.

import { h } from '../dom.js';
import * as format from '../format.js';
import { t } from '../i18n.js';
import * as live from '../live.js';
import { restLeft } from '../provider.js';
import { button } from './button.js';
import { select } from './field.js';
import { icon } from './icons.js';
import { badge } from './status.js';

/**
 * The panel of `provider`. `models` can be tested, `tested` is what the last test showed in words
 * and whether it was good, `isDirty` whether the form has what is not stored. `test(button)`,
 * `reset(button)` and `remove()` do it.
 */
export function providerState({ provider, models, tested, isDirty, test, reset, remove }) {
  const left = restLeft(provider);
  const isResting = provider.status === 'cooling' || provider.status === 'error';
  const act = (work) => (event) => work(event.currentTarget);
  return h(
    'section.panel.state',
    {},
    h('h2', {}, t('form.state')),
    h(
      'p.state-badge',
      {},
      badge(provider.status, provider.status_reason),
      left > 0 && h('span.timer', {}, format.countdown(left)),
    ),
    h('dl.facts', {}, facts(provider)),
    h(
      'div.state-test',
      {},
      models.length > 1 && modelChoice(models),
      button(t('form.test'), { kind: 'primary', icon: 'play', act: act(test) }),
    ),
    isDirty && h('p.hint', {}, t('form.test_saved')),
    tested &&
      h(
        'p.notice',
        { class: tested.ok ? 'ok' : 'bad' },
        icon(tested.ok ? 'check' : 'alert'),
        h('span', {}, tested.text),
      ),
    h(
      'div.state-actions',
      {},
      isResting && button(t('form.reset'), { icon: 'reset', small: true, act: act(reset) }),
      provider.source !== 'env' &&
        button(t('remove'), { icon: 'trash', small: true, kind: 'danger-ghost', act: act(remove) }),
    ),
  );
}

function modelChoice(models) {
  const options = models.map((name) => [name, name]);
  return select(options, models[0], { 'aria-label': t('form.test_model') });
}

function facts(provider) {
  const { health = {}, rate_limiter: limiter = {}, source } = provider;
  const { last_check_at: checked, last_status_code: status } = health;
  const { tokens = 0, capacity = 0 } = limiter;
  return [
    [t('fact.limit'), t('limiter.free', { free: tokens, all: capacity })],
    [t('fact.latency'), format.latency(health.last_latency_ms)],
    [t('fact.status'), status ?? format.NONE],
    [t('fact.failures'), format.count(health.consecutive_failures ?? 0)],
    [t('fact.checked'), checked ? format.relative(checked, live.now()) : format.NONE],
    [t('fact.source'), t(`source.${source}`)],
    [t('fact.changed'), format.moment(provider.updated_at)],
  ].map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)));
}
