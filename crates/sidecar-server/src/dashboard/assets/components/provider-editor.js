// The form of a provider: what has changed, what is wrong, and what somebody else has changed
// meanwhile.

import { originOf } from '../checks.js';
import { h } from '../dom.js';
import { t } from '../i18n.js';
import * as live from '../live.js';
import { PRESETS } from '../presets.js';
import { providers } from '../provider.js';
import { icon } from './icons.js';
import { BLANK, providerFields } from './provider-fields.js';

const FIELDS = Object.keys(BLANK);
// A line that comes in at once would move what is being clicked on.
const AFTER_CLICK = 250;

/** The form of `base`, or of a new provider from `preset`. `save(button)` is called to save. */
export function providerEditor({ id, base, preset, save }) {
  let known = { ...BLANK, ...base };
  let isSettled = false;
  const start = { ...known, ...(id ? {} : preset?.fields) };
  const touched = new Set();
  // What the server has refused stays refused until it is changed.
  const refusals = new Map();

  const { fields, key, mappings, parts } = providerFields({
    start,
    isNew: !id,
    keyHint: id ? t('hint.api_key_kept', { key: base.api_key }) : t('hint.api_key'),
    rate: live.current()?.providers?.[id]?.rate_limiter?.rate_per_minute,
    others: providers().flatMap((provider) => (provider.id === id ? [] : [provider.name])),
    needsKey: (url) => !id || originOf(url) !== originOf(known.api_base_url),
    changed: () => onChange(),
  });
  const checked = [...Object.values(fields), key].filter(({ check }) => check);

  const values = () => Object.fromEntries(FIELDS.map((name) => [name, fields[name].get()]));
  const changedFrom = (from) => {
    const now = values();
    return FIELDS.filter((name) => !isSame(now[name], from[name]));
  };
  const isDirty = () => key.get() !== '' || changedFrom(id ? known : start).length > 0;
  const refusal = ({ slot }) => {
    const said = refusals.get(slot);
    return said && said.value === slot.control.value ? said.message : '';
  };
  const check = (isAll) => {
    // A key that is missing is said as soon as the address has moved away from it.
    const isMoved = id && touched.has(fields.api_base_url);
    for (const one of checked) {
      const isNow = isAll || touched.has(one) || (one === key && isMoved);
      if (isNow) one.slot.setError(one.check() || refusal(one));
    }
  };
  const onChange = () => {
    isSettled = false;
    fields.burst.node.hidden = fields.limit_shape.get() !== 'smooth';
    check(false);
    bar.classList.toggle('is-dirty', isDirty());
  };
  const onLeave = ({ target }) => {
    const one = checked.find(({ slot }) => slot.control === target);
    if (!one) return;
    touched.add(one);
    setTimeout(() => check(false), AFTER_CLICK);
  };

  const notice = h('p.notice.warn', { role: 'alert', hidden: true });
  const vendors = PRESETS.map((vendor) => vendorChip(vendor, preset));
  const submit = h(
    'button.button.primary',
    { type: 'submit' },
    h('span', {}, t(id ? 'save' : 'form.add')),
  );
  const bar = h(
    'div.form-save',
    {},
    submit,
    h('a.button.ghost', { href: '#/providers' }, h('span', {}, t('cancel'))),
    h('span.unsaved', {}, t('unsaved.hint')),
  );
  const onSubmit = (event) => {
    event.preventDefault();
    save(submit);
  };
  const isFixed = base?.source === 'env';
  const node = h(
    'form.form',
    {
      novalidate: true,
      on: { submit: onSubmit, input: onChange, change: onChange, focusout: onLeave },
    },
    isFixed && h('p.notice.info', {}, icon('lock'), h('span', {}, t('form.env'))),
    notice,
    !id && h('nav.preset-row', { 'aria-label': t('form.presets') }, vendors),
    parts,
    bar,
  );
  if (isFixed) {
    const controls = node.querySelectorAll('input, select, textarea, button');
    for (const control of controls) control.disabled = true;
  }
  onChange();

  return {
    node,
    isDirty: () => !isSettled && isDirty(),
    /** What is on the form is what is stored, or does not count any more. */
    settled: () => (isSettled = true),
    /** What is to be sent. */
    changes() {
      const now = values();
      const changed = Object.fromEntries(changedFrom(known).map((name) => [name, now[name]]));
      return key.get() ? { ...changed, api_key: key.get() } : changed;
    },
    /** Whether everything may be sent; what may not is shown. */
    check() {
      refusals.clear();
      check(true);
      const [wrong] = mappings.errors();
      if (wrong) mappings.showError(wrong.filter(Boolean).join(': '));
      const first = node.querySelector('[aria-invalid="true"]') ?? (wrong ? mappings.node : null);
      reveal(first);
      return !first;
    },
    /** Shows an error of the server at its field. Gives whether it has one. */
    showError({ field: at, message }) {
      if (!at) return false;
      const [name, ...inner] = at.split('.');
      if (name === 'model_mappings') {
        mappings.showError([inner.join('.'), message].filter(Boolean).join(': '));
        reveal(mappings.node);
        return true;
      }
      const slot = name === 'api_key' ? key.slot : fields[name]?.slot;
      if (!slot) return false;
      refusals.set(slot, { value: slot.control.value, message });
      slot.setError(message);
      reveal(slot.control);
      return true;
    },
    /** Fills in what is known of a vendor. */
    start(vendor) {
      const { api, rpm_limit } = BLANK;
      const filled = { api, rpm_limit, ...vendor?.fields };
      for (const [name, to] of Object.entries(filled)) fields[name].set(to);
      for (const chip of vendors) {
        if (chip.dataset.key === vendor?.key) chip.setAttribute('aria-current', 'true');
        else chip.removeAttribute('aria-current');
      }
      onChange();
      key.slot.control.focus();
    },
    /**
     * Takes `theirs` for what is stored. Fields that were not edited here follow; gives the names
     * of those that both have changed.
     */
    rebase(theirs) {
      const now = values();
      const next = { ...BLANK, ...theirs };
      const moved = FIELDS.filter((name) => !isSame(next[name], known[name]));
      const isMine = (name) => !isSame(now[name], known[name]);
      const clashing = moved.filter((name) => isMine(name) && !isSame(now[name], next[name]));
      for (const name of moved) if (!isMine(name)) fields[name].set(next[name]);
      known = next;
      onChange();
      return clashing;
    },
    /** Says something above everything else. */
    notice(words) {
      notice.replaceChildren(icon('alert'), h('span', {}, words));
      notice.hidden = false;
      reveal(notice);
    },
  };
}

function vendorChip({ key, name }, preset) {
  const isChosen = preset?.key === key;
  const href = `#/providers/new?preset=${key}`;
  const attrs = { href, data: { key }, 'aria-current': isChosen ? 'true' : undefined };
  return h('a.preset-chip', attrs, name);
}

function reveal(node) {
  if (!node) return;
  const folded = node.closest('details');
  if (folded) folded.open = true;
  node.scrollIntoView({ block: 'center' });
  if (node.matches('input, select, textarea')) node.focus({ preventScroll: true });
}

// Order does not count in objects.
function isSame(one, other) {
  return canonical(one) === canonical(other);
}

function canonical(value) {
  const sorted = (key, inner) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner;
  return JSON.stringify(value ?? null, sorted);
}
