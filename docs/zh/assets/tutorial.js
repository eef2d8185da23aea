// Reading needs no script; this one only mends what the theme's script adds.
// Each copy button comes in a <nav>, and a screen reader would list dozens of landmarks without a name.
const mend = () =>
  document.querySelectorAll("nav.md-code__nav:not([role])").forEach((nav) => nav.setAttribute("role", "presentation"));
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
