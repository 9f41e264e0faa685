// Talking to the admin API.

import { t } from './i18n.js';

const BASE = '/api/admin';

/** An answer that says no, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, detail, field, retryAfter) {
    super(detail);
    this.status = status;
    this.field = field;
    this.retryAfter = retryAfter;
  }
}

/** Told when the session is over. */
export const signedOut = new EventTarget();

/** Sends one request. Gives `{data, etag}`; throws an `ApiError`. */
export async function api(method, path, { body, etag, exact, patience = 30_000, quiet } = {}) {
  const headers = { accept: 'application/json', 'x-sidecar-csrf': '1' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (etag) headers['if-match'] = etag;
  let response;
  let text;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(patience),
    });
    text = await response.text();
  } catch (error) {
    const isLate = error?.name === 'TimeoutError';
    throw new ApiError(0, t(isLate ? 'error.timeout' : 'error.network'));
  }
  if (response.ok) {
    return { data: text ? parse(text, exact) : null, etag: response.headers.get('etag') };
  }
  const said = parse(text) ?? {};
  if (response.status === 401 && !quiet) signedOut.dispatchEvent(new Event('signed-out'));
  const detail =
    typeof said.detail === 'string' ? said.detail : t('error.status', { status: response.status });
  const retryAfter = Number(response.headers.get('retry-after')) || undefined;
  throw new ApiError(response.status, detail, said.field ?? undefined, retryAfter);
}

export const get = (path, options) => api('GET', path, options);
export const put = (path, body, options) => api('PUT', path, { ...options, body });
export const post = (path, body, options) => api('POST', path, { ...options, body });
export const remove = (path, options) => api('DELETE', path, options);

/** A path of `parts`, each of which may hold anything. */
export function path(...parts) {
  return `/${parts.map((part) => encodeURIComponent(part)).join('/')}`;
}

/** A query of what is set. */
export function query(values) {
  const set = Object.entries(values).filter(
    ([, value]) => value !== undefined && value !== '' && value !== null,
  );
  return set.length > 0 ? `?${new URLSearchParams(set)}` : '';
}

// Sums of money may have more digits than a double holds. With `exact` they are kept as they were
// written, where the browser can tell.
function parse(text, exact) {
  const keep = (key, value, context) =>
    typeof value === 'number' && /cost$/.test(key) && context?.source ? context.source : value;
  try {
    return exact ? JSON.parse(text, keep) : JSON.parse(text);
  } catch {
    return null;
  }
}
