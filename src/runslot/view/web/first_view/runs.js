// All runs, one click deeper than the variants; those that are picked laid over each other, with the settings in which
// they differ. Called by answer.js with `view`.
(function () {
  "use strict";
  const { el, chart, chip } = window.runslotChart;
  const RUNS_LISTED = 500, MOST_OVERLAID = 24;
  let listed = null, isStale = false, fault = "";

  // Numbers of a column with the same digits behind the point, six in all where they need them.
  function aligned(numbers) {
    const finite = numbers.filter((number) => number !== null && number !== 0), plain = (number) => String(Number(number.toPrecision(6)));
    if (finite.some((number) => Math.abs(number) >= 1e6 || Math.abs(number) < 1e-4)) return plain;
    const decimals = Math.max(0, ...finite.map((number) => (plain(number).split(".")[1] || "").length));
    return (number) => number.toFixed(Math.min(decimals, 6));
  }

  function make(view) {
    const { page, state, choose, toggled, embedded, dot, runLink, span, valueOf, brief, words, sortable, compared } = view;

    function runsView() {
      if (Object.keys(page.runs).length) { listed = page.runs; isStale = false; }
      if (fault) { const text = fault; fault = ""; return [view.bar(), el("p", { class: "message", role: "alert" }, text)]; }
      // What was listed stays until the newer list is here: a page that follows a sweep keeps its place.
      if (!listed || isStale) askAll();
      if (!listed) return [el("p", { class: "wait" }, "Reading the runs …")];
      const find = state.find.toLowerCase().split(/\s+/).filter(Boolean);
      const pairs = page.variants.filter((v) => (!state.show.length || state.show.includes(v.label)) && !state.off.includes(v.label)).flatMap((v) => (listed[v.label] || []).map((run) => [v, run]));
      const kept = pairs.filter(([v, run]) => find.every((word) => `${words(v)} ${run.run} ${run.state} seed=${run.seed}`.toLowerCase().includes(word)));
      const by = state.order.replace(/^-/, ""), falling = state.order.startsWith("-");
      const value = { mean: ([, run]) => run.score, n: ([, run]) => run.seed }[by] || (page.keys.includes(by) ? ([v]) => sortable(valueOf(v, by)) : null);
      if (value) kept.sort((a, b) => compared(value(a), value(b), falling));
      const digits = aligned(kept.slice(0, RUNS_LISTED).map(([, run]) => run.score));
      const rows = kept.slice(0, RUNS_LISTED).map(([v, run]) => el("tr", { "data-run": run.run, class: state.pick.includes(run.run) ? "on" : null }, el("td", { class: "hands" }, el("input", { type: "checkbox", "data-focus": `pick ${run.run}`, "aria-label": `Select ${run.name}`, checked: state.pick.includes(run.run), onchange: () => choose({ pick: toggled(state.pick, run.run) }) })),
        el("td", {}, dot(run.state || "unknown"), run.state || "unknown"), el("td", {}, runLink(run.run, run.name)), v.values.map((text) => el("td", { class: "wide" }, text)),
        el("td", { class: "num" }, run.seed === null ? "" : String(run.seed)), el("td", { class: "num" }, run.score === null ? (run.standing === "diverged" ? "diverged" : "") : digits(run.score)), el("td", { class: "num wide" }, String(run.rows)), el("td", { class: "num wide" }, span(run.seconds))));
      const count = `${kept.length} of ${pairs.length} runs` + (kept.length > RUNS_LISTED ? `, the first ${RUNS_LISTED} shown: find some` : "");
      return [view.bar(), el("p", { class: "account", id: "counted" }, count), overlay(pairs), el("div", { class: "scroll" }, el("table", { id: "all-runs" }, el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "hands", "aria-label": "Select" }), el("th", { scope: "col" }, "state"), el("th", { scope: "col" }, "run"), page.keys.map((key) => view.head(key, key, "wide")),
        view.head("seed", "n", "num"), view.head(page.metric, "mean", "num"), el("th", { class: "num wide", scope: "col" }, "rows"), el("th", { class: "num wide", scope: "col" }, "time"))), el("tbody", {}, rows)))];
    }
    async function askAll() {
      isStale = false;
      const answer = await view.got("/answer-runs.json?" + view.query());
      if (!answer) return;
      if (answer.message) fault = answer.message;
      listed = answer.all || {};
      view.draw();
    }

    // The picked runs: their curves over each other, and the settings in which they differ.
    function overlay(pairs) {
      const picked = pairs.filter(([, run]) => state.pick.includes(run.run)).slice(0, MOST_OVERLAID);
      if (picked.length < 2) return null;
      const names = new Map(picked.map(([v, run]) => [run.run, `${picked.filter(([w]) => w === v).length > 1 || !page.keys.length ? `${settingsOf(v, picked.map(([w]) => w))} ` : settingsOf(v, picked.map(([w]) => w))}${picked.some(([w, r]) => w === v && r !== run) ? `seed ${run.seed}` : ""}`.trim() || run.name]));
      const lines = (curves) => picked.map(([, run], i) => ({ label: run.run, name: names.get(run.run), ...view.stroke(i), curve: curves[run.run] }));
      const frame = el("div", { class: "frame" }, el("p", { class: "faint" }, "…"));
      const section = el("section", { class: "compare", id: "overlay", "aria-label": "Comparison of runs" }, el("h2", {}, `${picked.length} runs over each other: ${page.metric} `, picked.length === 2 && !embedded ? el("a", { href: "/compare?" + new URLSearchParams([["a", picked[0][1].run], ["b", picked[1][1].run]]) }, "settings, files and code of the two") : null));
      const value = (name, of) => [name, of], digits = aligned(picked.map(([, run]) => run.score));
      const rows = [...page.keys.map((key) => value(key, ([v]) => valueOf(v, key))), value("seed", ([, run]) => (run.seed === null ? "" : String(run.seed))), value("state", ([, run]) => run.state || "unknown")].filter(([, of]) => new Set(picked.map(of)).size > 1);
      rows.push(value(page.metric, ([, run]) => (run.score === null ? (run.standing === "diverged" ? "diverged" : "") : digits(run.score))), value("rows", ([, run]) => String(run.rows)), value("time", ([, run]) => span(run.seconds)));
      const asked = embedded ? Promise.resolve({ [page.metric]: page.run_curves || {} }) : view.curvesOf([["metric", page.metric], ...picked.map(([, run]) => ["run", run.run])]);
      section.append(frame, el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}), picked.map(([, run], i) => el("th", { scope: "col" }, chip(view.stroke(i).colour, view.stroke(i).dash), runLink(run.run, names.get(run.run)))))),
        el("tbody", {}, rows.map(([name, of]) => el("tr", {}, el("th", { scope: "row" }, name), picked.map((pair) => el("td", { class: of(pair) !== of(picked[0]) ? "differs" : null }, of(pair)))))))));
      asked.then((curves) => {
        if (!curves || !frame.isConnected) return;
        frame.replaceWith(chart(lines(curves[page.metric] || {}), { width: Math.max(260, section.clientWidth), height: 300, xName: page.x, yName: page.metric, log: state.log }));
      });
      return section;
    }
    function settingsOf(variant, among) {
      const differing = page.keys.filter((key) => new Set(among.map((v) => valueOf(v, key))).size > 1);
      return differing.map((key) => `${brief(key)}=${valueOf(variant, key)}`).join(", ");
    }

    return { runsView };
  }

  window.runslotRuns = { make, forget: () => { isStale = true; } };
})();
