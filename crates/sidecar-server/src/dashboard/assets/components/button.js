// Buttons.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from './icons.js';
import { toast } from './toast.js';

/** A button. `kind` is `primary`, `danger`, `ghost` or nothing. */
export function button(label, { kind = '', icon: name, act, small, ...attrs } = {}) {
  const classes = ['button', kind, small ? 'small' : ''].filter(Boolean).join(' ');
  return h(
    'button',
    { type: 'button', class: classes, on: act ? { click: act } : undefined, ...attrs },
    name && icon(name),
    h('span', {}, label),
  );
}

/** A button that is an icon; its name is read out and shown as a hint. */
export function iconButton(name, label, act, attrs = {}) {
  return h(
    'button.icon-button',
    { type: 'button', title: label, 'aria-label': label, on: { click: act }, ...attrs },
    icon(name),
  );
}

/** A link that looks like a button. */
export function linkButton(label, href, { kind = '', icon: name, small } = {}) {
  const classes = ['button', kind, small ? 'small' : ''].filter(Boolean).join(' ');
  return h('a', { href, class: classes }, name && icon(name), h('span', {}, label));
}

/** Copies `text()` when it is pressed. */
export function copyButton(text, label = t('copy')) {
  const copy = async (event) => {
    const node = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text());
      node.classList.add('done');
      toast('ok', t('copied'));
      setTimeout(() => node.classList.remove('done'), 1500);
    } catch {
      toast('bad', t('copy_failed'));
    }
  };
  return button(label, { icon: 'copy', small: true, act: copy });
}

/** Runs `work` with the button off, so that nobody presses it twice. */
export async function busy(node, work) {
  if (node.getAttribute('aria-busy') === 'true') return undefined;
  node.setAttribute('aria-busy', 'true');
  node.setAttribute('aria-disabled', 'true');
  try {
    return await work();
  } finally {
    node.removeAttribute('aria-busy');
    node.removeAttribute('aria-disabled');
  }
}
