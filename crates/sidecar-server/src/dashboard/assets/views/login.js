// Logging in with the admin token.

import { busy, iconButton } from '../components/button.js';
import { field, input } from '../components/field.js';
import { icon, mark } from '../components/icons.js';
import { h } from '../dom.js';
import { duration } from '../format.js';
import { LANGUAGES, language, setLanguage, t, tx } from '../i18n.js';

/** `signIn(token)` fails with an `ApiError`; `again()` shows the page anew. */
export function loginView({ notice, signIn, again }) {
  const secret = input({
    type: 'password',
    name: 'token',
    autocomplete: 'current-password',
    required: true,
  });
  const reveal = iconButton(
    'eye',
    t('login.show'),
    () => {
      const isHidden = secret.type === 'password';
      secret.type = isHidden ? 'text' : 'password';
      reveal.setAttribute('aria-pressed', String(isHidden));
      secret.focus();
    },
    { 'aria-pressed': 'false' },
  );
  const token = field({
    label: t('login.token'),
    control: h('div.with-button', {}, secret, reveal),
  });
  const go = h('button.button.primary.wide', { type: 'submit' }, h('span', {}, t('login.go')));
  let timer = 0;

  const waitFor = (seconds) => {
    clearInterval(timer);
    let left = seconds;
    const show = () => {
      if (left <= 0) clearInterval(timer);
      token.setError(left > 0 ? t('login.slow', { wait: duration(left) }) : '');
      left -= 1;
    };
    show();
    timer = setInterval(show, 1000);
  };
  const submit = (event) => {
    event.preventDefault();
    const value = secret.value.trim();
    if (!value) return token.setError(t('login.empty'));
    return busy(go, async () => {
      try {
        clearInterval(timer);
        token.setError('');
        await signIn(value);
        secret.value = '';
      } catch (error) {
        if (error.status === 429) waitFor(error.retryAfter ?? 5);
        else token.setError(error.status === 401 ? t('login.wrong') : error.message);
        secret.select();
      }
    });
  };
  const languages = LANGUAGES.map(([name, text]) =>
    h(
      'button.link',
      {
        type: 'button',
        lang: name,
        'aria-pressed': String(name === language()),
        on: { click: () => (setLanguage(name), again()) },
      },
      text,
    ),
  );

  return h(
    'div.login',
    {},
    h(
      'main.login-card',
      {},
      h('div.login-brand', {}, mark(), h('span', {}, 'Sidecar')),
      h('h1', {}, t('login.title')),
      notice && h('p.notice.info', { role: 'status' }, icon('info'), h('span', {}, notice)),
      h(
        'form',
        { novalidate: true, on: { submit } },
        // Password managers want a name to keep the token under.
        h('input', {
          type: 'text',
          name: 'username',
          value: 'admin',
          autocomplete: 'username',
          hidden: true,
        }),
        token.node,
        go,
      ),
      h(
        'p.login-where',
        {},
        tx('login.where', {
          file: h('code', {}, 'secrets/admin.token'),
          variable: h('code', {}, 'SIDECAR_ADMIN_TOKEN'),
        }),
      ),
    ),
    h('p.login-languages', {}, languages),
  );
}
