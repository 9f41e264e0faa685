// Charts in SVG: stacked bars and lines over time, with values to hover over or to step through by
// the arrow keys. What a chart shows is said in words, too: each change of place is read out.

import { h, render, s } from './dom.js';
import { t } from './i18n.js';

const PAD = { top: 10, right: 6, bottom: 22 };
const GAP = 2;

/**
 * A chart that looks after itself. `update({kind, labels, titles, series, format, axis, summary})`
 * draws it anew: `kind` is `bars` or `lines`; `labels` stand below, `titles` above the values; each
 * series is `{name, colour, values}`; `format` is for values, `axis` for the scale. With `isSparse`
 * every label that there is has room.
 */
export function chart({ height = 220 } = {}) {
  const svg = s('svg.chart-svg', { tabindex: 0, role: 'img' });
  const tip = h('div.chart-tip', { hidden: true, 'aria-hidden': 'true' });
  const spoken = h('p.hidden-text', { 'aria-live': 'polite' });
  const node = h('div.chart', { style: { height: `${height}px` } }, svg, tip, spoken);
  let data = null;
  let scale = null;
  let at = null;
  let width = 0;

  const draw = () => {
    if (!data || width < 40) return;
    scale = layout(data, width, height);
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('aria-label', `${data.summary} ${t('chart.keys')}`);
    render(
      svg,
      grid(scale, data, width),
      data.kind === 'bars' ? bars(data, scale) : lines(data, scale),
      cursor(scale, data, at),
    );
  };
  const point = (next, isSpoken) => {
    at = next;
    draw();
    showTip(tip, scale, data, at, width);
    if (isSpoken && at !== null) spoken.textContent = sentence(data, at);
  };
  const onMove = (event) => {
    if (!scale) return;
    const x = event.clientX - svg.getBoundingClientRect().left - scale.left;
    const next = Math.max(0, Math.min(scale.count - 1, Math.floor(x / scale.step)));
    if (next !== at) point(next);
  };
  const onKey = (event) => {
    const last = (scale?.count ?? 0) - 1;
    const from = at ?? last + 1;
    const next = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (event.key === 'Escape') return point(null);
    if (next === undefined || last < 0) return undefined;
    event.preventDefault();
    return point(Math.max(0, Math.min(last, next)), true);
  };
  svg.addEventListener('pointermove', onMove);
  svg.addEventListener('pointerdown', onMove);
  svg.addEventListener('pointerleave', () => point(null));
  svg.addEventListener('keydown', onKey);
  svg.addEventListener('blur', () => point(null));
  new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  }).observe(node);
  return {
    node,
    update(next) {
      data = next;
      if (at !== null && at >= next.labels.length) at = null;
      draw();
      if (at !== null) showTip(tip, scale, data, at, width);
    },
  };
}

/** What the colours stand for. */
export function legend(series) {
  return h(
    'ul.legend',
    {},
    series.map(({ name, colour }) =>
      h('li', { key: name }, h('span.swatch', { class: colour }), h('span', {}, name)),
    ),
  );
}

function layout(data, width, height) {
  const count = data.labels.length;
  const tops = data.labels.map((_, index) => {
    const values = data.series.map(({ values }) => values[index] ?? 0);
    return data.kind === 'bars'
      ? values.reduce((sum, value) => sum + value, 0)
      : Math.max(...values);
  });
  const { top, step: tick } = niceTop(Math.max(0, ...tops), data.isWhole);
  const ticks = [];
  for (let value = 0; value <= top * 1.0001; value += tick) ticks.push(value);
  const longest = Math.max(...ticks.map((value) => [...data.axis(value)].length));
  const left = 12 + longest * 6.6;
  const inner = width - left - PAD.right;
  const y = (value) => height - PAD.bottom - (value / top) * (height - PAD.top - PAD.bottom);
  return { count, left, inner, step: inner / Math.max(1, count), y, ticks, height, base: y(0) };
}

function niceTop(most, isWhole) {
  if (most <= 0) return { top: 4, step: isWhole === false ? 2 : 1 };
  const raw = most / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 2.5, 3, 4, 5, 10].map((factor) => factor * size).find((value) => value >= raw);
  if (isWhole !== false) step = Math.max(1, Math.ceil(step));
  return { top: Math.ceil(most / step - 1e-9) * step, step };
}

function grid(scale, data, width) {
  const rows = scale.ticks.map((value, index) =>
    s(
      'g',
      { key: `y${index}` },
      s('line.grid', {
        class: index === 0 ? 'base' : '',
        x1: scale.left,
        x2: width - PAD.right,
        y1: scale.y(value),
        y2: scale.y(value),
      }),
      s(
        'text.tick',
        { x: scale.left - 8, y: scale.y(value) + 4, 'text-anchor': 'end' },
        data.axis(value),
      ),
    ),
  );
  const longest = Math.max(1, ...data.labels.map((label) => [...label].length));
  const every = Math.max(1, Math.ceil((longest * 7 + 18) / scale.step));
  // Counted from the end: the newest is what people look for.
  const columns = data.labels.map((label, index) => {
    if (!label || (!data.isSparse && (scale.count - 1 - index) % every !== 0)) return null;
    const x = scale.left + (index + 0.5) * scale.step;
    const half = longest * 3.4;
    const anchor = x - half < scale.left - 20 ? 'start' : x + half > width ? 'end' : 'middle';
    return s(
      'text.tick',
      {
        key: `x${index}`,
        x: anchor === 'end' ? width - 2 : x,
        y: scale.height - 5,
        'text-anchor': anchor,
      },
      label,
    );
  });
  return [rows, columns];
}

function bars(data, scale) {
  const wide = Math.max(1, Math.min(26, scale.step - Math.max(1, scale.step * 0.24)));
  return data.labels.map((_, index) => {
    const x = scale.left + (index + 0.5) * scale.step - wide / 2;
    let sum = 0;
    const parts = data.series
      .map(({ values, colour }) => ({ value: values[index] ?? 0, colour }))
      .filter(({ value }) => value > 0);
    return parts.map(({ value, colour }, place) => {
      const isTop = place === parts.length - 1;
      const from = scale.y(sum);
      sum += value;
      const to = scale.y(sum);
      const gap = isTop || wide < 5 || from - to < 4 ? 0 : GAP;
      return s('path.bar', {
        class: colour,
        d: column(
          x,
          to + gap,
          wide,
          Math.max(0.75, from - to - gap),
          isTop ? Math.min(3, wide / 2, from - to) : 0,
        ),
      });
    });
  });
}

// A rectangle whose upper corners are round.
function column(x, y, width, height, radius) {
  const r = Math.max(0, Math.min(radius, height));
  const side = height - r;
  return `M${x} ${y + height}v${-side}q0 ${-r} ${r} ${-r}h${width - 2 * r}q${r} 0 ${r} ${r}v${side}z`;
}

function lines(data, scale) {
  return data.series.map(({ name, values, colour, isArea }) => {
    const runs = [[]];
    values.forEach((value, index) => {
      if (value === null || value === undefined) runs.push([]);
      else runs.at(-1).push([scale.left + (index + 0.5) * scale.step, scale.y(value)]);
    });
    const known = runs.filter((run) => run.length > 0);
    const path = (run) => `M${run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}`;
    const line = known.map((run) => (run.length === 1 ? `${path(run)}h.01` : path(run))).join('');
    const area = known.map((run) => `${path(run)}V${scale.base}H${run[0][0].toFixed(1)}z`).join('');
    return s(
      'g',
      { key: name, class: colour },
      isArea && s('path.area', { d: area }),
      s('path.line', { d: line }),
    );
  });
}

function cursor(scale, data, at) {
  if (at === null || at >= scale.count) return null;
  const x = scale.left + at * scale.step;
  const middle = x + scale.step / 2;
  if (data.kind === 'bars')
    return s('rect.cursor', {
      key: 'cursor',
      x,
      y: PAD.top - 4,
      width: scale.step,
      height: scale.base - PAD.top + 4,
    });
  const dots = data.series.map(({ values, colour }) => {
    const value = values[at];
    return value === null || value === undefined
      ? null
      : s('circle.dot', { class: colour, cx: middle, cy: scale.y(value), r: 4 });
  });
  return s(
    'g',
    { key: 'cursor' },
    s('line.cursor-line', { x1: middle, x2: middle, y1: PAD.top - 4, y2: scale.base }),
    dots,
  );
}

// What has a part at this place, the largest first; in a line chart everything that is known.
function parts(data, at) {
  const known = data.series.map(({ name, colour, values }) => ({
    name,
    colour,
    value: values[at],
  }));
  if (data.kind !== 'bars')
    return known.filter(({ value }) => value !== null && value !== undefined);
  return known.filter(({ value }) => value > 0).sort((one, other) => other.value - one.value);
}

function total(data, at) {
  return data.series.reduce((sum, { values }) => sum + (values[at] ?? 0), 0);
}

function showTip(tip, scale, data, at, width) {
  tip.hidden = at === null || !scale;
  if (tip.hidden) return;
  const rows = parts(data, at);
  const hasTotal = data.kind === 'bars' && data.series.length > 1;
  render(
    tip,
    h('p.chart-tip-title', {}, data.titles[at]),
    h(
      'table',
      {},
      h(
        'tbody',
        {},
        rows.map(({ name, colour, value }) =>
          h(
            'tr',
            {},
            h('th', {}, h('span.swatch', { class: colour }), name),
            h('td', {}, data.format(value)),
          ),
        ),
        hasTotal &&
          h('tr.total', {}, h('th', {}, t('total')), h('td', {}, data.format(total(data, at)))),
        rows.length === 0 && !hasTotal && h('tr', {}, h('th', {}, t('nothing'))),
      ),
    ),
  );
  // Beside the place, on the side that has room.
  const before = scale.left + at * scale.step - 8;
  const after = before + scale.step + 16;
  const fits = after + tip.offsetWidth <= width || before < width / 2;
  const left = fits ? Math.min(after, width - tip.offsetWidth) : before - tip.offsetWidth;
  tip.style.left = `${Math.max(0, left)}px`;
}

function sentence(data, at) {
  const rows = parts(data, at).map(({ name, value }) => `${name} ${data.format(value)}`);
  const sum =
    data.kind === 'bars' && data.series.length > 1
      ? [`${t('total')} ${data.format(total(data, at))}`]
      : [];
  return [data.titles[at], ...sum, ...(rows.length > 0 ? rows : [t('nothing')])].join(', ');
}
