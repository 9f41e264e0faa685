// How everything stands.

import { get } from '../api.js';
import { buckets, hourlyRow } from '../books.js';
import { chart, legend } from '../chart.js';
import { poolPanel } from '../components/pool-panel.js';
import { shape } from '../components/status.js';
import { h, render, slot } from '../dom.js';
import * as format from '../format.js';
import { t, word } from '../i18n.js';
import * as live from '../live.js';
import { openRests, providerName, providers, restLeft } from '../provider.js';
import { seriesOf } from '../series.js';
import { firstSteps } from './empty.js';

const HOURS = 24;
const AGAIN_AFTER = 60_000;

export function overviewView({ body, refresh }) {
  const rate = chart({ height: 190 });
  const day = chart({ height: 190 });
  let rows = null;
  let timer = 0;
  let drawn = { rows: undefined, hour: 0, series: [] };

  const load = async () => {
    clearTimeout(timer);
    timer = setTimeout(load, AGAIN_AFTER);
    try {
      const { data } = await get(`/stats/hourly?hours=${HOURS}`);
      rows = data.hourly.map(hourlyRow);
      refresh();
    } catch {
      // What is shown stays until the next time.
    }
  };
  load();

  return {
    close: () => clearTimeout(timer),
    update() {
      const state = live.current();
      if (!state) return render(body, skeleton());
      const all = providers();
      if (all.length === 0) return render(body, firstSteps({ hasProvider: false }));
      drawRate(rate);
      // It changes with its rows and with the hour, not with the seconds.
      const hour = Math.floor(live.now() / 3_600_000);
      if (drawn.rows !== rows || drawn.hour !== hour) {
        drawn = { rows, hour, series: drawDay(day, rows ?? []) };
      }
      const { series } = drawn;
      return render(
        body,
        headline(state, all),
        state.totals?.total_requests === 0 &&
          firstSteps({
            hasProvider: true,
            testedId: all[0].id,
            model: Object.keys(all[0].model_mappings ?? {}).find((name) => name !== '*'),
          }),
        tiles(state),
        h(
          'div.columns',
          { key: 'charts' },
          panel('rate', [t('overview.rate')], slot(rate.node), legend(rateSeries())),
          panel(
            'day',
            [t('overview.day'), h('a.panel-link', { href: '#/usage' }, t('overview.usage_link'))],
            slot(day.node),
            series.length > 1 && legend(series),
          ),
        ),
        h(
          'div.columns',
          { key: 'pools' },
          ['primary', 'fallback'].map((name) => poolPanel(name, state.pools?.[name] ?? {}, all)),
        ),
        rests(),
      );
    },
  };
}

function skeleton() {
  return h(
    'div.skeleton',
    { role: 'status' },
    h('span.hidden-text', {}, t('loading')),
    h('div'),
    h('div'),
    h('div'),
  );
}

function panel(key, [title, link], ...content) {
  return h('section.panel', { key }, h('div.panel-head', {}, h('h2', {}, title), link), content);
}

// One sentence that says whether anything has to be done, and where requests are.
function headline(state, all) {
  const used = all.filter(({ enabled }) => enabled);
  const by = (status) => used.filter((provider) => provider.status === status);
  const [healthy, cooling, broken] = [by('healthy'), by('cooling'), by('error')];
  let [kind, text, more] = ['ok', t('headline.ok', { n: healthy.length }), t('headline.ok_more')];
  if (state.store_healthy === false)
    [kind, text, more] = ['bad', t('headline.store'), t('headline.store_more')];
  else if (used.length === 0)
    [kind, text, more] = ['bad', t('headline.none'), t('headline.none_more')];
  else if (healthy.length === 0) {
    const next = Math.min(...cooling.map(restLeft));
    [kind, text] = ['bad', t('headline.all_rest')];
    more =
      cooling.length > 0
        ? t('headline.next', { time: format.countdown(next) })
        : t('headline.keys');
  } else if (broken.length > 0) {
    [kind, text, more] = [
      'warn',
      t('headline.broken', { n: broken.length, name: broken[0].name }),
      t('headline.broken_more'),
    ];
  } else if (cooling.length > 0) {
    [kind, text, more] = [
      'warn',
      t('headline.cooling', { n: cooling.length, all: used.length }),
      t('headline.cooling_more'),
    ];
  }
  const shapes = { ok: 'healthy', warn: 'cooling', bad: 'error' };
  return h(
    'section.panel.headline',
    { key: 'headline', class: kind },
    h(
      'div.headline-say',
      {},
      h('span.headline-shape', {}, shape(shapes[kind])),
      h('div', {}, h('h2', {}, text), h('p', {}, more)),
    ),
    flow(state),
  );
}

// The way of a request, with what is on it now.
function flow(state) {
  const perMinute = state.requests_per_minute ?? 0;
  const moving = perMinute > 0 || (state.in_flight ?? 0) > 0;
  const stop = (label, value, unit) =>
    h(
      'div.flow-stop',
      {},
      h('span.flow-label', {}, label),
      h('strong', {}, format.compact(value)),
      h('span.flow-unit', {}, unit),
    );
  const way = () => h('span.flow-way', { class: moving ? 'moving' : '', 'aria-hidden': 'true' });
  return h(
    'div.flow',
    { role: 'group', 'aria-label': t('flow.label') },
    stop(t('flow.rate'), perMinute, t('flow.rate_unit')),
    way(),
    stop(t('flow.queue'), state.queue_depth ?? 0, t('flow.queue_unit')),
    way(),
    stop(t('flow.in_flight'), state.in_flight ?? 0, t('flow.in_flight_unit')),
  );
}

function tiles(state) {
  const sum = state.totals ?? {};
  const errors = sum.total_requests > 0 ? sum.total_errors / sum.total_requests : NaN;
  const notes = [
    sum.unpriced_requests > 0 && t('tile.unpriced', { n: format.count(sum.unpriced_requests) }),
    sum.estimated_requests > 0 && t('tile.estimated', { n: format.count(sum.estimated_requests) }),
  ].filter(Boolean);
  return h(
    'dl.tiles',
    { key: 'tiles' },
    tile(t('tile.requests'), format.compact(sum.total_requests ?? 0), t('tile.since_start')),
    tile(
      t('tile.errors'),
      format.compact(sum.total_errors ?? 0),
      Number.isFinite(errors)
        ? t('tile.error_share', { share: format.percent(errors) })
        : t('tile.no_requests'),
    ),
    tile(t('tile.tokens'), format.compact(sum.total_tokens ?? 0), tokenParts(sum)),
    tile(
      t('tile.cost'),
      format.money(sum.total_cost ?? 0),
      notes.length > 0 ? notes.join(' · ') : t('tile.all_priced'),
    ),
    tile(
      t('tile.uptime'),
      format.duration(live.uptime()),
      t('tile.version', { version: state.version ?? '' }),
    ),
  );
}

function tile(label, value, note) {
  return h(
    'div.tile',
    {},
    h('dt', {}, label),
    h('dd', {}, h('strong', {}, value), h('span', {}, note)),
  );
}

function tokenParts(sum) {
  return t('tile.token_parts', {
    input: format.compact(sum.total_prompt_tokens ?? 0),
    output: format.compact(sum.total_completion_tokens ?? 0),
    cached: format.compact(sum.total_cached_tokens ?? 0),
  });
}

function rateSeries() {
  return [
    { name: t('series.requests'), colour: 'c0', isArea: true },
    { name: t('series.errors'), colour: 'bad' },
  ];
}

function drawRate(rate) {
  const seen = live.history();
  // The newest second stands at the right edge from the beginning.
  const empty = Array.from({ length: Math.max(0, 120 - seen.length) }, () => ({
    at: null,
    requests: null,
    errors: null,
  }));
  const samples = [...empty, ...seen];
  const [requests, errors] = rateSeries();
  const last = samples.at(-1);
  rate.update({
    kind: 'lines',
    labels: samples.map(({ at }, index) =>
      at === null ? '' : ago(samples.length - 1 - index, samples.length),
    ),
    isSparse: true,
    titles: samples.map(({ at }) => (at === null ? '' : format.moment(at))),
    series: [
      { ...requests, values: samples.map((one) => one.requests) },
      { ...errors, values: samples.map((one) => one.errors) },
    ],
    format: (value) => t('per_minute', { n: format.count(value) }),
    axis: (value) => format.compact(value),
    summary: t('overview.rate_summary', { n: last?.requests ?? 0, errors: last?.errors ?? 0 }),
  });
}

function ago(seconds, all) {
  if (seconds === 0) return t('now');
  return seconds % (all > 150 ? 60 : 30) === 0 ? `−${format.countdown(seconds)}` : '';
}

function drawDay(day, rows) {
  const times = buckets(HOURS, false, live.now());
  const series = seriesOf(rows, {
    kind: 'provider',
    group: (row) => row.provider,
    name: providerName,
    measure: 'requests',
    times,
    daily: false,
  });
  const sum = rows.reduce((all, row) => all + row.requests, 0);
  day.update({
    kind: 'bars',
    labels: times.map((at) => format.clock(at)),
    titles: times.map((at) => `${format.momentShort(at)} – ${format.clock(at + 3_600_000)}`),
    series,
    format: format.count,
    axis: format.compact,
    summary: t('overview.day_summary', { n: format.count(sum) }),
  });
  return series;
}

function rests() {
  const events = (live.current()?.cooldowns ?? []).slice(0, 6);
  const open = new Set(openRests());
  return h(
    'section.panel',
    { key: 'rests' },
    h(
      'div.panel-head',
      {},
      h('h2', {}, t('overview.rests')),
      h('a.panel-link', { href: '#/cooldowns' }, t('overview.rests_link')),
    ),
    events.length === 0 && h('p.muted', {}, t('overview.rests_none')),
    h(
      'ul.events',
      {},
      events.map((event) =>
        h(
          'li',
          { key: `${event.at}${event.backend_id}${event.model ?? ''}${event.scope}` },
          h(
            'span.event-time',
            { title: format.moment(event.at) },
            format.relative(event.at, live.now()),
          ),
          h('strong', {}, providerName(event.backend_id)),
          h('span', {}, word('reason', event.reason)),
          event.model && h('code', {}, event.model),
          h(
            'span.event-rest',
            {},
            open.has(event)
              ? t('overview.until', { time: format.clock(event.until) })
              : t('overview.rested', { time: format.duration(event.duration_ms / 1000) }),
          ),
        ),
      ),
    ),
  );
}
