// Dialogs: modal, closed by Escape, with the focus given back afterwards.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { button, busy, iconButton } from './button.js';
import { failure } from './toast.js';

let count = 0;

/**
 * Opens a dialog. `body` is made of nodes; `actions` are buttons; `sticky` ones do not close by
 * Escape. Gives `{close, closed}`, where `closed` ends with what `close` was given.
 */
export function openDialog({ title, body, actions = [], wide, sticky, submit }) {
  const from = document.activeElement;
  const id = `dialog-${(count += 1)}`;
  const close = (result) => {
    if (!node.open) return;
    answer = result;
    node.close();
  };
  let answer;
  const inner = [
    h(
      'header.dialog-head',
      {},
      h('h2', { id }, title),
      !sticky && iconButton('close', t('close'), () => close()),
    ),
    h('div.dialog-body', {}, body),
    actions.length > 0 && h('footer.dialog-actions', {}, actions),
  ];
  const onSubmit = (event) => {
    event.preventDefault();
    submit?.(event);
  };
  const node = h(
    'dialog',
    { class: wide ? 'wide' : '', 'aria-labelledby': id },
    submit ? h('form', { novalidate: true, on: { submit: onSubmit } }, inner) : h('div', {}, inner),
  );
  const closed = new Promise((resolve) => {
    node.addEventListener('close', () => {
      node.remove();
      from?.focus?.();
      resolve(answer);
    });
  });
  node.addEventListener('cancel', (event) => sticky && event.preventDefault());
  node.addEventListener('pointerdown', (event) => {
    if (event.target === node && !sticky && !submit) close();
  });
  document.body.append(node);
  node.showModal();
  return { close, closed, node };
}

/** Closes every dialog that is open. */
export function closeDialogs() {
  for (const node of document.querySelectorAll('dialog[open]')) node.close();
}

/** Asks before something that cannot be taken back. `act` runs while the dialog is open. */
export function confirmDialog({ title, body, label, danger, act }) {
  const confirm = async (event) => {
    const node = event.currentTarget;
    try {
      await busy(node, async () => act?.());
      dialog.close(true);
    } catch (error) {
      failure(error);
    }
  };
  const cancel = button(t('cancel'), {
    kind: 'ghost',
    act: () => dialog.close(false),
    autofocus: true,
  });
  const actions = [cancel, button(label, { kind: danger ? 'danger' : 'primary', act: confirm })];
  const dialog = openDialog({ title, body, actions });
  return dialog.closed.then(Boolean);
}
