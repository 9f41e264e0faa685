// Light, dark, or as the system says.

const KEPT = 'sidecar.theme';
const ORDER = ['auto', 'light', 'dark'];

/** The choice in force. */
export function theme() {
  return document.documentElement.dataset.theme ?? 'auto';
}

/** Takes the next one. */
export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === 'auto') localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, next);
  } catch {
    // Without storage it holds for this page.
  }
}
