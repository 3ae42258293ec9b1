// A sweep under way: how far it is, what runs in which slot, why others wait, what failed with its last line. Called by
// answer.js with what all parts share.
(function () {
  "use strict";
  const { el } = window.runslotChart;

  window.runslotLive = function ({ page, span, dot, runLink }) {
    const now = page.live;
    if (!now) return null;
    const share = (count) => `width:${(100 * count) / now.total}%`;
    const left = now.left_s === null || now.left_s === undefined ? "" : ` · about ${span(now.left_s)} left`;
    const words = `${now.done} of ${now.total} done` + (now.running ? ` · ${now.running} running` : "") + (now.queued ? ` · ${now.queued} queued` : "") + left;
    const bar = el("div", { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": now.total, "aria-valuenow": now.done, "aria-label": "Runs done" },
      el("div", { style: `${share(now.done - now.failed)};background:${page.colours.succeeded}` }), el("div", { style: `${share(now.failed)};background:${page.colours.failed}` }),
      el("div", { style: `${share(now.running)};background:${page.colours.running}` }));
    const slots = now.slots.map((run) => el("li", {}, dot("running"), run.slot ? `${run.slot}: ` : "", runLink(run.run, run.name), ` ${[run.last, span(run.seconds)].filter(Boolean).join(" · ")}`));
    const failures = now.failures.map((run) => el("li", {}, dot(run.state), runLink(run.run, run.name), `: ${run.last || run.state}`));
    const more = now.failed - now.failures.length;
    const waits = (now.waits || []).map((text) => el("li", {}, dot("queued"), text));
    return el("section", { class: "live", id: "live", "aria-label": "Progress" }, el("b", {}, words), bar, waits.length ? el("ul", { class: "waits" }, waits) : null, slots.length ? el("ul", { class: "slots" }, slots) : null,
      failures.length ? el("ul", { class: "failures" }, failures, more > 0 ? el("li", {}, `and ${more} more`) : null) : null);
  };
})();
