// When who rested: a lane per provider over time.

import { h, render, s } from './dom.js';
import { clock, countdown } from './format.js';
import { t, word } from './i18n.js';

const LANE = 30;
const AXIS = 24;

/** `update({lanes, from, to})`: each lane is `{name, rests: [{from, to, reason, model}]}`, times in ms. */
export function lanes() {
  const svg = s('svg.lanes-svg', { role: 'img' });
  const node = h('div.lanes', {}, svg);
  let data = null;
  let width = 0;
  const draw = () => {
    if (!data || width < 40) return;
    const height = data.lanes.length * LANE + AXIS;
    const left = Math.min(150, Math.max(84, width * 0.2));
    const x = (time) => left + ((time - data.from) / (data.to - data.from)) * (width - left - 8);
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('height', height);
    svg.setAttribute('aria-label', t('cooldowns.lanes_label', { n: data.lanes.length }));
    render(
      svg,
      hours(data, x, height, width),
      data.lanes.map((lane, index) => row(lane, index, x, left, data, width)),
    );
  };
  new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  }).observe(node);
  return {
    node,
    update(next) {
      data = next;
      draw();
    },
  };
}

function hours(data, x, height, width) {
  const hour = 3_600_000;
  const every =
    (width < 560 ? 8 : 4) * hour * Math.max(1, Math.round((data.to - data.from) / (24 * hour)));
  const marks = [];
  const shift = new Date(data.from).getTimezoneOffset() * 60_000;
  for (
    let at = Math.ceil((data.from - shift) / every) * every + shift;
    at <= data.to;
    at += every
  ) {
    marks.push(
      s(
        'g',
        {},
        s('line.grid', { x1: x(at), x2: x(at), y1: 0, y2: height - AXIS }),
        s('text.tick', { x: x(at), y: height - 6, 'text-anchor': 'middle' }, clock(at)),
      ),
    );
  }
  return marks;
}

function row(lane, index, x, left, data, width) {
  const y = index * LANE;
  const most = Math.floor((left - 12) / 6.8);
  const name =
    [...lane.name].length > most ? `${[...lane.name].slice(0, most - 1).join('')}…` : lane.name;
  const bars = lane.rests.map((rest) => {
    const from = Math.max(x(rest.from), left);
    const to = Math.min(Math.max(x(rest.to), from + 3), width - 8);
    const text = [
      clock(rest.from),
      word('reason', rest.reason),
      rest.model,
      countdown((rest.to - rest.from) / 1000),
    ];
    return s(
      'rect.rest',
      {
        class: rest.kind,
        x: from,
        y: y + 9,
        width: Math.max(3, to - from),
        height: LANE - 18,
        rx: 3,
      },
      s('title', {}, text.filter(Boolean).join(' · ')),
    );
  });
  return s(
    'g',
    { key: lane.name },
    s('text.lane-name', { x: 0, y: y + LANE / 2 + 4 }, name, s('title', {}, lane.name)),
    s('line.lane', { x1: left, x2: width - 8, y1: y + LANE / 2, y2: y + LANE / 2 }),
    bars,
  );
}
