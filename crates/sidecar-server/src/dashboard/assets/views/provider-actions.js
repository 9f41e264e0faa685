// What can be done to a provider besides editing it.

import { path, post, put, remove } from '../api.js';
import { busy } from '../components/button.js';
import { confirmDialog } from '../components/dialog.js';
import { failure, toast } from '../components/toast.js';
import { h } from '../dom.js';
import * as format from '../format.js';
import { has, t, word } from '../i18n.js';

// A test waits as long as the provider may.
const TEST_PATIENCE = 660_000;

/** Sends one cheap request and says what came of it. Gives the report, if there is one. */
export function testProvider(provider, node, model) {
  return busy(node, async () => {
    try {
      const { data } = await post(
        `${path('backends', provider.id)}/test`,
        model ? { model } : undefined,
        { patience: TEST_PATIENCE },
      );
      toast(
        data.ok ? 'ok' : 'bad',
        t(data.ok ? 'test.ok' : 'test.failed', { name: provider.name }),
        testText(data),
      );
      return data;
    } catch (error) {
      failure(error, t('test.failed', { name: provider.name }));
      return undefined;
    }
  });
}

/** What a test showed, in words, with what to do about it. */
export function testText({ ok, status, latency_ms: ms, verdict, model }) {
  const facts = [
    status ? `HTTP ${status}` : null,
    format.latency(ms),
    ok ? null : word('reason', verdict),
    model ?? t('test.list_only'),
  ].filter(Boolean);
  const advice = !ok && has(`advice.${verdict}`) ? ` ${t(`advice.${verdict}`)}` : '';
  return `${facts.join(' · ')}.${advice}`;
}

/** Clears the rests of a provider. */
export function resetProvider(provider, node) {
  return busy(node, async () => {
    try {
      await post(`${path('backends', provider.id)}/reset`);
      toast('ok', t('providers.was_reset', { name: provider.name }));
    } catch (error) {
      failure(error);
    }
  });
}

/** Uses a provider, or no longer; `box` is the switch that says so. */
export async function setEnabled(provider, box) {
  const enabled = box.checked;
  try {
    await put(path('backends', provider.id), { enabled });
    toast(
      'ok',
      t(enabled ? 'providers.was_enabled' : 'providers.was_disabled', { name: provider.name }),
    );
  } catch (error) {
    box.checked = !enabled;
    failure(error);
  }
}

/** Asks, then removes a provider. Gives whether it is gone. */
export function askRemove(provider, etag) {
  const models = Object.keys(provider.model_mappings ?? {}).length;
  return confirmDialog({
    title: t('providers.remove_title', { name: provider.name }),
    body: [
      h('p', {}, t('providers.remove_text', { n: models })),
      h('p.muted', {}, t('providers.remove_books')),
    ],
    label: t('remove'),
    danger: true,
    act: async () => {
      await remove(path('backends', provider.id), { etag });
      toast('ok', t('providers.was_removed', { name: provider.name }));
    },
  });
}
