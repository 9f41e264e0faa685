// Why a request would go where it would go.

import { get, query as queryOf } from '../api.js';
import { busy } from '../components/button.js';
import { field, input, select } from '../components/field.js';
import { icon } from '../components/icons.js';
import { chip, meter, shape } from '../components/status.js';
import { failure } from '../components/toast.js';
import { h, render } from '../dom.js';
import * as format from '../format.js';
import { t, word } from '../i18n.js';
import { models } from '../provider.js';

const APIS = [
  'openai-completions',
  'openai-responses',
  'anthropic-messages',
  'google-generative-ai',
];

export function explainView({ query, body }) {
  const known = models();
  const model = field({
    label: t('explain.model'),
    control: input({
      value: query.get('model') ?? known[0] ?? '',
      class: 'code',
      list: 'explain-models',
      required: true,
    }),
  });
  const caller = field({
    label: t('explain.caller'),
    control: select([['', t('explain.anonymous')]], ''),
  });
  const api = field({
    label: t('explain.api'),
    control: select(
      APIS.map((one) => [one, t(`api.${one}`)]),
      query.get('api') ?? APIS[0],
    ),
  });
  const submit = h(
    'button.button.primary',
    { type: 'submit' },
    icon('explain'),
    h('span', {}, t('explain.ask')),
  );
  const result = h('div.explain-result', { 'aria-live': 'polite' });

  const ask = () => {
    const name = model.control.value.trim();
    model.setError(name ? '' : t('check.required'));
    if (!name) return undefined;
    const asked = { model: name, caller: caller.control.value, api: api.control.value };
    history.replaceState(null, '', `#/explain${queryOf(asked)}`);
    return busy(submit, async () => {
      try {
        const { data } = await get(`/explain${queryOf(asked)}`);
        render(result, answer(data));
      } catch (error) {
        if (error.field === 'model') model.setError(error.message);
        else failure(error);
      }
    });
  };
  const onSubmit = (event) => {
    event.preventDefault();
    ask();
  };
  body.append(
    h(
      'form.panel.explain-form',
      { novalidate: true, on: { submit: onSubmit } },
      h(
        'datalist',
        { id: 'explain-models' },
        known.map((name) => h('option', { value: name })),
      ),
      h('div.fields.three', {}, model.node, caller.node, api.node),
      submit,
    ),
    result,
  );
  loadCallers(caller.control, query.get('caller'));
  if (model.control.value && query.get('model')) ask();
  return { head: () => ({ lead: t('explain.lead') }) };
}

async function loadCallers(node, wanted) {
  try {
    const { data } = await get('/callers');
    node.append(...data.callers.map(({ name }) => h('option', { value: name }, name)));
    if (wanted) node.value = wanted;
  } catch {
    // It can be asked without a caller, too.
  }
}

function answer(data) {
  const kind = !data.provider ? 'bad' : data.wait_ms ? 'warn' : 'ok';
  const shapes = { ok: 'healthy', warn: 'cooling', bad: 'error' };
  let place = 0;
  return [
    h(
      'section.panel.headline',
      { key: 'outcome', class: kind },
      h(
        'div.headline-say',
        {},
        h('span.headline-shape', {}, shape(shapes[kind])),
        h(
          'div',
          {},
          h('h2', {}, outcome(data)),
          h(
            'p',
            {},
            t('explain.asked', {
              model: data.model,
              caller: callerName(data.caller),
              n: data.queue_depth,
            }),
          ),
        ),
      ),
    ),
    data.pools.map((pool, index) =>
      h(
        'section.panel',
        { key: pool.pool },
        h(
          'div.panel-head',
          {},
          h('h2', {}, t(`pool.${pool.pool}`)),
          index < data.pools.length - 1 &&
            h(
              'span.muted',
              {},
              pool.spill_after_seconds > 0
                ? t('explain.spill', { time: format.duration(pool.spill_after_seconds) })
                : t('explain.spill_now'),
            ),
        ),
        pool.candidates.length === 0 && h('p.muted', {}, t('explain.no_candidates')),
        h(
          'ol.candidates',
          {},
          pool.candidates.map((one) =>
            candidate(one, (place += 1), one.provider === data.provider),
          ),
        ),
      ),
    ),
    data.excluded.length > 0 &&
      h(
        'section.panel',
        { key: 'excluded' },
        h('h2', {}, t('explain.excluded')),
        h(
          'ul.excluded',
          {},
          data.excluded.map(({ provider, reason }) =>
            h(
              'li',
              { key: provider },
              h('strong', {}, provider),
              h('span.muted', {}, excludedReason(reason)),
            ),
          ),
        ),
      ),
  ];
}

// The server says it in English; what is known is said in the reader's language.
function outcome({ outcome: text, provider, wait_ms: wait }) {
  if (provider)
    return wait
      ? t('explain.waits', { time: format.latency(wait), provider })
      : t('explain.at_once', { provider });
  const back = /back in (\d+) ms$/.exec(text);
  if (back) return t('explain.soonest', { time: format.duration(Number(back[1]) / 1000) });
  const key = {
    'refused at once: no provider is left': 'explain.none_left',
    'refused at once: no provider serves this model on this protocol': 'explain.none_serves',
  }[text];
  return key ? t(key) : text;
}

function callerName(name) {
  return name === 'anonymous' ? t('explain.anonymous') : name;
}

function excludedReason(reason) {
  return word('excluded', reason.replaceAll(' ', '_')).replaceAll('_', ' ');
}

function candidate(one, place, isChosen) {
  const facts = [
    t('limiter.label', { free: one.free_slots, all: one.rpm }),
    t('explain.in_flight', { n: one.in_flight }),
    one.context_window ? t('mapping.sum_window', { n: format.count(one.context_window) }) : null,
  ].filter(Boolean);
  return h(
    'li.candidate',
    { key: one.provider, class: isChosen ? 'chosen' : one.ready ? '' : 'waiting' },
    h('span.candidate-place', { 'aria-hidden': 'true' }, place),
    h(
      'div.candidate-body',
      {},
      h(
        'p.candidate-name',
        {},
        h('strong', {}, one.provider),
        h('code', {}, one.native_id),
        isChosen && chip('ok', t('explain.chosen')),
        one.ready
          ? !isChosen && chip('info', t('explain.ready'))
          : chip(
              'warn',
              t('explain.ready_in', { time: format.duration((one.ready_in_ms ?? 0) / 1000) }),
            ),
        !one.ready && !one.worth_waiting && chip('off', t('explain.not_worth')),
      ),
      h(
        'div.limit-cell',
        {},
        meter(one.headroom, t('explain.headroom', { share: format.percent(one.headroom) })),
        h('span.muted', {}, t('explain.headroom', { share: format.percent(one.headroom) })),
      ),
      h('p.muted', {}, facts.join(' · ')),
      one.cells.length > 0 &&
        h(
          'ul.cells',
          {},
          one.cells.map((cell) =>
            h(
              'li',
              {},
              chip(cell.rests_ms ? 'warn' : 'off', word('scope', cell.scope)),
              ' ',
              cell.reason ? word('reason', cell.reason) : '',
              ' ',
              h(
                'span.muted',
                {},
                [
                  cell.rests_ms
                    ? t('explain.rests', { time: format.duration(cell.rests_ms / 1000) })
                    : t('explain.past'),
                  t('explain.level', { n: cell.level }),
                ].join(' · '),
              ),
            ),
          ),
        ),
    ),
  );
}
