// A choice of a few, side by side: radio buttons, so the arrow keys work.

import { h } from '../dom.js';

let count = 0;

/** `options` are `[value, text]`. `act` is called with the value that is chosen. */
export function segmented(label, options, value, act) {
  const name = `segmented-${(count += 1)}`;
  const choices = options.map(([key, text]) =>
    h(
      'label',
      { key },
      h('input', {
        type: 'radio',
        name,
        value: key,
        checked: key === value,
        on: { change: () => act?.(key) },
      }),
      h('span', {}, text),
    ),
  );
  return h('div.segmented', { role: 'radiogroup', 'aria-label': label }, choices);
}

/** The value that is chosen in a segmented control that was made. */
export function chosen(node) {
  return node.querySelector('input:checked')?.value;
}

/** Chooses `value` in a segmented control. */
export function choose(node, value) {
  const box = [...node.querySelectorAll('input')].find((one) => one.value === value);
  if (box) box.checked = true;
}
