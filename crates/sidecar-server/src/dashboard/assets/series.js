// What a chart of the books is made of.

import { bucketOf, sumBy, value } from './books.js';
import { t } from './i18n.js';
import { colours, OTHER } from './palette.js';

/**
 * One series for each group of `rows`, over `times`, which are days if `daily`. `group(row)` names
 * the group, `name(group)` is what it is called, `kind` is what groups are. Groups beyond the
 * colours that there are become one.
 */
export function seriesOf(rows, { kind, group, name, measure, times, daily }) {
  const none = measure === 'latency' ? null : 0;
  const valuesOf = (its) => {
    const sums = sumBy(its, (row) => bucketOf(row.at, daily));
    return times.map((at) => (sums.has(at) ? value(sums.get(at), measure) : none));
  };
  const names = [...sumBy(rows, group, measure).keys()];
  const given = colours(kind, names);
  const series = [...given].map(([one, colour]) => {
    const its = rows.filter((row) => group(row) === one);
    return { name: name(one), colour, values: valuesOf(its) };
  });
  const others = names.length - given.size;
  if (others === 0) return series;
  const its = rows.filter((row) => !given.has(group(row)));
  return [
    ...series,
    { name: t('usage.others', { n: others }), colour: OTHER, values: valuesOf(its) },
  ];
}
