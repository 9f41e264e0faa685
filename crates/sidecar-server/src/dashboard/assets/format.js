// Numbers, money and times as text, in the reader's language.

import { t, tag } from './i18n.js';

const cache = new Map();

function numberFormat(options) {
  const key = `${tag()} ${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new Intl.NumberFormat(tag(), options));
  return cache.get(key);
}

function dateFormat(options) {
  const key = `d ${tag()} ${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new Intl.DateTimeFormat(tag(), options));
  return cache.get(key);
}

/** Shown where there is nothing to show. */
export const NONE = '–';

/** A whole number in full. */
export function count(value) {
  return value === undefined || value === null
    ? NONE
    : numberFormat({ maximumFractionDigits: 0 }).format(value);
}

/** A number that is easy to read: 1,234 but 41.9M. */
export function compact(value) {
  if (value === undefined || value === null) return NONE;
  const options = { notation: 'compact', maximumFractionDigits: 1 };
  return Math.abs(value) < 10_000 ? count(value) : numberFormat(options).format(value);
}

/** A share from 0 to 1. */
export function percent(share) {
  if (!Number.isFinite(share)) return NONE;
  const digits = share > 0 && share < 0.1 ? 1 : 0;
  return numberFormat({ style: 'percent', maximumFractionDigits: digits }).format(share);
}

/** USD, with more digits the smaller it is. */
export function money(usd) {
  const value = Number(usd);
  if (usd === undefined || usd === null || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : size >= 0.01 ? 4 : 6;
  const options = {
    style: 'currency',
    currency: 'USD',
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  };
  return numberFormat(options).format(value);
}

/** USD on an axis, where space is dear. */
export function moneyShort(usd) {
  const options = {
    style: 'currency',
    currency: 'USD',
    currencyDisplay: 'narrowSymbol',
    notation: 'compact',
    maximumSignificantDigits: 3,
  };
  return numberFormat(options).format(usd);
}

/** A price of a token as USD per million tokens. */
export function perMillion(usdPerToken) {
  return usdPerToken === undefined || usdPerToken === null
    ? ''
    : String(Number((usdPerToken * 1e6).toPrecision(12)));
}

/** A size in bytes. */
export function bytes(value) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  let [size, at] = [value, 0];
  while (size >= 1024 && at < units.length - 1) [size, at] = [size / 1024, at + 1];
  const options = {
    style: 'unit',
    unit: units[at],
    unitDisplay: 'short',
    maximumFractionDigits: size < 10 && at > 0 ? 1 : 0,
  };
  return numberFormat(options).format(size);
}

function unit(value, name, digits = 0) {
  const options = {
    style: 'unit',
    unit: name,
    unitDisplay: 'narrow',
    maximumFractionDigits: digits,
  };
  return numberFormat(options).format(value);
}

/** Milliseconds as a latency. */
export function latency(ms) {
  if (ms === undefined || ms === null) return NONE;
  if (ms < 1000) return `${count(ms)} ms`;
  return `${numberFormat({ maximumFractionDigits: ms < 10_000 ? 2 : 1 }).format(ms / 1000)} s`;
}

/** Seconds by their two largest units: 3d 4h. */
export function duration(seconds) {
  const total = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(total / 86_400), 'day'],
    [Math.floor(total / 3_600) % 24, 'hour'],
    [Math.floor(total / 60) % 60, 'minute'],
    [total % 60, 'second'],
  ];
  const first = Math.max(
    0,
    parts.findIndex(([value]) => value > 0),
  );
  if (total === 0) return unit(0, 'second');
  const shown = parts.slice(first, first + 2).filter(([value]) => value > 0);
  return shown.map(([value, name]) => unit(value, name)).join(' ');
}

/** Seconds that run down: 1:05. */
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  if (left >= 86_400) return duration(left);
  const pad = (value) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(left / 3_600), Math.floor(left / 60) % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(left % 60)}` : `${minutes}:${pad(left % 60)}`;
}

/** How long ago, or how soon. */
export function relative(time, now) {
  if (!time) return t('never');
  const seconds = (Date.parse(time) - now) / 1000;
  const format = new Intl.RelativeTimeFormat(tag(), { numeric: 'auto', style: 'short' });
  const size = Math.abs(seconds);
  if (size < 45) return seconds > 1 ? format.format(Math.round(seconds), 'second') : t('just_now');
  if (size < 3_600) return format.format(Math.round(seconds / 60), 'minute');
  if (size < 86_400) return format.format(Math.round(seconds / 3_600), 'hour');
  return format.format(Math.round(seconds / 86_400), 'day');
}

/** A moment, in the time zone of the reader. */
export function moment(time) {
  return time
    ? dateFormat({ dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }).format(
        new Date(time),
      )
    : NONE;
}

/** A moment in few characters. */
export function momentShort(time) {
  return dateFormat({
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(new Date(time));
}

/** The time of day. */
export function clock(time) {
  return dateFormat({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(
    new Date(time),
  );
}

/** A day of the books, which are kept in UTC. */
export function day(time) {
  return dateFormat({ month: 'short', day: 'numeric', timeZone: 'UTC' }).format(new Date(time));
}
