// Fields of forms: a label, a control, a hint, and what is wrong.

import { h } from '../dom.js';
import { icon } from './icons.js';

let count = 0;

/** A field around `control`. Gives `{node, control, setError, error}`. */
export function field({ label, hint, control, wide, suffix }) {
  const id = `field-${(count += 1)}`;
  const input = control.matches('input, select, textarea')
    ? control
    : control.querySelector('input, select, textarea');
  input.id = id;
  const hintNode = hint && h('p.hint', { id: `${id}-hint` }, hint);
  const wrong = h('p.wrong', { id: `${id}-wrong`, hidden: true });
  const describe = (isWrong) => {
    const ids = [isWrong && wrong.id, hintNode?.id].filter(Boolean).join(' ');
    if (ids) input.setAttribute('aria-describedby', ids);
    else input.removeAttribute('aria-describedby');
  };
  describe(false);
  const node = h(
    'div.field',
    { class: wide ? 'wide' : '' },
    h('label', { for: id }, label),
    suffix ? h('div.with-suffix', {}, control, h('span.suffix', {}, suffix)) : control,
    wrong,
    hintNode,
  );
  const setError = (text) => {
    if ((text || '') === (wrong.dataset.text ?? '')) return;
    wrong.dataset.text = text || '';
    wrong.hidden = !text;
    wrong.replaceChildren(...(text ? [icon('alert'), h('span', {}, text)] : []));
    node.classList.toggle('has-error', Boolean(text));
    if (text) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
    describe(Boolean(text));
  };
  return { node, control: input, setError, hasError: () => !wrong.hidden };
}

/** A line of text. */
export function input(attrs) {
  return h('input', {
    type: 'text',
    autocomplete: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    ...attrs,
  });
}

/** A whole number. It is a text for the keyboard's sake: number fields swallow what they do not like. */
export function numberInput(attrs) {
  return input({ inputmode: 'numeric', class: 'number', ...attrs });
}

/** A choice of `[value, text]`. */
export function select(options, value, attrs = {}) {
  const node = h(
    'select',
    attrs,
    options.map(([key, text]) => h('option', { value: key }, text)),
  );
  node.value = value;
  return node;
}

/** A switch. Its state is said by its place and a sign, not by colour alone. */
export function toggle({ label, checked, act, labelHidden, ...attrs }) {
  const box = h('input', {
    type: 'checkbox',
    role: 'switch',
    checked: Boolean(checked),
    on: act ? { change: act } : undefined,
    'aria-label': labelHidden ? label : undefined,
    ...attrs,
  });
  return h(
    'label.toggle',
    {},
    box,
    h('span.track', { 'aria-hidden': 'true' }),
    !labelHidden && h('span', {}, label),
  );
}

/** A text as a whole number in a range; `undefined` if it is none. */
export function wholeNumber(text, min, max) {
  const clean = text.trim().replaceAll(/[\s_,]/g, '');
  const value = Number(clean);
  return /^\d+$/.test(clean) && value >= min && value <= max ? value : undefined;
}
