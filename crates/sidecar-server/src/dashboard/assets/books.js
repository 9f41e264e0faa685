// Sums over rows of the books.

/** What can be shown of the books: how a row is read, and how it is written. */
export const MEASURES = ['requests', 'errors', 'tokens', 'cost', 'latency'];

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** What a row of `/stats/hourly` says, with numbers for amounts. */
export function hourlyRow(row) {
  const requests = row.request_count ?? 0;
  return {
    at: Date.parse(row.hour_bucket),
    provider: row.backend_id,
    model: row.model,
    caller: row.caller,
    requests,
    errors: row.error_count ?? 0,
    prompt: row.prompt_tokens ?? 0,
    completion: row.completion_tokens ?? 0,
    tokens: row.total_tokens ?? 0,
    cost: Number(row.cost ?? 0),
    unpriced: row.unpriced_requests ?? 0,
    estimated: row.estimated_requests ?? 0,
    // A sum again, so that averages of averages are right.
    latencySum: (row.avg_latency_ms ?? 0) * requests,
    firstSum: (row.ttft_ms ?? 0) * Math.max(0, requests - (row.error_count ?? 0)),
    firstCount:
      row.ttft_ms === null || row.ttft_ms === undefined
        ? 0
        : Math.max(0, requests - (row.error_count ?? 0)),
  };
}

/** What a row of `/stats/daily` says, in the same form. */
export function dailyRow(row) {
  return {
    at: Date.parse(`${row.date}T00:00:00Z`),
    pool: row.pool ?? null,
    requests: row.total_requests ?? 0,
    errors: row.total_errors ?? 0,
    tokens: row.total_tokens ?? 0,
    cost: Number(row.total_cost ?? 0),
    unpriced: row.unpriced_requests ?? 0,
    estimated: row.estimated_requests ?? 0,
  };
}

/** The beginnings of the last `count` hours or days, the running one included. */
export function buckets(count, isDaily, now) {
  const size = isDaily ? DAY : HOUR;
  const last = Math.floor(now / size) * size;
  return Array.from({ length: count }, (_, index) => last - (count - 1 - index) * size);
}

/** The bucket that `at` is in. */
export function bucketOf(at, isDaily) {
  const size = isDaily ? DAY : HOUR;
  return Math.floor(at / size) * size;
}

const SUMMED = [
  'requests',
  'errors',
  'prompt',
  'completion',
  'tokens',
  'cost',
  'unpriced',
  'estimated',
  'latencySum',
  'firstSum',
  'firstCount',
];

/** The sums of `rows` by `group(row)`, as `Map<name, sums>`, the largest first by `measure`. */
export function sumBy(rows, group, measure = 'requests') {
  const sums = new Map();
  for (const row of rows) {
    const name = group(row);
    let sum = sums.get(name);
    if (!sum) sums.set(name, (sum = Object.fromEntries(SUMMED.map((field) => [field, 0]))));
    for (const field of SUMMED) sum[field] += row[field] ?? 0;
  }
  return new Map(
    [...sums].sort(([, one], [, other]) => value(other, measure) - value(one, measure)),
  );
}

/** What `measure` is of sums; `null` if there is nothing to take an average of. */
export function value(sum, measure) {
  if (measure !== 'latency') return sum[measure] ?? 0;
  return sum.requests > 0 ? sum.latencySum / sum.requests : null;
}
