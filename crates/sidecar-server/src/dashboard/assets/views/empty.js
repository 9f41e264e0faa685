// What an empty installation shows: what to do first.

import { copyButton, linkButton } from '../components/button.js';
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { PRESETS } from '../presets.js';

/** Three steps. `state` says how far one is. */
export function firstSteps({ hasProvider, testedId, model }) {
  const command = curl(model ?? 'MODEL');
  return h(
    'section.panel.steps',
    { 'aria-labelledby': 'steps' },
    h('h2', { id: 'steps' }, t('empty.title')),
    h('p.lead', {}, t('empty.lead')),
    h(
      'ol',
      {},
      step(
        1,
        hasProvider,
        t('empty.add'),
        t('empty.add_text'),
        h(
          'div.presets',
          {},
          PRESETS.map(({ key, name, note }) =>
            h(
              'a.preset',
              { key, href: `#/providers/new?preset=${key}` },
              h('strong', {}, name),
              h('span', {}, t(note)),
            ),
          ),
          h(
            'a.preset',
            { href: '#/providers/new' },
            h('strong', {}, t('preset.other')),
            h('span', {}, t('preset.other_note')),
          ),
        ),
      ),
      step(
        2,
        false,
        t('empty.test'),
        t('empty.test_text'),
        testedId &&
          linkButton(t('empty.test_go'), `#/providers/${encodeURIComponent(testedId)}`, {
            icon: 'play',
          }),
      ),
      step(
        3,
        false,
        t('empty.send'),
        t('empty.send_text'),
        h(
          'div.command',
          {},
          h('pre', { tabindex: 0 }, command),
          copyButton(() => command),
        ),
      ),
    ),
  );
}

/** A first request, as a line for a shell. */
export function curl(model) {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] });
  const quoted = body.replaceAll("'", "'\\''");
  return [
    `curl ${location.origin}/v1/chat/completions`,
    "-H 'content-type: application/json'",
    `-d '${quoted}'`,
  ].join(' \\\n  ');
}

function step(number, isDone, title, text, content) {
  return h(
    'li.step',
    { class: isDone ? 'done' : '' },
    h('span.step-number', { 'aria-hidden': 'true' }, isDone ? '✓' : number),
    h('div.step-body', {}, h('h3', {}, title), h('p', {}, text), content),
  );
}
