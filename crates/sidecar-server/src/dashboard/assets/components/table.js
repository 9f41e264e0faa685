// Tables. On narrow screens each row becomes a card; see `screens.css`.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { button } from './button.js';

/**
 * `columns` are `{label, cell(row), kind, main}`: `kind` is `number`, `actions` or nothing; the
 * `main` one heads the card. `limit` rows are shown, and `more` is called by those who want more.
 */
export function table({ label, columns, rows, key, limit = Infinity, more, rowClass }) {
  const shown = rows.slice(0, limit);
  const head = columns.map(({ label: text, kind, hidden }) =>
    h('th', { scope: 'col', class: kind ?? '' }, hidden ? h('span.hidden-text', {}, text) : text),
  );
  const body = shown.map((row) =>
    h(
      'tr',
      { key: key(row), class: rowClass?.(row) },
      columns.map(({ label: text, cell, kind, main, hidden }) =>
        h(
          main ? 'th' : 'td',
          {
            scope: main ? 'row' : undefined,
            class: [kind ?? '', main ? 'main' : ''].join(' ').trim(),
            data: hidden || main ? {} : { label: text },
          },
          cell(row),
        ),
      ),
    ),
  );
  return h(
    'div.table-box',
    {},
    h(
      'div.table-scroll',
      { tabindex: 0, role: 'region', 'aria-label': label },
      h(
        'table.table',
        {},
        h('caption.hidden-text', {}, label),
        h('thead', {}, h('tr', {}, head)),
        h('tbody', {}, body),
      ),
    ),
    rows.length > shown.length &&
      h(
        'div.table-more',
        {},
        h('span.muted', {}, t('table.shown', { n: shown.length, all: rows.length })),
        button(t('table.more'), { small: true, act: more }),
      ),
  );
}

/** What stands where a table would be empty. */
export function emptyState(text, hint, action) {
  return h('div.empty', {}, h('p.empty-title', {}, text), hint && h('p', {}, hint), action);
}
