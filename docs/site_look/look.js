// What the theme's own script makes when a page is shown gets what a keyboard and a screen reader need of it.
let named = 0;
const complete = () => {
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `Table ${++named}`);
  });
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((box) => box.setAttribute("aria-label", `Code ${++named}`));
  document.querySelectorAll(".md-search[role=dialog]:not([aria-label])").forEach((box) => box.setAttribute("aria-label", "Search"));
};
complete();
new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
