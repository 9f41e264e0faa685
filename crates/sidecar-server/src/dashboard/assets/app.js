// The frame: logging in, finding the page that the address names, and keeping it up to date.

import { api, get, remove, signedOut } from './api.js';
import { closeDialogs, confirmDialog } from './components/dialog.js';
import { button } from './components/button.js';
import { failure } from './components/toast.js';
import { h, render } from './dom.js';
import { language, setLanguage, t } from './i18n.js';
import * as live from './live.js';
import { resolve } from './routes.js';
import { moreSheet, shell } from './shell.js';
import { loginView } from './views/login.js';

const app = document.getElementById('app');
const login = document.getElementById('login');
const main = h('main', { id: 'main', tabindex: -1 });
const pageHead = h('header.page-head');
const pageBody = h('div.page-body');
main.append(pageHead, pageBody);

let page = null;
let place = null;
let signedIn = false;

const actions = {
  language(name) {
    if (name === language()) return;
    leaveFor(() => {
      setLanguage(name);
      place = null;
      open();
    });
  },
  more: () => moreSheet(actions, place?.route.name),
  theme: () => paint(),
  async signOut() {
    await remove('/session').catch(failure);
    forget();
    showLogin();
  },
};

live.subscribe(paint);
signedOut.addEventListener('signed-out', () => signedIn && showLogin(t('login.over')));
window.addEventListener('hashchange', onAddress);
window.addEventListener('beforeunload', (event) => page?.isDirty?.() && event.preventDefault());
boot();

async function boot() {
  render(app, h('p.loading', { role: 'status' }, t('loading')));
  try {
    await get('/session', { quiet: true });
    enter();
  } catch (error) {
    if (error.status === 401) return showLogin();
    render(
      app,
      h(
        'div.boot-error',
        { role: 'alert' },
        h('h1', {}, t('error.boot')),
        h('p', {}, error.message),
        button(t('retry'), { kind: 'primary', act: boot }),
      ),
    );
  }
}

function enter() {
  signedIn = true;
  login.hidden = true;
  login.replaceChildren();
  app.hidden = false;
  live.start();
  // Whoever comes back after the session was over finds what they left.
  if (page) paint();
  else open();
}

function showLogin(notice) {
  signedIn = false;
  closeDialogs();
  live.stop(true);
  for (const field of app.querySelectorAll('input[type=password]')) field.value = '';
  app.hidden = true;
  login.hidden = false;
  document.title = `${t('login.title')} · Sidecar`;
  const again = () => showLogin(notice);
  login.replaceChildren(loginView({ notice, signIn, again }));
  login.querySelector('input[name=token]')?.focus();
}

async function signIn(token) {
  await api('POST', '/session', { body: { token }, quiet: true });
  enter();
  if (place) document.title = `${place.title()} · Sidecar`;
}

function forget() {
  page?.close?.();
  page = null;
  place = null;
  app.replaceChildren();
}

function onAddress() {
  if (!signedIn) return;
  const next = resolve(location.hash);
  if (place && next.path === place.path) {
    place = next;
    page?.address?.(next);
    return;
  }
  if (!page?.isDirty?.()) return open();
  const target = location.hash;
  history.replaceState(null, '', place.hash);
  leaveFor(() => {
    history.pushState(null, '', target);
    open();
  });
}

/** Runs `go`, after asking if there is something that would be lost. */
async function leaveFor(go) {
  if (page?.isDirty?.()) {
    const body = h('p', {}, t('unsaved.text'));
    const isSure = await confirmDialog({
      title: t('unsaved.title'),
      body,
      label: t('unsaved.leave'),
      danger: true,
    });
    if (!isSure) return paint();
  }
  return go();
}

function open() {
  const isFirst = place === null;
  page?.close?.();
  place = resolve(location.hash);
  page = null;
  document.title = `${place.title()} · Sidecar`;
  pageBody.replaceChildren();
  pageBody.className = `page-body page-${place.route.name}`;
  page = place.route.view({
    params: place.params,
    query: place.query,
    body: pageBody,
    refresh: paint,
  });
  paint();
  window.scrollTo(0, 0);
  if (!isFirst) pageHead.querySelector('h1')?.focus();
}

function paint() {
  if (!signedIn || !place || !page) return;
  render(app, shell({ main, active: place.route.name, actions }));
  const { title = place.title(), lead, tools, back } = page.head?.() ?? {};
  document.title = `${title} · Sidecar`;
  render(
    pageHead,
    h('div.page-title', {}, back, h('h1', { tabindex: -1 }, title), lead && h('p.lead', {}, lead)),
    tools && h('div.tools', {}, tools),
  );
  page.update?.();
}
