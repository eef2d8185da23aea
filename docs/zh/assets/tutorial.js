// Reading needs no script; this one only mends what the theme's script adds.
// Each copy button comes in a <nav>, and a screen reader would list dozens of landmarks without a name.
// A wide table gets a box that scrolls sideways, and the keyboard must reach it.
const mend = () => {
  document.querySelectorAll("nav.md-code__nav:not([role])").forEach((nav) => nav.setAttribute("role", "presentation"));
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", document.documentElement.lang.startsWith("zh") ? "可以左右滚动" : "Scrolls sideways");
  });
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
