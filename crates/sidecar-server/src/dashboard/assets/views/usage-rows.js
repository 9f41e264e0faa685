// Rows of the books: fetched, filtered, and as a file.

import { get, query as queryOf } from '../api.js';
import { buckets, dailyRow, hourlyRow } from '../books.js';
import { failure } from '../components/toast.js';
import { download } from '../csv.js';
import * as live from '../live.js';
import { providerName } from '../provider.js';

const HOURLY_COLUMNS = [
  'hour_bucket',
  'backend_id',
  'provider',
  'model',
  'caller',
  'request_count',
  'error_count',
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'cost',
  'provider_cost',
  'avg_latency_ms',
  'ttft_ms',
  'estimated_requests',
  'unpriced_requests',
  'possible_duplicates',
  'suspect_requests',
];
const DAILY_COLUMNS = [
  'date',
  'pool',
  'total_requests',
  'total_errors',
  'total_tokens',
  'total_cost',
  'provider_cost',
  'unique_backends',
  'estimated_requests',
  'unpriced_requests',
];

/** The rows of a range; those by pool go further back. `exact` keeps every digit of sums. */
export async function fetchRows(byPool, { count, daily }, exact) {
  if (byPool) {
    const { data } = await get(`/stats/daily?days=${count}`, { exact });
    return { raw: data.daily, rows: data.daily.map(dailyRow), truncated: false };
  }
  const hours = daily ? count * 24 : count;
  const { data } = await get(`/stats/hourly${queryOf({ hours })}`, { exact, patience: 60_000 });
  // So many hours reach into the day before the first one that is looked at.
  const [first] = buckets(count, daily, live.now());
  const raw = data.hourly.filter((row) => Date.parse(row.hour_bucket) >= first);
  return { raw, rows: raw.map(hourlyRow), truncated: data.truncated };
}

/** The rows that the choices of `only` let through. */
export function filtered(rows, { only }) {
  return rows.filter((row) =>
    Object.entries(only).every(
      ([key, wanted]) => !wanted || row[key] === undefined || row[key] === wanted,
    ),
  );
}

/** Offers the rows that are looked at as a file. */
export async function saveCsv(byPool, range, view) {
  try {
    const { raw } = await fetchRows(byPool, range, true);
    const day = new Date(live.now()).toISOString().slice(0, 10);
    if (byPool) return download(`sidecar-daily-${day}.csv`, DAILY_COLUMNS, raw);
    const wanted = raw.filter(
      (row) =>
        (!view.only.provider || row.backend_id === view.only.provider) &&
        (!view.only.model || row.model === view.only.model) &&
        (!view.only.caller || row.caller === view.only.caller),
    );
    return download(
      `sidecar-hourly-${day}.csv`,
      HOURLY_COLUMNS,
      wanted.map((row) => ({ ...row, provider: providerName(row.backend_id) })),
    );
  } catch (error) {
    return failure(error);
  }
}
