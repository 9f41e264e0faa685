// What providers and the rests of providers are called and how they stand.

import { t } from './i18n.js';
import * as live from './live.js';

/** The providers of the live state, by pool and name. */
export function providers() {
  const all = Object.values(live.current()?.providers ?? {});
  const order = { primary: 0, fallback: 1 };
  return all.sort(
    (one, other) => order[one.pool] - order[other.pool] || one.name.localeCompare(other.name),
  );
}

/** The name of the provider `id`; what was removed is known by the beginning of its id. */
export function providerName(id) {
  const known = live.current()?.providers?.[id];
  return known?.name ?? t('provider.removed', { id: id.slice(0, 8) });
}

/** The seconds that a provider still rests; 0 if it does not. */
export function restLeft(provider) {
  if (!provider?.cooldown_until) return 0;
  return Math.max(0, (Date.parse(provider.cooldown_until) - live.now()) / 1000);
}

/** The models that enabled providers map, by name. */
export function models() {
  const names = providers().flatMap((provider) => Object.keys(provider.model_mappings ?? {}));
  return [...new Set(names)].filter((name) => name !== '*').sort();
}

/** The rests whose planned end is still to come, the newest of each kind. */
export function openRests() {
  const seen = new Set();
  const events = live.current()?.cooldowns ?? [];
  return events.filter((event) => {
    const key = [event.backend_id, event.model, event.scope].join('\n');
    if (seen.has(key)) return false;
    seen.add(key);
    return Date.parse(event.until) > live.now();
  });
}
