// What was used, by hour and by day.

import { buckets, MEASURES, sumBy, value } from '../books.js';
import { chart, legend } from '../chart.js';
import { button } from '../components/button.js';
import { select } from '../components/field.js';
import { icon } from '../components/icons.js';
import { segmented } from '../components/segmented.js';
import { meter } from '../components/status.js';
import { emptyState, table } from '../components/table.js';
import { h, render, slot } from '../dom.js';
import * as format from '../format.js';
import { t } from '../i18n.js';
import * as live from '../live.js';
import { colours, OTHER } from '../palette.js';
import { providerName } from '../provider.js';
import { seriesOf } from '../series.js';
import { fetchRows, filtered, saveCsv } from './usage-rows.js';

const AGAIN_AFTER = 60_000;
// How much is looked at, and by what: hours up to three days, days beyond.
const RANGES = {
  day: { count: 24, daily: false },
  three: { count: 72, daily: false },
  week: { count: 7, daily: true },
  month: { count: 30, daily: true },
  quarter: { count: 90, daily: true },
  year: { count: 365, daily: true, poolOnly: true },
};
const GROUPS = ['provider', 'model', 'caller', 'pool'];
export function usageView({ body, refresh }) {
  const view = {
    range: 'day',
    group: 'provider',
    measure: 'requests',
    only: { provider: '', model: '', caller: '' },
  };
  const drawing = chart({ height: 280 });
  let rows = null;
  let truncated = false;
  let problem = null;
  let loads = 0;
  let timer = 0;
  let drawn = '';

  const range = () => RANGES[view.range];
  const isPool = () => view.group === 'pool' || range().poolOnly;
  const load = async () => {
    clearTimeout(timer);
    timer = setTimeout(load, AGAIN_AFTER);
    const mine = (loads += 1);
    try {
      const found = await fetchRows(range().poolOnly, range());
      if (mine !== loads) return;
      [rows, truncated, problem] = [found.rows, found.truncated, null];
    } catch (error) {
      if (mine === loads) problem = error;
    }
    drawn = '';
    refresh();
  };
  const pick = (key) => (to) => {
    const before = view.range;
    view[key] = to;
    if (before !== view.range) {
      rows = null;
      load();
    }
    drawn = '';
    refresh();
  };
  const ranges = segmented(
    t('usage.range'),
    Object.keys(RANGES).map((key) => [key, t(`range.${key}`)]),
    view.range,
    pick('range'),
  );
  const measures = segmented(
    t('usage.measure'),
    MEASURES.map((key) => [key, t(`measure.${key}`)]),
    view.measure,
    pick('measure'),
  );
  const groups = segmented(
    t('usage.group'),
    GROUPS.map((key) => [key, t(`group.${key}`)]),
    view.group,
    pick('group'),
  );
  const legendNode = h('div');
  load();

  return {
    close: () => clearTimeout(timer),
    head: () => ({
      tools: button(t('usage.csv'), {
        icon: 'download',
        act: () => saveCsv(range().poolOnly, range(), view),
      }),
    }),
    update() {
      const fitting = rows && filtered(rows, view);
      const summary = fitting && sumBy(fitting, () => 'all').get('all');
      render(
        body,
        h(
          'div.usage-controls',
          {},
          slot(ranges),
          h('div.usage-choices', {}, slot(groups), slot(measures)),
        ),
        filterBar(view, rows, isPool(), () => ((drawn = ''), refresh())),
        problem &&
          h('p.notice.bad', { role: 'alert' }, icon('alert'), h('span', {}, problem.message)),
        truncated && h('p.notice.warn', {}, icon('info'), h('span', {}, t('usage.truncated'))),
        range().poolOnly &&
          h('p.hint', {}, t(view.measure === 'latency' ? 'usage.no_latency' : 'usage.pool_only')),
        !rows && !problem && h('div.skeleton', {}, h('div')),
        rows && [
          sums(summary),
          h(
            'section.panel',
            { key: 'chart' },
            h(
              'div.panel-head',
              {},
              h(
                'h2',
                {},
                t('usage.chart', {
                  measure: t(`measure.${view.measure}`),
                  group: t(`by.${isPool() ? 'pool' : view.group}`),
                }),
              ),
              h('span.muted', {}, t(range().daily ? 'usage.days_utc' : 'usage.hours_local')),
            ),
            slot(drawing.node),
            slot(legendNode),
          ),
          breakdown(fitting, view, isPool()),
        ],
      );
      // The chart changes with its data, not with the seconds.
      const hour = Math.floor(live.now() / 3_600_000);
      const key = JSON.stringify([view, hour]);
      if (rows && key !== drawn) {
        drawn = key;
        const series = draw(drawing, fitting, view, isPool(), range());
        render(legendNode, series.length > 1 && legend(series));
      }
    },
  };
}

function filterBar(view, rows, isPool, changed) {
  if (!rows || isPool) return h('div.filters', { key: 'filters' });
  const one = (key, name) => {
    const values = [...sumBy(rows, (row) => row[key]).keys()];
    if (values.length < 2 && !view.only[key]) return null;
    const options = [['', t(`usage.all_${key}`)], ...values.map((id) => [id, name(id)])];
    const node = select(options, view.only[key], {
      'aria-label': t(`group.${key}`),
      on: { change: (event) => ((view.only[key] = event.target.value), changed()) },
    });
    for (const option of node.options)
      option.toggleAttribute('selected', option.value === view.only[key]);
    return node;
  };
  return h(
    'div.filters',
    { key: 'filters' },
    one('provider', providerName),
    one('model', String),
    one('caller', String),
  );
}

function sums(sum) {
  const cell = (label, text, note) =>
    h(
      'div.tile',
      {},
      h('dt', {}, label),
      h('dd', {}, h('strong', {}, text), note && h('span', {}, note)),
    );
  const errors = sum?.requests > 0 ? sum.errors / sum.requests : NaN;
  return h(
    'dl.tiles',
    { key: 'sums' },
    cell(
      t('measure.requests'),
      format.count(sum?.requests ?? 0),
      sum?.estimated > 0 && t('tile.estimated', { n: format.count(sum.estimated) }),
    ),
    cell(
      t('measure.errors'),
      format.count(sum?.errors ?? 0),
      Number.isFinite(errors) && t('tile.error_share', { share: format.percent(errors) }),
    ),
    cell(
      t('measure.tokens'),
      format.compact(sum?.tokens ?? 0),
      sum?.prompt > 0 &&
        t('usage.token_parts', {
          input: format.compact(sum.prompt),
          output: format.compact(sum.completion),
        }),
    ),
    cell(
      t('measure.cost'),
      format.money(sum?.cost ?? 0),
      sum?.unpriced > 0 && t('tile.unpriced', { n: format.count(sum.unpriced) }),
    ),
    cell(
      t('measure.latency'),
      format.latency(sum?.latencySum > 0 ? sum.latencySum / sum.requests : null),
      sum?.firstCount > 0 &&
        t('usage.first', { time: format.latency(sum.firstSum / sum.firstCount) }),
    ),
  );
}

const FORMATS = {
  requests: [format.count, format.compact],
  errors: [format.count, format.compact],
  tokens: [format.compact, format.compact],
  cost: [format.money, format.moneyShort],
  latency: [format.latency, format.latency],
};

function groupOf(view, isPool) {
  if (isPool) return (row) => row.pool ?? poolOf(row.provider);
  return (row) => row[view.group];
}

function poolOf(id) {
  return live.current()?.providers?.[id]?.pool ?? null;
}

function groupName(view, isPool, name) {
  if (isPool) return name ? t(`pool.short_${name}`) : t('usage.no_pool');
  return view.group === 'provider' ? providerName(name) : name;
}

function draw(drawing, rows, view, isPool, { count, daily }) {
  const { measure } = view;
  const times = buckets(count, daily, live.now());
  const kind = isPool ? 'pool' : view.group;
  const group = groupOf(view, isPool);
  const name = (one) => groupName(view, isPool, one);
  const series = seriesOf(rows, { kind, group, name, measure, times, daily });
  const [full, short] = FORMATS[measure];
  const title = (at) =>
    daily ? format.day(at) : `${format.momentShort(at)} – ${format.clock(at + 3_600_000)}`;
  const label = (at) =>
    daily ? format.day(at) : count > 24 ? format.momentShort(at) : format.clock(at);
  drawing.update({
    kind: measure === 'latency' ? 'lines' : 'bars',
    labels: times.map(label),
    titles: times.map(title),
    series,
    format: full,
    axis: short,
    isWhole: measure !== 'cost' && measure !== 'latency',
    summary: t('usage.chart', { measure: t(`measure.${measure}`), group: t(`by.${kind}`) }),
  });
  return series;
}

function breakdown(rows, view, isPool) {
  const kind = isPool ? 'pool' : view.group;
  const found = [...sumBy(rows, groupOf(view, isPool), view.measure)];
  if (found.length === 0)
    return h('div.panel', { key: 'table' }, emptyState(t('usage.none'), t('usage.none_hint')));
  const names = found.map(([name]) => name);
  const given = colours(kind, names);
  const all = found.reduce((sum, [, one]) => sum + (value(one, view.measure) ?? 0), 0);
  const share = (one) =>
    view.measure === 'latency' || all === 0 ? null : value(one, view.measure) / all;
  const hasDetail = !isPool || rows.some((row) => row.prompt !== undefined);
  const columns = [
    {
      label: t(`group.${kind}`),
      main: true,
      cell: ([name]) => [
        h('span.swatch', { class: given.get(name) ?? OTHER }),
        ' ',
        groupName(view, isPool, name),
      ],
    },
    {
      label: t('usage.share'),
      cell: ([, one]) =>
        share(one) === null
          ? format.NONE
          : h(
              'span.limit-cell',
              {},
              meter(share(one), format.percent(share(one))),
              h('span.muted', {}, format.percent(share(one))),
            ),
    },
    { label: t('measure.requests'), kind: 'number', cell: ([, one]) => format.count(one.requests) },
    {
      label: t('measure.errors'),
      kind: 'number',
      cell: ([, one]) => [
        format.count(one.errors),
        one.errors > 0 && h('span.sub', {}, format.percent(one.errors / one.requests)),
      ],
    },
    { label: t('measure.tokens'), kind: 'number', cell: ([, one]) => format.compact(one.tokens) },
    {
      label: t('measure.cost'),
      kind: 'number',
      cell: ([, one]) => [
        format.money(one.cost),
        one.unpriced > 0 &&
          h('span.sub', {}, t('tile.unpriced', { n: format.count(one.unpriced) })),
      ],
    },
    hasDetail && {
      label: t('measure.latency'),
      kind: 'number',
      cell: ([, one]) => format.latency(one.latencySum > 0 ? one.latencySum / one.requests : null),
    },
  ].filter(Boolean);
  return h(
    'section.panel.flush',
    { key: 'table' },
    table({
      label: t('usage.breakdown'),
      columns,
      rows: found,
      key: ([name]) => `${kind} ${name}`,
      limit: 200,
    }),
  );
}
