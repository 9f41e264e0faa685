// What is around every page: the navigation, and how fresh everything is.

import { iconButton } from './components/button.js';
import { openDialog } from './components/dialog.js';
import { icon, mark } from './components/icons.js';
import { h, slot } from './dom.js';
import { duration } from './format.js';
import { LANGUAGES, language, t } from './i18n.js';
import * as live from './live.js';
import { PAGES } from './routes.js';
import { nextTheme, theme } from './theme-choice.js';

const NARROW = 4;

/** The frame around `main`. */
export function shell({ main, active, actions }) {
  return [
    h(
      'a.skip',
      { key: 'skip', href: '#main', on: { click: (event) => skip(event, main) } },
      t('skip'),
    ),
    h(
      'aside.side',
      { key: 'side' },
      h('a.brand', { href: '#/' }, mark(), h('span', {}, 'Sidecar')),
      h(
        'nav',
        { 'aria-label': t('nav.label') },
        PAGES.map(([name, href]) => entry(name, href, active)),
      ),
      h('div.side-foot', {}, freshness(), controls(actions)),
    ),
    h(
      'header.top',
      { key: 'top' },
      h('a.brand', { href: '#/' }, mark(), h('span', {}, 'Sidecar')),
      freshness(),
    ),
    slot(main),
    h(
      'nav.bottom',
      { key: 'bottom', 'aria-label': t('nav.label') },
      PAGES.slice(0, NARROW).map(([name, href]) => entry(name, href, active)),
      h(
        'button.entry',
        {
          type: 'button',
          'aria-haspopup': 'dialog',
          class: isMore(active) ? 'active' : '',
          on: { click: actions.more },
        },
        icon('more'),
        h('span', {}, t('nav.more')),
      ),
    ),
  ];
}

/** The pages and choices that a narrow screen has no room for. */
export function moreSheet(actions, active) {
  const act = (run) => () => {
    sheet.close();
    run();
  };
  const pages = PAGES.slice(NARROW).map(([name, href]) => {
    const link = entry(name, href, active);
    link.addEventListener('click', () => sheet.close());
    return link;
  });
  const wrapped = {
    ...actions,
    language: (name) => act(() => actions.language(name))(),
    signOut: act(actions.signOut),
  };
  const sheet = openDialog({
    title: t('nav.more'),
    body: [h('nav.sheet-nav', {}, pages), controls(wrapped)],
  });
  sheet.node.classList.add('sheet');
}

function skip(event, main) {
  event.preventDefault();
  main.focus();
}

function isMore(active) {
  return PAGES.slice(NARROW).some(([name]) => name === active);
}

function entry(name, href, active) {
  const isActive = name === active;
  const resting = name === 'cooldowns' ? restingCount() : 0;
  return h(
    'a.entry',
    { href, class: isActive ? 'active' : '', 'aria-current': isActive ? 'page' : undefined },
    icon(name),
    h('span', {}, t(`nav.${name}`)),
    resting > 0 && h('span.count', { title: t('nav.resting', { n: resting }) }, resting),
  );
}

function restingCount() {
  const providers = Object.values(live.current()?.providers ?? {});
  return providers.filter(({ status }) => status === 'cooling' || status === 'error').length;
}

function freshness() {
  const { kind, age } = live.freshness();
  const text = kind === 'stale' ? t('fresh.stale', { age: duration(age) }) : t(`fresh.${kind}`);
  return h(
    'p.fresh',
    { class: kind },
    h('span.fresh-dot', { 'aria-hidden': 'true' }),
    h('span', {}, text),
  );
}

function controls(actions) {
  const chosen = theme();
  const pick = h(
    'select',
    {
      'aria-label': t('language'),
      on: { change: (event) => actions.language(event.target.value) },
    },
    LANGUAGES.map(([name, text]) =>
      h('option', { value: name, selected: name === language() }, text),
    ),
  );
  const next = (event) => {
    nextTheme();
    event.currentTarget.title = '';
    actions.theme();
  };
  return h(
    'div.controls',
    {},
    h('label.language', {}, icon('globe'), pick),
    iconButton({ light: 'sun', dark: 'moon', auto: 'auto' }[chosen], t(`theme.${chosen}`), next),
    iconButton('logout', t('sign_out'), actions.signOut),
  );
}
