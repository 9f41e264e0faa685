// How a provider is: by shape, colour and word.

import { h, s } from '../dom.js';
import { t, word } from '../i18n.js';

const SHAPES = {
  healthy: [s('circle', { cx: 6, cy: 6, r: 4.5 })],
  cooling: [s('path', { d: 'M2.5 1.5h7L6.6 6l2.9 4.5h-7L5.4 6z' })],
  error: [s('path', { d: 'M6 .9 11.6 11H.4z' })],
  disabled: [
    s('circle', { cx: 6, cy: 6, r: 4, fill: 'none', 'stroke-width': 1.6 }),
    s('path', { d: 'M3.3 8.7l5.4-5.4', fill: 'none', 'stroke-width': 1.6 }),
  ],
};

/** The shape of a status alone. */
export function shape(status) {
  const paths = (SHAPES[status] ?? SHAPES.disabled).map((path) => path.cloneNode());
  return s('svg.shape', { viewBox: '0 0 12 12', class: status, 'aria-hidden': 'true' }, paths);
}

/** The status of a provider, with the reason if it has one. */
export function badge(status, reason) {
  const why =
    reason && status !== 'healthy' && status !== 'disabled' ? word('reason', reason) : null;
  return h(
    'span.badge',
    { class: status, title: why ?? undefined },
    shape(status),
    h('span', {}, t(`status.${status}`)),
    why && h('span.why', {}, why),
  );
}

/** A mark for anything else. `kind` is `ok`, `warn`, `bad`, `info` or `off`. */
export function chip(kind, text) {
  return h('span.chip', { class: kind }, text);
}

/** A share from 0 to 1 as a bar. */
export function meter(share, label, kind = '') {
  const part = Math.max(0, Math.min(1, Number.isFinite(share) ? share : 0));
  return h(
    'span.meter',
    { role: 'img', 'aria-label': label, title: label, class: kind },
    h('span', { style: { width: `${(part * 100).toFixed(1)}%` } }),
  );
}
