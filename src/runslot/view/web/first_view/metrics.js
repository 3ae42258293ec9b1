// All metrics of the shown variants as small charts: found by name, more on demand, one enlarged by a click; and
// curves of picked runs laid over each other. Called by answer.js.
(function () {
  "use strict";
  const { el, chart } = window.runslotChart;
  const FIRST = 12;

  // `tools`: metrics, lines(curves by label), get(names) → promise of { metric: { label: curve } }, size, state, choose.
  function view(tools) {
    const { state, choose } = tools, find = state.find.toLowerCase();
    const kept = tools.metrics.filter((name) => name.toLowerCase().includes(find));
    const count = state.more === "all" ? kept.length : FIRST, names = kept.slice(0, count);
    const field = el("input", { type: "search", id: "find", "data-focus": "find", value: state.find, "aria-label": "Find metrics", placeholder: "find metrics, as loss",
      oninput: (event) => choose({ find: event.target.value }, { replaces: true }) });
    const big = state.big && tools.metrics.includes(state.big) ? state.big : "";
    const shown = big ? [big, ...names.filter((name) => name !== big)] : names;
    const grid = el("div", { class: "multiples", id: "multiples" }, shown.map((name) => tile(name, name === big, tools)));
    const more = kept.length - count;
    return [el("div", { class: "bar", id: "bar" }, field, el("span", { class: "faint", id: "counted" }, `${kept.length} of ${tools.metrics.length} metrics · ${tools.whose}`), tools.logs),
      tools.legend, grid, kept.length ? null : el("p", { class: "faint" }, "No metric has these letters."),
      more > 0 ? el("button", { class: "plain more", id: "more-metrics", onclick: () => choose({ more: "all" }) }, `+ ${more} more`) : null];
  }

  function tile(name, isBig, tools) {
    const section = el("section", { class: isBig ? "tile big" : "tile", "data-metric": name },
      el("h2", {}, el("button", { class: "icon", "data-focus": `big ${name}`, "aria-pressed": String(isBig), title: isBig ? "Smaller" : "Larger", onclick: () => tools.choose({ big: isBig ? "" : name }) }, name)),
      el("p", { class: "faint" }, "…"));
    section.put = (curves) => {
      const box = { width: Math.max(220, section.clientWidth - 4), height: isBig ? 380 : 180 };
      const lines = tools.lines(curves || {});
      const drawn = lines.some((line) => line.curve) ? chart(lines, { ...box, bare: !isBig, xName: tools.xName, yName: name, log: tools.state.log }) : el("p", { class: "faint" }, "None of these logged it.");
      section.replaceChild(drawn, section.children[1]);
    };
    return section;
  }

  // Puts the curves into the tiles, once they stand on the page.
  async function fill(root, tools) {
    const tiles = [...root.querySelectorAll("[data-metric]")];
    for (let i = 0; i < tiles.length; i += FIRST) {
      const some = tiles.slice(i, i + FIRST), curves = await tools.get(some.map((one) => one.dataset.metric));
      if (!curves) return;
      some.forEach((one) => { if (one.isConnected) one.put(curves[one.dataset.metric]); });
    }
  }

  window.runslotMetrics = { view, fill };
})();
