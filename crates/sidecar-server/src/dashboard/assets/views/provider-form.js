// Adding and editing a provider.

import { get, path, post, put } from '../api.js';
import { busy } from '../components/button.js';
import { toggle } from '../components/field.js';
import { icon } from '../components/icons.js';
import { providerEditor } from '../components/provider-editor.js';
import { providerState } from '../components/provider-state.js';
import { failure, toast } from '../components/toast.js';
import { h, render } from '../dom.js';
import { t } from '../i18n.js';
import * as live from '../live.js';
import { PRESETS } from '../presets.js';
import {
  askRemove,
  resetProvider,
  setEnabled,
  testProvider,
  testText,
} from './provider-actions.js';

export function providerForm({ params, query, body }) {
  const [id] = params;
  let editor = null;
  let base = null;
  let etag = null;
  let tested = null;
  const side = h('div.form-side');

  const fetchIt = async () => {
    const answer = await get(path('backends', id));
    etag = answer.etag;
    return answer.data;
  };
  const load = async () => {
    render(body, h('div.skeleton', {}, h('div')));
    try {
      base = await fetchIt();
      show();
    } catch (error) {
      const text = error.status === 404 ? t('form.gone') : error.message;
      render(body, h('p.notice.bad', { role: 'alert' }, icon('alert'), h('span', {}, text)));
    }
  };
  const show = () => {
    editor = providerEditor({ id, base, preset: presetOf(query), save });
    const columns = { class: id ? 'has-side' : '' };
    body.replaceChildren(h('div.form-columns', columns, editor.node, id && side));
    paintSide();
  };

  const save = async (pressed) => {
    if (!editor.check()) return;
    await busy(pressed, async () => {
      try {
        await (id ? change() : add());
      } catch (error) {
        if (error.status === 412) await takeOver(true);
        else if (!editor.showError(error)) failure(error, t('form.refused'));
      }
    });
  };
  const add = async () => {
    const { data } = await post('/backends', { ...editor.changes(), source: 'webui' });
    toast('ok', t('form.added', { name: data.name }));
    editor.settled();
    location.hash = `#/providers/${encodeURIComponent(data.id)}`;
  };
  const change = async () => {
    const answer = await put(path('backends', id), editor.changes(), { etag });
    toast('ok', t('form.saved', { name: answer.data.name }));
    base = answer.data;
    etag = answer.etag;
    if (!etag) base = await fetchIt();
    show();
  };

  // What somebody else has changed is taken over around what was typed here.
  const takeOver = async (isTold) => {
    try {
      base = await fetchIt();
      const clashing = editor.rebase(base);
      if (!isTold) return;
      const fields = clashing.map((name) => t(`field.${name}`)).join(', ');
      editor.notice(fields ? t('form.conflict', { fields }) : t('form.conflict_other'));
    } catch (error) {
      failure(error);
    }
  };

  const now = () => live.current()?.providers?.[id] ?? base;
  const paintSide = () => {
    if (!base) return;
    const provider = now();
    const models = Object.keys(base.model_mappings ?? {}).filter((name) => name !== '*');
    const isDirty = editor.isDirty();
    const test = async (pressed) => {
      const model = side.querySelector('select')?.value;
      const report = await testProvider(provider, pressed, model);
      if (report) tested = { ok: report.ok, text: testText(report) };
      paintSide();
    };
    const reset = (pressed) => resetProvider(provider, pressed);
    const parts = { provider, models, tested, isDirty, test, reset, remove };
    render(side, providerState(parts));
  };
  const remove = async () => {
    if (!(await askRemove(base))) return;
    editor.settled();
    location.hash = '#/providers';
  };
  const use = async ({ target }) => {
    await setEnabled(base, target);
    await takeOver(false);
  };

  if (id) load();
  else show();
  return {
    head: () => ({
      title: id ? (base?.name ?? t('nav.providers')) : t('form.title_new'),
      back: h('a.back', { href: '#/providers' }, icon('back'), h('span', {}, t('nav.providers'))),
      tools:
        base &&
        base.source !== 'env' &&
        toggle({ label: t('form.use'), checked: now().enabled, act: use }),
    }),
    update: () => id && editor && paintSide(),
    address: (next) => editor?.start(presetOf(next.query)),
    isDirty: () => editor?.isDirty() ?? false,
  };
}

function presetOf(query) {
  return PRESETS.find(({ key }) => key === query.get('preset'));
}
