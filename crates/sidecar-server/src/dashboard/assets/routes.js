// Which page an address names.

import { t } from './i18n.js';
import { auditView } from './views/audit.js';
import { callersView } from './views/callers.js';
import { cooldownsView } from './views/cooldowns.js';
import { explainView } from './views/explain.js';
import { overviewView } from './views/overview.js';
import { providerForm } from './views/provider-form.js';
import { providersView } from './views/providers.js';
import { settingsView } from './views/settings.js';
import { usageView } from './views/usage.js';

const ROUTES = [
  { name: 'overview', pattern: /^\/$/, view: overviewView },
  { name: 'providers', pattern: /^\/providers$/, view: providersView },
  { name: 'providers', pattern: /^\/providers\/new$/, view: providerForm, title: 'form.title_new' },
  { name: 'providers', pattern: /^\/providers\/([^/]+)$/, view: providerForm },
  { name: 'usage', pattern: /^\/usage$/, view: usageView },
  { name: 'cooldowns', pattern: /^\/cooldowns$/, view: cooldownsView },
  { name: 'callers', pattern: /^\/callers$/, view: callersView },
  { name: 'explain', pattern: /^\/explain$/, view: explainView },
  { name: 'settings', pattern: /^\/settings$/, view: settingsView },
  { name: 'system', pattern: /^\/system$/, view: auditView },
];

/** The page of `hash`; the overview if there is none. */
export function resolve(hash) {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?');
  const wanted = path === '' ? '/' : path;
  const route = ROUTES.find(({ pattern }) => pattern.test(wanted)) ?? ROUTES[0];
  const params = (route.pattern.exec(wanted) ?? []).slice(1).map(decode);
  const title = () => t(route.title ?? `nav.${route.name}`);
  return {
    route,
    path: wanted,
    hash: hash || '#/',
    params,
    query: new URLSearchParams(query),
    title,
  };
}

/** The pages that the navigation has, in its order. */
export const PAGES = [
  ['overview', '#/'],
  ['providers', '#/providers'],
  ['usage', '#/usage'],
  ['cooldowns', '#/cooldowns'],
  ['callers', '#/callers'],
  ['explain', '#/explain'],
  ['settings', '#/settings'],
  ['system', '#/system'],
];

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
