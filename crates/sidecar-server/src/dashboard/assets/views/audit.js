// The system: what runs, its copies, and who changed what.

import { get, post, query as queryOf } from '../api.js';
import { busy, button } from '../components/button.js';
import { chip, shape } from '../components/status.js';
import { emptyState, table } from '../components/table.js';
import { failure, toast } from '../components/toast.js';
import { h, render } from '../dom.js';
import * as format from '../format.js';
import { t, word } from '../i18n.js';
import * as live from '../live.js';

const PAGE = 25;

export function auditView({ body, refresh }) {
  let backups = null;
  let backupProblem = null;
  let events = null;
  let eventProblem = null;
  let isAll = false;
  let session = null;

  const loadBackups = async () => {
    try {
      backups = (await get('/backup')).data.backups;
      backupProblem = null;
    } catch (error) {
      backupProblem = error;
    }
    refresh();
  };
  const loadEvents = async () => {
    try {
      const before = events?.at(-1)?.id;
      const found = (await get(`/audit${queryOf({ limit: PAGE, before })}`)).data.events;
      events = [...(events ?? []), ...found];
      isAll = found.length < PAGE;
      eventProblem = null;
    } catch (error) {
      eventProblem = error;
    }
    refresh();
  };
  const loadSession = async () => {
    session = (await get('/session').catch(() => ({ data: null }))).data;
    refresh();
  };
  const makeBackup = (pressed) =>
    busy(pressed, async () => {
      try {
        const { data } = await post('/backup', undefined, { patience: 600_000 });
        toast('ok', t('system.backup_made'), data.name);
        await loadBackups();
      } catch (error) {
        failure(error, t('system.backup_failed'));
      }
    });
  const moreEvents = (event) => busy(event.currentTarget, loadEvents);
  loadBackups();
  loadEvents();
  loadSession();

  return {
    update() {
      const state = live.current();
      render(
        body,
        state && about(state, session),
        h(
          'section.panel.flush',
          { key: 'backups' },
          h(
            'div.panel-head',
            {},
            h(
              'div',
              {},
              h('h2', {}, t('system.backups')),
              h('p.muted', {}, t('system.backups_lead')),
            ),
            button(t('system.backup'), {
              icon: 'archive',
              small: true,
              act: (event) => makeBackup(event.currentTarget),
            }),
          ),
          backupProblem
            ? problem(backupProblem)
            : backups &&
                (backups.length === 0
                  ? emptyState(t('system.no_backups'), t('system.no_backups_hint'))
                  : table({
                      label: t('system.backups'),
                      columns: backupColumns(),
                      rows: backups,
                      key: ({ name }) => name,
                      limit: 20,
                    })),
        ),
        h(
          'section.panel.flush',
          { key: 'audit' },
          h(
            'div.panel-head',
            {},
            h('div', {}, h('h2', {}, t('system.audit')), h('p.muted', {}, t('system.audit_lead'))),
          ),
          eventProblem
            ? problem(eventProblem)
            : events &&
                (events.length === 0
                  ? emptyState(t('system.no_events'))
                  : table({
                      label: t('system.audit'),
                      columns: auditColumns(),
                      rows: events,
                      key: ({ id }) => id,
                    })),
          events &&
            !isAll &&
            !eventProblem &&
            h('div.table-more', {}, button(t('system.older'), { small: true, act: moreEvents })),
        ),
      );
    },
  };
}

function problem(error) {
  return h(
    'div.empty',
    {},
    h('p', {}, error.status === 404 ? t('system.not_here') : error.message),
  );
}

function about(state, session) {
  const isHealthy = state.store_healthy !== false;
  const cell = (label, text, note) =>
    h(
      'div.tile',
      {},
      h('dt', {}, label),
      h('dd', {}, h('strong', {}, text), note && h('span', {}, note)),
    );
  return h(
    'dl.tiles',
    { key: 'about' },
    cell(t('system.version'), state.version ?? format.NONE),
    cell(
      t('tile.uptime'),
      format.duration(live.uptime()),
      t('system.since', { time: format.momentShort(live.now() - live.uptime() * 1000) }),
    ),
    cell(
      t('system.store'),
      h(
        'span.store',
        {},
        shape(isHealthy ? 'healthy' : 'error'),
        ' ',
        t(isHealthy ? 'system.store_ok' : 'system.store_bad'),
      ),
      t(isHealthy ? 'system.store_ok_note' : 'system.store_bad_note'),
    ),
    cell(
      t('system.session'),
      t('system.signed_in'),
      session?.expires_in_seconds
        ? t('system.session_left', { time: format.duration(session.expires_in_seconds) })
        : null,
    ),
  );
}

function backupColumns() {
  return [
    { label: t('system.file'), main: true, cell: ({ name }) => h('code', {}, name) },
    { label: t('system.size'), kind: 'number', cell: ({ size_bytes: size }) => format.bytes(size) },
    {
      label: t('system.made'),
      cell: ({ created_at: at }) => [
        format.moment(at),
        h('span.sub', {}, format.relative(at, live.now())),
      ],
    },
  ];
}

function auditColumns() {
  return [
    {
      label: t('column.when'),
      cell: ({ at }) =>
        h(
          'span',
          { title: format.moment(at) },
          format.momentShort(at),
          h('span.sub', {}, format.relative(at, live.now())),
        ),
    },
    {
      label: t('system.action'),
      main: true,
      cell: ({ action, target }) => [
        h('span.row-name', {}, word('action', action)),
        target && h('span.sub', {}, h('code', {}, target)),
      ],
    },
    {
      label: t('system.fields'),
      cell: ({ fields }) =>
        fields?.length > 0
          ? h('span.wrap', {}, fields.join(', '))
          : h('span.muted', {}, format.NONE),
    },
    {
      label: t('system.actor'),
      cell: ({ actor, peer }) => [word('actor', actor), peer && h('span.sub', {}, peer)],
    },
    {
      label: t('system.outcome'),
      cell: ({ outcome, count }) => [
        outcomeChip(outcome),
        count > 1 && h('span.sub', {}, t('system.times', { n: count })),
      ],
    },
  ];
}

// The status of the answer; a word would do where the server says one.
function outcomeChip(outcome) {
  const status = Number(outcome);
  if (!Number.isFinite(status)) return chip('off', String(outcome));
  const kind = status < 300 ? 'ok' : status === 499 ? 'warn' : 'bad';
  const text =
    status < 300 ? t('system.done') : status === 499 ? t('system.left') : t('system.refused');
  return h('span', { title: `HTTP ${status}` }, chip(kind, `${text} ${status}`));
}
