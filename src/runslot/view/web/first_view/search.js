// A search on the first view: what its trials were worth in their order, who came to which rung and was pruned there,
// what mattered, and a line a trial across its parameters. Called by answer.js; every text of a run is put in as text.
(function () {
  "use strict";
  const { el, svg, scale, ticks, extent, short, path } = window.runslotChart;
  const MARKS = { complete: "#009E73", running: "#0072B2", pruned: "#7F8793", failed: "#D55E00" };
  const FATES = { "went on": "#0072B2", whole: "#009E73", pruned: "#7F8793", paused: "#E69F00", running: "#56B4E9", failed: "#D55E00" };
  const AXES_SHOWN = 10;

  const said = (trial, keys) => {
    const settings = keys.map((key, i) => (trial.values[i] ? `${key}=${trial.values[i]}` : "")).filter(Boolean).join(", ");
    const value = trial.diverged ? "diverged" : trial.value === null ? "no value" : short(trial.value);
    return `trial ${trial.trial}: ${settings || trial.name} · ${value} · ${trial.status}`;
  };

  function titled(node, text) {
    const title = svg("title");
    title.textContent = text;
    node.append(title);
    return node;
  }

  function frame(width, height, label) {
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  }

  function label(root, x, y, text, anchor = "middle") {
    const node = svg("text", { x, y, "text-anchor": anchor, class: "tick" });
    node.textContent = text;
    root.append(node);
  }

  function axis(root, values, y, box) {
    for (const value of values) {
      root.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "grid" }));
      label(root, box.left - 6, y(value) + 4, short(value), "end");
    }
  }

  // A mark a trial; full where it ran to its end, open where it was pruned, a cross where it has no value.
  function history(search, width, link) {
    const height = 240, box = { left: 52, right: width - 12, top: 10, bottom: height - 34 };
    const root = frame(width, height, `${search.metric} of each trial in its order, and the best so far`);
    const values = search.trials.filter((t) => t.value !== null).map((t) => t.value);
    const [low, high] = extent(values, false);
    const last = Math.max(1, search.trials.length - 1);
    const x = scale(0, last, box.left, box.right, false), y = scale(low, high, box.bottom, box.top, false);
    axis(root, ticks(low, high, 4, false), y, box);
    for (const value of ticks(0, last, Math.max(2, Math.floor(width / 90)), false)) if (Number.isInteger(value)) label(root, x(value), box.bottom + 16, String(value));
    label(root, (box.left + box.right) / 2, height - 4, "trial");
    const xs = [], ys = [];
    for (const trial of search.trials) if (trial.best !== null) { if (ys.length) { xs.push(trial.trial); ys.push(ys[ys.length - 1]); } xs.push(trial.trial); ys.push(trial.best); }
    root.append(svg("path", { d: path(xs, ys, x, y), fill: "none", stroke: "currentColor", "stroke-width": 1.5, "data-best": "" }));
    for (const trial of search.trials) root.append(mark(trial, x(trial.trial), trial.value === null ? box.bottom : y(trial.value), search, link));
    return root;
  }

  function mark(trial, cx, cy, search, link) {
    const colour = MARKS[trial.status], text = said(trial, search.keys);
    const common = { "data-trial": trial.trial, "data-status": trial.status, class: "trial" };
    const node = trial.value === null
      ? svg("path", { ...common, d: `M${cx - 4} ${cy - 4}l8 8m0 -8l-8 8`, stroke: MARKS.failed, "stroke-width": 2 })
      : svg("circle", { ...common, cx, cy, r: trial.trial === search.best ? 6 : 4, fill: trial.status === "complete" ? colour : "var(--back)", stroke: colour, "stroke-width": 2 });
    if (link) node.addEventListener("click", () => link(trial));
    return titled(node, text);
  }

  // A row a rung, on one scale: who came, and what became of them there.
  function rungs(search, width) {
    const rowPx = 44, box = { left: 96, right: width - 12, top: 6 }, height = box.top + rowPx * search.rungs.length + 26;
    const root = frame(width, height, "who came to which rung, and was pruned there");
    const all = search.rungs.flatMap((rung) => rung.arrivals.map((one) => one.value)).filter((value) => value !== null);
    const [low, high] = extent(all, false), x = scale(low, high, box.left + 8, box.right - 8, false);
    const byTrial = new Map(search.trials.map((trial) => [trial.trial, trial]));
    const middle = (i) => height - 26 - rowPx * (i + 0.5);
    search.rungs.forEach((rung, i) => {
      const y = middle(i), counts = {};
      root.append(svg("line", { x1: box.left, x2: box.right, y1: y, y2: y, class: "grid" }));
      label(root, box.left - 8, y + 4, `step ${short(rung.step)}`, "end");
      for (const one of rung.arrivals) {
        counts[one.fate] = (counts[one.fate] || 0) + 1;
        const above = search.rungs[i + 1] && search.rungs[i + 1].arrivals.find((other) => other.trial === one.trial);
        if (above && above.value !== null && one.value !== null) root.append(svg("line", { x1: x(one.value), y1: y, x2: x(above.value), y2: middle(i + 1), class: "grid" }));
      }
      for (const one of rung.arrivals) {
        const trial = byTrial.get(one.trial), text = `${trial ? said({ ...trial, value: one.value, status: one.fate }, search.keys) : `trial ${one.trial}`} at step ${short(rung.step)}`;
        const colour = FATES[one.fate], open = one.fate === "pruned" || one.fate === "paused";
        root.append(titled(svg("circle", { cx: one.value === null ? box.left : x(one.value), cy: y, r: 4, fill: open ? "var(--back)" : colour, stroke: colour, "stroke-width": 2, "data-fate": one.fate }), text));
      }
      label(root, box.right, y - 10, Object.entries(counts).map(([fate, count]) => `${count} ${fate}`).join(", "), "end");
    });
    for (const value of ticks(low, high, Math.max(2, Math.floor(width / 110)), false)) label(root, x(value), height - 8, short(value));
    return root;
  }

  // An axis a searched key and one for the value; the best are drawn last, in full colour.
  function parallel(search, width, link) {
    const keys = search.keys.slice(0, AXES_SHOWN), height = 240, box = { left: 30, right: width - 46, top: 30, bottom: height - 22 };
    const root = frame(width, height, `a line a trial across ${keys.join(", ")} to ${search.metric}`);
    const drawn = search.trials.filter((trial) => trial.value !== null);
    const at = (i) => box.left + (i * (box.right - box.left)) / keys.length;
    const axes = keys.map((key, i) => keyAxis(drawn, i, box));
    const [low, high] = extent(drawn.map((trial) => trial.value), false), last = scale(low, high, box.bottom, box.top, false);
    keys.forEach((key, i) => head(root, at(i), key, axes[i].low, axes[i].high, box));
    head(root, box.right, search.metric, short(low), short(high), box);
    const share = (trial) => (high > low ? (search.mode === "min" ? high - trial.value : trial.value - low) / (high - low) : 1);
    for (const trial of [...drawn].sort((a, b) => share(a) - share(b))) {
      const points = keys.map((_, i) => [at(i), axes[i].place(trial)]).filter((point) => point[1] !== null);
      points.push([box.right, last(trial.value)]);
      const node = svg("path", { d: "M" + points.map((point) => point.map((value) => value.toFixed(1)).join(" ")).join("L"), fill: "none", class: "trial",
        stroke: trial.status === "pruned" ? MARKS.pruned : "#0072B2", "stroke-width": trial.trial === search.best ? 3 : 1.4, opacity: (0.12 + 0.8 * share(trial) ** 2).toFixed(3), "data-trial": trial.trial });
      if (link) node.addEventListener("click", () => link(trial));
      root.append(titled(node, said(trial, search.keys)));
    }
    return root;
  }

  function keyAxis(trials, i, box) {
    const numbers = trials.map((trial) => trial.numbers[i]), present = numbers.filter((value) => value !== null);
    const isNumeric = present.length && trials.every((trial, n) => numbers[n] !== null || !trial.values[i]);
    if (isNumeric) {
      const [low, high] = [Math.min(...present), Math.max(...present)], log = low > 0 && high / low >= 50;
      const y = scale(...extent(present, log), box.bottom, box.top, log);
      return { low: short(low), high: short(high), place: (trial) => (trial.numbers[i] === null ? null : y(trial.numbers[i])) };
    }
    const words = [...new Set(trials.map((trial) => trial.values[i]).filter(Boolean))].sort();
    const y = (word) => box.bottom - ((words.indexOf(word) + 0.5) / words.length) * (box.bottom - box.top);
    return { low: words[0] || "", high: words.length > 1 ? words[words.length - 1] : "", place: (trial) => (trial.values[i] ? y(trial.values[i]) : null) };
  }

  function head(root, x, name, low, high, box) {
    root.append(svg("line", { x1: x, x2: x, y1: box.top, y2: box.bottom, class: "axis" }));
    const brief = name.length > 16 ? name.slice(0, 15) + "…" : name;
    label(root, x, 12, brief);
    label(root, x, 25, high);
    label(root, x, box.bottom + 14, low);
  }

  function importance(shares) {
    if (!shares) return el("p", { class: "faint" }, "Working it out …");
    if (shares.message) return el("p", { class: "faint" }, shares.message);
    const rows = shares.shares.map((row) => el("tr", {}, el("th", { scope: "row" }, row.label),
      el("td", { class: "share" }, el("div", { style: `width:${Math.max(0, Math.min(100, 100 * row.value)).toFixed(1)}%` })),
      el("td", { class: "num" }, `${Math.round(100 * row.value)} %`)));
    return el("table", { class: "shares", id: "importance" }, el("tbody", {}, rows));
  }

  function counted(search) {
    const counts = {};
    for (const trial of search.trials) counts[trial.status] = (counts[trial.status] || 0) + 1;
    const words = Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", ");
    const of = search.limit === null ? "" : ` of ${search.limit}`;
    return `${search.trials.length}${of} trials: ${words}`;
  }

  function best(search) {
    const trial = search.trials.find((one) => one.trial === search.best);
    if (!trial) return `No trial has a value of ${search.metric} yet.`;
    const word = search.is_over ? "Best" : "Best so far";
    const settings = search.keys.map((key, i) => (trial.values[i] ? `${key}=${trial.values[i]}` : "")).filter(Boolean).join(", ") || trial.name;
    const tested = search.tested === null ? "" : `; on seeds that chose nothing ${short(search.tested)}, which is the number to report`;
    return `${word}: trial ${trial.trial}, ${settings}, ${search.metric} ${trial.value === null ? "–" : short(trial.value)}${tested}.`;
  }

  // `search`: the document of /search.json; `options`: how wide, what a click on a trial does, which other searches.
  window.runslotSearch = function (search, options) {
    const section = el("section", { class: "search", id: "search", "aria-label": "Search" });
    if (!search) { section.append(el("h2", {}, "Search"), el("p", { class: "faint" }, "Reading the trials …")); return section; }
    const others = search.names && search.names.length > 1
      ? el("select", { "aria-label": "Search", "data-focus": "search", onchange: (event) => options.onSearch(event.target.value) }, search.names.map((name) => el("option", { value: name, selected: name === search.name ? "" : null }, name))) : null;
    section.append(el("h2", {}, "Search ", el("small", {}, search.message ? "" : counted(search)), others));
    if (search.message) { section.append(el("p", { class: "faint" }, search.message)); return section; }
    section.append(el("p", { class: "account", id: "search-best" }, best(search)));
    if (!search.trials.length) return section;
    const wide = Math.min(900, window.innerWidth >= 940 ? options.width / 2 - 14 : options.width);
    const part = (title, id, content) => el("figure", { id }, el("figcaption", {}, title), content);
    const figures = [part(`${search.metric} in the order of the trials; the line is the best so far`, "search-history", history(search, wide, options.onTrial))];
    if (search.rungs.length) figures.push(part("Rungs: who came, who went on, who was pruned", "search-rungs", rungs(search, wide)));
    if (search.keys.length) {
      figures.push(part("What mattered: the share of the variance that each key explains", "search-importance", importance(options.importance)));
      figures.push(part("A line a trial; strong ones are good", "search-parallel", parallel(search, wide, options.onTrial)));
    }
    section.append(el("div", { class: "figures-beside" }, figures));
    if (search.drops.length) section.append(el("details", { class: "account" }, el("summary", {}, `${search.drops.length} dropped from the race of seeds`),
      el("ul", {}, search.drops.map((drop) => el("li", {}, `trial ${drop.trial}: ${drop.why}`)))));
    return section;
  };
})();
