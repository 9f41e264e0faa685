// Who may call, and how much.

import { get, path, put, remove } from '../api.js';
import { button, iconButton } from '../components/button.js';
import { confirmDialog } from '../components/dialog.js';
import { toggle } from '../components/field.js';
import { chip, meter } from '../components/status.js';
import { emptyState, table } from '../components/table.js';
import { failure, toast } from '../components/toast.js';
import { h, render } from '../dom.js';
import * as format from '../format.js';
import { t } from '../i18n.js';
import * as live from '../live.js';
import { editCaller, rollKey } from './caller-form.js';

const AGAIN_AFTER = 15_000;
const STATUS = { active: 'ok', expired: 'warn', disabled: 'off' };

export function callersView({ body, refresh }) {
  let callers = null;
  let timer = 0;
  let limit = 100;
  let isClosed = false;

  const load = async () => {
    if (isClosed) return;
    clearTimeout(timer);
    timer = setTimeout(load, AGAIN_AFTER);
    try {
      callers = (await get('/callers')).data.callers;
      refresh();
    } catch (error) {
      if (callers === null) failure(error);
    }
  };
  const setEnabled = async (caller, box) => {
    try {
      await put(path('callers', caller.id), { enabled: box.checked });
      toast(
        'ok',
        t(box.checked ? 'callers.was_enabled' : 'callers.was_disabled', { name: caller.name }),
      );
    } catch (error) {
      box.checked = !box.checked;
      failure(error);
    }
    load();
  };
  const askRemove = (caller) =>
    confirmDialog({
      title: t('callers.remove_title', { name: caller.name }),
      body: [h('p', {}, t('callers.remove_text')), h('p.muted', {}, t('providers.remove_books'))],
      label: t('remove'),
      danger: true,
      act: async () => {
        await remove(path('callers', caller.id));
        toast('ok', t('callers.was_removed', { name: caller.name }));
        load();
      },
    });
  const edit = (caller) => editCaller(caller, callers ?? [], load);
  load();

  const columns = () => [
    {
      label: t('column.caller'),
      main: true,
      cell: (caller) => [
        h('span.row-name', {}, caller.name),
        caller.label && h('span.sub', {}, caller.label),
        modelsLine(caller),
      ],
    },
    {
      label: t('column.status'),
      cell: ({ status, expires_at: end }) => [
        chip(STATUS[status] ?? 'off', t(`caller_status.${status}`)),
        end && h('span.sub', { title: format.moment(end) }, format.relative(end, live.now())),
      ],
    },
    { label: t('column.key'), cell: keyCell },
    {
      label: t('column.spent'),
      cell: ({ live: now, budget_daily_usd: daily, budget_monthly_usd: monthly }) =>
        h(
          'div.spent',
          {},
          spent(t('column.spent_today'), now.spent_today_usd, daily),
          spent(t('column.spent_month'), now.spent_month_usd, monthly),
        ),
    },
    { label: t('column.pace'), cell: paceCell },
    {
      label: t('column.use'),
      cell: (caller) =>
        toggle({
          label: t('callers.use', { name: caller.name }),
          labelHidden: true,
          checked: caller.enabled,
          act: (event) => setEnabled(caller, event.target),
        }),
    },
    {
      label: t('column.actions'),
      hidden: true,
      kind: 'actions',
      cell: (caller) =>
        h(
          'span.row-actions',
          {},
          iconButton('edit', t('callers.edit_named', { name: caller.name }), () => edit(caller)),
          iconButton('key', t('callers.roll_named', { name: caller.name }), () =>
            rollKey(caller, load),
          ),
          iconButton('trash', t('callers.remove_named', { name: caller.name }), () =>
            askRemove(caller),
          ),
        ),
    },
  ];

  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
    head: () => ({
      lead: t('callers.lead'),
      tools: button(t('callers.add'), { kind: 'primary', icon: 'plus', act: () => edit(null) }),
    }),
    update() {
      if (!callers) return render(body, h('div.skeleton', {}, h('div')));
      if (callers.length === 0) {
        return render(
          body,
          h(
            'section.panel',
            {},
            emptyState(
              t('callers.none'),
              t('callers.none_hint'),
              button(t('callers.add'), { kind: 'primary', icon: 'plus', act: () => edit(null) }),
            ),
          ),
        );
      }
      return render(
        body,
        table({
          label: t('nav.callers'),
          columns: columns(),
          rows: callers,
          key: ({ id }) => id,
          limit,
          more: () => ((limit += 500), refresh()),
          rowClass: ({ status }) => (status === 'active' ? '' : 'off'),
        }),
      );
    },
  };
}

function modelsLine({ models }) {
  if (models.length === 0) return null;
  const rest = models.length - 1;
  return h(
    'span.sub.models',
    { title: models.slice(0, 40).join('\n') },
    h('code', {}, models[0]),
    rest > 0 && ` +${format.count(rest)}`,
  );
}

function keyCell({ key_hint: hint, keys }) {
  const newest = keys.at(-1);
  const used = newest?.last_used_at
    ? t('callers.used', { time: format.relative(newest.last_used_at, live.now()) })
    : t('callers.unused');
  const old = keys.length > 1 ? keys[0].expires_at : null;
  return [
    h('code', {}, hint),
    h(
      'span.sub',
      {},
      old ? t('callers.old_key', { time: format.relative(old, live.now()) }) : used,
    ),
  ];
}

function spent(span, amount, budget) {
  if (!budget) return h('p', {}, h('span.muted', {}, span), h('span', {}, format.money(amount)));
  const share = Number(amount) / Number(budget);
  const text = t('callers.of_budget', {
    spent: format.money(amount),
    budget: format.money(budget),
  });
  return h(
    'p',
    {},
    h('span.muted', {}, span),
    h('span', {}, text),
    meter(share, text, share >= 1 ? 'bad' : share >= 0.8 ? 'warn' : ''),
  );
}

function paceCell({ live: now, rpm, concurrency, weight }) {
  const parts = [
    rpm ? t('callers.rpm', { free: now.rpm_remaining ?? rpm, all: rpm }) : t('callers.no_rpm'),
    concurrency
      ? t('callers.at_once', { n: now.in_flight, all: concurrency })
      : t('explain.in_flight', { n: now.in_flight }),
  ];
  return [
    h('span', {}, parts[0]),
    h(
      'span.sub',
      {},
      weight > 1 ? `${parts[1]} · ${t('callers.weight', { n: weight })}` : parts[1],
    ),
  ];
}
