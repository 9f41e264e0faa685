// A classic script, so that it runs before the first paint: a chosen theme must not flash.
(() => {
  try {
    const theme = localStorage.getItem('sidecar.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the system decides.
  }
})();
