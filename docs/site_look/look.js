// What the theme's own script makes when a page is shown gets what a keyboard and a screen reader need of it.
const complete = () => {
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box, place) => {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `Table ${place + 1}`);
  });
  document.querySelectorAll(".md-code__nav:not([role])").forEach((box) => box.setAttribute("role", "group"));
  document.querySelectorAll(".md-search[role=dialog]:not([aria-label])").forEach((box) => box.setAttribute("aria-label", "Search"));
};
complete();
new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
