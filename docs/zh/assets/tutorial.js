// Reading needs no script; this one only mends what the theme's script adds, and keeps a reader's place.
// Each copy button comes in a <nav>, and a screen reader would list dozens of landmarks without a name.
// A box that scrolls sideways must be reached by the keyboard, while it does.
const chinese = document.documentElement.lang.startsWith("zh");
const mend = () => {
  document.querySelectorAll("nav.md-code__nav:not([role])").forEach((nav) => nav.setAttribute("role", "presentation"));
  document.querySelectorAll(".md-typeset__scrollwrap, pre.output, .output-table, .math-display").forEach((box) => {
    if (box.scrollWidth <= box.clientWidth || box.tabIndex === 0) return;
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", chinese ? "可以左右滚动" : "Scrolls sideways");
  });
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", mend);
mend();

// The other language opens at the section that is being read: the one the address names while it is in sight,
// else the last one whose heading has gone by.
const section = () => {
  const seen = (node) => node.getBoundingClientRect().top < innerHeight && node.getBoundingClientRect().bottom > 0;
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named && seen(named)) return location.hash;
  const above = [...document.querySelectorAll(".md-content :is(h2, h3)[id]")].filter(
    (heading) => heading.getBoundingClientRect().top < 120, // right under the header
  );
  return scrollY && above.length ? `#${above.at(-1).id}` : "";
};
document.querySelector("a.language")?.addEventListener("click", ({ currentTarget: link }) => {
  link.hash = section();
});
