// Before the first paint, so that a dark page does not flash.
(function () {
  let theme = null;
  try { theme = localStorage.getItem("flamepy-theme"); } catch { /* no storage */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
