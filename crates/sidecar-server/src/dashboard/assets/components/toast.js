// Short messages at the edge, read out as they come.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from './icons.js';

const MOST = 4;
const ICONS = { ok: 'check', bad: 'alert', info: 'info' };

/** Shows `text`; `kind` is `ok`, `bad` or `info`. */
export function toast(kind, text, detail) {
  const all = document.getElementById('toasts');
  const close = () => node.remove();
  const node = h(
    'div.toast',
    { class: kind },
    icon(ICONS[kind]),
    h('div.toast-text', {}, h('p', {}, text), detail && h('p.muted', {}, detail)),
    h(
      'button.icon-button',
      { type: 'button', 'aria-label': t('close'), on: { click: close } },
      icon('close'),
    ),
  );
  all.append(node);
  while (all.children.length > MOST) all.firstElementChild.remove();
  // A dialog lies over everything else; only what is in the top layer is seen beside it.
  if (all.showPopover) {
    all.popover = 'manual';
    if (all.matches(':popover-open')) all.hidePopover();
    all.showPopover();
  }
  let timer = setTimeout(close, kind === 'bad' ? 12_000 : 5_000);
  node.addEventListener('pointerenter', () => clearTimeout(timer));
  node.addEventListener('pointerleave', () => (timer = setTimeout(close, 3_000)));
}

/** Shows what went wrong. */
export function failure(error, title) {
  if (error?.status === 401) return;
  const text = error?.field
    ? `${error.field}: ${error.message}`
    : (error?.message ?? String(error));
  toast('bad', title ?? text, title ? text : undefined);
}
