// The page that opens first: the sentence, the variants best first, the curves of the best few, what runs now.
// It draws the document that the server sends, or the one that lies in the file that travels. Every text of a run is
// put in as text, never as HTML. What was chosen stands in the address, so that Back undoes it.
(function () {
  "use strict";
  const { chart, interval, sparkline, extent } = window.runslotChart;
  const root = document.getElementById("answer");
  const embedded = document.getElementById("data");
  const LISTS = ["show", "off"], USUAL_CURVES = 5, FIRST_ROWS = 20, RUNS_LISTED = 500;
  const POLL_MS = 2000, REST_MS = 15000;
  let page = null, state = null, hovered = null, everything = false, wait = POLL_MS, timer = null;
  const unfolded = new Map();  // label → its runs, or null while they are asked for

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  // ---- what was chosen, as the address says it
  function read() {
    const pairs = new URLSearchParams(embedded ? window.location.hash.slice(1) : window.location.search);
    const chosen = { other: [], show: pairs.getAll("show"), off: pairs.getAll("off") };
    for (const name of ["base", "find", "k", "order", "task", "view"]) chosen[name] = pairs.get(name) || "";
    chosen.log = pairs.getAll("log");
    for (const [name, value] of pairs) if (!(name in chosen)) chosen.other.push([name, value]);
    return chosen;
  }

  function written(chosen) {
    const pairs = new URLSearchParams(chosen.other);
    for (const name of ["base", "find", "k", "order", "task", "view"]) if (chosen[name]) pairs.append(name, chosen[name]);
    for (const name of [...LISTS, "log"]) for (const item of chosen[name]) pairs.append(name, item);
    return pairs.toString();
  }

  function choose(change, { replaces = false } = {}) {
    const before = asked(state);
    state = { ...state, ...change };
    const text = written(state), place = embedded ? "#" : "?";
    window.history[replaces ? "replaceState" : "pushState"](null, "", window.location.pathname + (text ? place + text : embedded ? "#" : ""));
    if (embedded || asked(state) === before) draw();
    else load();
  }

  // What the server has to know: all but how this page looks.
  function asked(chosen) {
    const pairs = new URLSearchParams(chosen.other);
    if (chosen.base) pairs.append("base", chosen.base);
    return pairs.toString();
  }

  const other = (name) => (state.other.find((pair) => pair[0] === name) || ["", ""])[1];
  const withOther = (name, value) => ({ other: state.other.filter((pair) => pair[0] !== name).concat(value ? [[name, value]] : []) });
  const toggled = (list, item) => (list.includes(item) ? list.filter((one) => one !== item) : [...list, item]);

  // ---- small parts
  const stroke = (index) => {
    const { colours, dashes } = page.strokes;
    return { colour: colours[index % colours.length], dash: dashes[Math.floor(index / colours.length) % dashes.length] };
  };
  // A variant keeps its colour where all can be told apart; else the curves that are shown get them in turn.
  const given = new Map();
  function strokeOf(variant, shown) {
    const distinct = page.strokes.colours.length * page.strokes.dashes.length;
    if (page.variants.length <= distinct) return stroke(variant.index);
    for (const label of [...given.keys()]) if (!shown.some((v) => v.label === label)) given.delete(label);
    if (!shown.includes(variant)) return { colour: "currentColor", dash: "solid" };
    if (!given.has(variant.label)) {
      const taken = new Set(given.values());
      let free = 0;
      while (taken.has(free)) free += 1;
      given.set(variant.label, free);
    }
    return stroke(given.get(variant.label));
  }

  const percent = (share) => (share === null ? "" : share < 0.005 ? "<1 %" : share >= 0.995 && share < 1 ? ">99 %" : `${Math.round(100 * share)} %`);
  function span(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 60) return `${seconds.toFixed(0)} s`;
    const hours = Math.floor(seconds / 3600), minutes = Math.floor((seconds % 3600) / 60);
    return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
  }
  const runLink = (run, name) => (embedded ? el("span", {}, name) : el("a", { href: "/run?" + new URLSearchParams([["run", run]]) }, name));
  const dot = (word) => el("i", { class: "dot", style: `background:${page.colours[word] || page.colours.unknown}` });

  // The runs that are chosen here, as a condition for the page of plots.
  function conditions() {
    const parts = [];
    if (other("where")) parts.push(`(${other("where")})`);
    const clauses = (labels) => page.variants.filter((v) => labels.includes(v.label)).map((v) => `(${v.clause})`);
    const [ticked, off] = [clauses(state.show), clauses(state.off)];
    if (ticked.length) parts.push(`(${ticked.join(" OR ")})`);
    if (off.length) parts.push(`NOT (${off.join(" OR ")})`);
    return parts.join(" AND ");
  }

  function plotsAddress(kind) {
    const pairs = new URLSearchParams(state.other.filter((pair) => pair[0] !== "where"));
    if (kind) pairs.append("kind", kind);
    const where = page.variants ? conditions() : other("where");
    if (where) pairs.append("where", where);
    return "/plots" + (String(pairs) ? "?" + pairs : "");
  }

  // ---- the head of the page
  function header() {
    const views = [["", "Answer"], ["runs", "Runs"]];
    const links = views.map(([view, name]) => el("button", { "aria-current": state.view === view ? "page" : null, onclick: () => choose({ view }) }, name));
    if (!embedded) links.push(el("a", { href: plotsAddress("") }, "Plots"));
    else if (window.runslotFigures) links.push(el("button", { "aria-current": state.view === "plots" ? "page" : null, onclick: () => choose({ view: "plots" }) }, "Plots"));
    const states = Object.entries(page.states || {}).map(([word, count]) => el("span", {}, dot(word), `${count} ${word.replace("_", " ")}`));
    return el("header", {}, el("a", { class: "home", href: embedded ? "#" : "/" }, "runslot"), el("span", { class: "base", title: page.base }, page.base || ""),
      el("div", { class: "states", id: "states", role: "status" }, states), el("nav", { "aria-label": "Views" }, links),
      el("button", { class: "icon", "aria-label": "Light or dark", onclick: turn }, "◐"));
  }

  const SCHEME = "mantine-color-scheme-value";  // as the pages of Dash keep it
  function turn() {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.scheme && window.matchMedia("(prefers-color-scheme: dark)").matches);
    keepScheme(dark ? "light" : "dark");
  }
  function keepScheme(scheme) {
    if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
    try { if (scheme) window.localStorage.setItem(SCHEME, scheme); } catch (error) { /* a file may keep nothing */ }
  }
  try { keepScheme(window.localStorage.getItem(SCHEME)); } catch (error) { /* as above */ }

  function verdict() {
    const notes = page.notes || [];
    const more = el("details", { class: "account", id: "account" }, el("summary", {}, page.accounting + (notes.length ? ` · ${notes.length} more` : "")),
      el("ul", {}, notes.map((note) => el("li", {}, note))));
    return [el("p", { class: "verdict", id: "verdict" }, page.sentence), more];
  }

  function live() {
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
    return el("section", { class: "live", id: "live", "aria-label": "Progress" }, el("b", {}, words), bar, slots.length ? el("ul", { class: "slots" }, slots) : null,
      failures.length ? el("ul", { class: "failures" }, failures, more > 0 ? el("li", {}, `and ${more} more`) : null) : null);
  }

  // ---- which variants, in which order
  const inTask = () => page.variants.filter((v) => v.task === currentTask());
  // Settings in which the variants of the task differ: no column says the same in each row.
  function keysShown() {
    const all = inTask(), places = page.keys.map((_, i) => i).filter((i) => new Set(all.map((v) => v.values[i])).size > 1);
    return places.length ? places : page.keys.map((_, i) => i);
  }
  const brief = (key) => { const last = key.split(".").pop(); return page.keys.filter((other) => other.split(".").pop() === last).length === 1 ? last : key; };
  // Many or long settings share one column, so that the numbers beside them stay in sight.
  function isCompact() {
    const longest = (i) => Math.max(page.keys[i].length, ...inTask().map((v) => v.values[i].length));
    return keysShown().reduce((sum, i) => sum + longest(i) + 3, 0) > 36;
  }
  const settingsOf = (variant) => keysShown().map((i) => variant.values[i]).join(" · ");
  const labelOf = (variant) => (page.tasks.length > 1 ? keysShown().map((i) => `${page.keys[i]}=${variant.values[i]}`).join(", ") : variant.label);
  const currentTask = () => (page.tasks.includes(state.task) ? state.task : page.tasks[0]);

  function words(variant) { return `${variant.label} ${variant.values.map((value, i) => `${page.keys[i]}=${value}`).join(" ")} ${(variant.tags || []).join(" ")} ${(variant.note || []).join(" ")}`.toLowerCase(); }
  const tags = (variant) => (variant.tags || []).map((tag) => el("button", { class: "tag", title: "Find it", onclick: () => choose({ find: tag }) }, tag)).concat((variant.note || []).map((text) => el("span", { class: "faint note", title: text, "aria-label": `note: ${text}` }, "✎")));
  function rowsShown() {
    const find = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = inTask().filter((v) => find.every((word) => words(v).includes(word)));
    const [column, falling] = [state.order.replace(/^-/, ""), state.order.startsWith("-")];
    const value = { n: (v) => v.n, mean: (v) => v.mean, chance: (v) => v.chance, delta: (v) => (v.delta ? v.delta.value : v.mean === null ? null : 0) }[column]
      || (page.keys.includes(column) ? (v) => { const text = v.values[page.keys.indexOf(column)], number = Number(text); return Number.isNaN(number) || text === "" ? text : number; } : null);
    const ordered = value ? [...kept].sort((a, b) => compared(value(a), value(b), falling)) : kept;
    const isBase = (v) => v.label === page.baseline;
    return [...ordered.filter(isBase), ...ordered.filter((v) => !isBase(v))];
  }
  function compared(a, b, falling) {
    if (a === null || b === null) return (a === null) - (b === null);
    const way = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return falling ? -way : way;
  }

  function curvesShown() {
    const visible = inTask().filter((v) => !state.off.includes(v.label));
    const ticked = visible.filter((v) => state.show.includes(v.label));
    const count = state.k === "all" ? visible.length : Number(state.k) || USUAL_CURVES;
    const best = ticked.length ? ticked : visible.slice(0, count);
    const base = visible.filter((v) => v.label === page.baseline && !best.includes(v));
    return [...best, ...base];
  }

  // ---- the line of controls, the table, the curves
  function option(value, name, now) { return el("option", { value, selected: value === now ? "" : null }, name); }
  function bar() {
    const metrics = el("select", { id: "metric", "data-focus": "metric", onchange: (event) => choose({ ...withOther("y", event.target.value) }) }, page.metrics.map((name) => option(name, name, page.metric)));
    const find = el("input", { type: "search", id: "find", "data-focus": "find", value: state.find, "aria-label": "Find variants", placeholder: `find, as ${page.keys[0] || "lr"}=${((page.variants[0] || {}).values || ["0.1"])[0] || "0.1"}`,
      oninput: (event) => choose({ find: event.target.value }, { replaces: true }) });
    const few = el("select", { id: "k", "data-focus": "k", onchange: (event) => choose({ k: event.target.value === String(USUAL_CURVES) ? "" : event.target.value }) },
      [["3", "best 3"], ["5", "best 5"], ["10", "best 10"], ["20", "best 20"], ["all", "all"]].map(([value, name]) => option(value, name, state.k || String(USUAL_CURVES))));
    const log = ["x", "y"].map((name) => el("button", { class: "plain", "data-focus": `log ${name}`, "aria-pressed": String(state.log.includes(name)), onclick: () => choose({ log: toggled(state.log, name) }) }, `log ${name}`));
    const parts = [embedded ? el("span", {}, "Metric ", el("b", {}, page.metric)) : el("label", {}, "Metric", metrics), el("span", { class: "faint" }, page.mode === "min" ? "lower is better" : "higher is better"),
      page.tasks.length > 1 ? el("label", {}, "Task", el("select", { id: "task", "data-focus": "task", onchange: (event) => choose({ task: event.target.value }) }, page.tasks.map((task) => option(task, task, currentTask())))) : null,
      find, ...(state.view === "runs" ? [] : [el("label", {}, "Curves", few), ...log])];
    if (state.show.length || state.off.length || state.base) parts.push(el("button", { class: "plain", id: "clear", onclick: () => choose({ show: [], off: [], base: "" }) }, "Clear selection"));
    return el("div", { class: "bar", id: "bar" }, parts);
  }

  function head(name, column, className, title) {
    const now = state.order.replace(/^-/, "") === column, falling = state.order.startsWith("-");
    const next = !now ? column : falling ? "" : `-${column}`;
    return el("th", { class: className, scope: "col", title, "aria-sort": now ? (falling ? "descending" : "ascending") : null },
      el("button", { "data-focus": `order ${column}`, onclick: () => choose({ order: next }) }, name + (now ? (falling ? " ↓" : " ↑") : "")));
  }

  function keyButton(key) {
    const now = state.order.replace(/^-/, "") === key, falling = state.order.startsWith("-");
    return el("button", { "data-focus": `order ${key}`, title: key, onclick: () => choose({ order: !now ? key : falling ? "" : `-${key}` }) }, brief(key) + (now ? (falling ? " ↓" : " ↑") : ""));
  }

  function badges(variant) {
    const parts = Object.entries(variant.bad).map(([word, count]) => el("span", { class: "badge" }, `${count} ${word.replace("_", " ")}`));
    if (variant.running) parts.push(el("span", { class: "badge", style: `color:${page.colours.running}` }, `${variant.running} running`));
    return parts;
  }

  function table(shown) {
    const rows = rowsShown(), limit = everything || rows.length <= FIRST_ROWS + 5 ? rows.length : FIRST_ROWS;
    const visible = inTask().filter((v) => !state.off.includes(v.label) && v.mean !== null);
    const scale = extent(visible.flatMap((v) => [v.low, v.high, v.mean]), false);
    const baseName = inTask().some((v) => v.label === page.baseline) ? `Δ to ${page.baseline}` : "Δ to the leader";
    const columns = el("tr", {}, el("th", { scope: "col", "aria-label": "Select, pin, hide" }), window.innerWidth < 700 ? el("th", { class: "narrow", scope: "col" }, "variant") : null, !page.keys.length ? el("th", { class: "wide", scope: "col" }, "variant") : isCompact() ? el("th", { class: "wide settings", scope: "col" }, keysShown().map((i) => [keyButton(page.keys[i]), " "])) : keysShown().map((i) => head(page.keys[i], page.keys[i], "wide")),
      head(page.metric, "mean", "num", `mean ± half of its ${100 * page.level} % interval`), window.innerWidth < 700 ? null : el("th", { scope: "col", class: "scale", title: `from ${scale[0].toPrecision(4)} to ${scale[1].toPrecision(4)}, the same for all rows` }, `${window.runslotChart.short(scale[0])} … ${window.runslotChart.short(scale[1])}`),
      head("n", "n", "num", "runs that count, of those asked for"), head("P(best)", "chance", "num wide", "the probability that its true mean is the best"), head("Δ", "delta", "num wide", baseName), el("th", { class: "wide spark-cell", scope: "col" }, "curve"));
    const body = rows.slice(0, limit).flatMap((variant) => row(variant, shown, scale));
    const more = limit < rows.length ? el("button", { class: "plain more", id: "more", onclick: () => { everything = true; draw(); } }, `Show all ${rows.length} variants`) : null;
    const same = Object.entries(page.same || {}).map(([key, value]) => `${key}=${value}`).join(", ");
    return el("section", { class: "variants", "aria-label": "Variants" }, el("div", { class: "scroll" }, el("table", { id: "variants", class: isCompact() ? "compact" : null }, el("thead", {}, columns), el("tbody", {}, body))), more,
      rows.length ? null : el("p", { class: "faint" }, "No variant has these words. ", el("button", { class: "plain", onclick: () => choose({ find: "" }) }, "Show all")),
      el("p", { class: "account" }, `${baseName}${same ? ` · the same in all: ${same}` : ""}`));
  }

  function row(variant, shown, scale) {
    const { colour, dash } = strokeOf(variant, shown), label = variant.label;
    const [ticked, off, pinned] = [state.show.includes(label), state.off.includes(label), page.baseline === label];
    const curve = page.curves[label];
    const chip = el("span", { class: "chip", "data-dash": dash, style: `border-top-color:${shown.includes(variant) ? colour : "transparent"}` });
    const open = unfolded.has(label);
    const fold = el("button", { class: "icon", "data-focus": `fold ${label}`, "aria-expanded": String(open), "aria-label": `Runs of ${label}`, onclick: () => unfold(label) }, open ? "▾" : "▸");
    const faint = colour === "currentColor" ? "var(--dim)" : colour;
    const cells = isCompact() ? [el("td", { class: "wide settings" }, fold, chip, settingsOf(variant), tags(variant))] : !page.keys.length ? [] : keysShown().map((at, i) => el("td", { class: variant.tags || variant.note ? "wide tagged" : "wide" }, i === 0 ? [fold, chip] : null, variant.values[at], i === keysShown().length - 1 ? tags(variant) : null));
    const value = variant.mean === null ? el("span", { class: "faint" }, variant.n ? "no value" : "–") : variant.text;
    const delta = variant.delta ? el("span", { title: `${variant.delta.paired ? "seed by seed" : "Welch"}, ${100 * page.level} % interval` }, variant.delta.text) : "";
    const small = window.innerWidth < 700, mark = variant.mean === null ? null : interval(variant, scale, off ? "gray" : faint, small ? 110 : 92);
    const hands = [el("input", { type: "checkbox", "data-focus": `tick ${label}`, "aria-label": `Select ${label}`, checked: ticked, onchange: () => choose({ show: toggled(state.show, label) }) }),
      embedded && !page.deltas ? null : el("button", { class: "icon pin", "data-focus": `pin ${label}`, "aria-pressed": String(pinned), title: "Measure the others against it", "aria-label": `Pin ${label}`, onclick: () => choose({ base: pinned ? "" : label }) }, "⚲"),
      el("button", { class: "icon eye", "data-focus": `off ${label}`, "aria-pressed": String(off), title: off ? "Show it" : "Hide it", "aria-label": `Hide ${label}`, onclick: () => choose({ off: toggled(state.off, label) }) }, off ? "◌" : "◉")];
    const part = el("tr", { "data-variant": label, class: [ticked ? "on" : "", off ? "off" : "", pinned ? "pinned" : ""].join(" ").trim() || null, onpointerenter: () => light(label), onpointerleave: () => light(null) },
      el("td", { class: "hands" }, hands), small ? el("td", { class: "narrow" }, chip, labelOf(variant), tags(variant)) : null, cells.length ? cells : el("td", { class: "wide" }, fold, chip, label, tags(variant)),
      el("td", { class: "num mean" }, value, small && mark ? el("div", {}, mark) : null), small ? null : el("td", { class: "scale" }, mark), el("td", { class: "num" }, variant.n === variant.asked ? String(variant.n) : `${variant.n}/${variant.asked}`, badges(variant)),
      el("td", { class: "num wide chance" }, percent(variant.chance)), el("td", { class: "num wide delta" }, delta), el("td", { class: "wide spark-cell" }, curve ? sparkline(curve, faint, 60) : null));
    return open ? [part, runsRow(label)] : [part];
  }

  function runsRow(label) {
    const runs = unfolded.get(label);
    const items = (runs || []).map((run) => el("li", {}, dot(run.state || "unknown"), runLink(run.run, run.seed === null ? run.name : `seed ${run.seed}`), ` ${run.state || "unknown"}`,
      run.score === null ? el("span", { class: "faint" }, run.standing === "diverged" ? " diverged" : "") : ` ${Number(run.score.toPrecision(6))}`, el("span", { class: "faint" }, ` ${run.rows} rows ${span(run.seconds)}`)));
    return el("tr", { class: "runs", "data-runs": label }, el("td", { colspan: (isCompact() ? 1 : keysShown().length) + 8 }, runs ? el("ul", {}, items) : "…"));
  }

  async function unfold(label) {
    if (unfolded.has(label)) { unfolded.delete(label); draw(); return; }
    unfolded.set(label, page.runs[label] || null);
    draw();
    if (!page.runs[label]) await ask(label);
  }

  async function ask(label) {
    const pairs = new URLSearchParams(asked(state));
    pairs.append("label", label);
    try {
      const answer = await (await fetch("/answer-runs.json?" + pairs)).json();
      if (unfolded.has(label)) { unfolded.set(label, answer.runs || []); draw(); }
    } catch (error) { gone(true); }
  }

  function light(label) {
    hovered = label;
    for (const frame of root.querySelectorAll(".frame")) {
      const lines = [...frame.querySelectorAll("[data-line]")], any = label !== null && lines.some((line) => line.dataset.line === label);
      frame.classList.toggle("lit", any);
      lines.forEach((line) => line.classList.toggle("lit-line", line.dataset.line === label));
    }
  }

  // Long names are shown by what differs among the curves that are shown.
  function shortName(variant, among) {
    const differing = page.keys.filter((_, i) => new Set(among.map((v) => v.values[i])).size > 1);
    const keys = differing.length ? differing : page.keys;
    const words = keys.map((key) => `${brief(key)}=${variant.values[page.keys.indexOf(key)]}`).join(", ") || variant.label;
    return words.length > 26 && keys.length ? keys.map((key) => variant.values[page.keys.indexOf(key)]).join(", ") : words;
  }

  function curves(shown) {
    const lines = shown.map((v) => ({ label: v.label, name: shortName(v, shown), ...strokeOf(v, shown), curve: page.curves[v.label] }));
    const lacking = lines.filter((line) => !line.curve).length;
    const holder = el("section", { class: "curves", id: "curves", "aria-label": "Curves" }, el("h2", {}, page.metric, " ", el("small", {}, state.show.length ? "selected variants" : `best ${shown.length} of ${inTask().length}`)));
    const size = () => ({ width: Math.max(260, holder.clientWidth || 560), height: window.innerWidth < 700 ? 260 : Math.min(460, Math.max(300, window.innerHeight * 0.5)) });
    const put = () => {
      const frame = chart(lines, { ...size(), xName: page.x, yName: page.metric, log: state.log, onHover: light });
      const before = holder.querySelector(".frame");
      if (before) before.replaceWith(frame);
      else holder.insertBefore(frame, holder.children[1] || null);
    };
    holder.put = put;
    holder.append(el("p", { class: "account" }, [lacking ? `${lacking} of these have no curve here` : "", ...(page.curve_notes || [])].filter(Boolean).join(" · ")));
    return holder;
  }

  // What differs between the selected variants, side by side.
  function comparison() {
    const chosen = page.variants.filter((v) => state.show.includes(v.label) || (state.show.length && v.label === page.baseline));
    if (chosen.length < 2) return null;
    const reference = chosen.find((v) => v.label === page.baseline) || chosen[0];
    const line = (name, value, tinted) => el("tr", {}, el("th", { scope: "row" }, name), chosen.map((v) => el("td", { class: tinted && value(v) !== value(reference) ? "differs" : null }, value(v))));
    const settings = page.keys.map((key, i) => [key, (v) => v.values[i]]).filter(([, value]) => new Set(chosen.map(value)).size > 1);
    const numbers = [[page.metric, (v) => v.text || "no value"], ["n", (v) => `${v.n}/${v.asked}`], ["P(best)", (v) => percent(v.chance)], ["Δ", (v) => (v.delta ? v.delta.text : "")]];
    const links = embedded ? null : el("p", { class: "bar" }, "These in ", [["curves", "curves"], ["bars", "scores"], ["profile", "profiles"], ["heat", "the heat map"], ["scatter", "a scatter"]].map(([kind, name]) => el("a", { href: plotsAddress(kind) }, name)));
    return el("section", { class: "compare", id: "comparison", "aria-label": "Comparison" }, el("h2", {}, `${chosen.length} variants side by side`),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}), chosen.map((v) => el("th", { scope: "col" }, v.label)))), el("tbody", {}, settings.map((pair) => line(...pair, true)), numbers.map((pair) => line(...pair))))), links);
  }

  // ---- all runs, one click deeper
  let listed = null;
  function runsView() {
    if (Object.keys(page.runs).length) listed = page.runs;
    if (!listed) { askAll(); return [el("p", { class: "wait" }, "Reading the runs …")]; }
    const find = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    const pairs = page.variants.filter((v) => (!state.show.length || state.show.includes(v.label)) && !state.off.includes(v.label)).flatMap((v) => (listed[v.label] || []).map((run) => [v, run]));
    const kept = pairs.filter(([v, run]) => find.every((word) => `${words(v)} ${run.run} ${run.state} seed=${run.seed}`.toLowerCase().includes(word)));
    const by = state.order.replace(/^-/, ""), falling = state.order.startsWith("-");
    const value = { mean: ([, run]) => run.score, n: ([, run]) => run.seed }[by] || (page.keys.includes(by) ? ([v]) => { const text = v.values[page.keys.indexOf(by)]; return Number.isNaN(Number(text)) ? text : Number(text); } : null);
    if (value) kept.sort((a, b) => compared(value(a), value(b), falling));
    const rows = kept.slice(0, RUNS_LISTED).map(([v, run]) => el("tr", {}, el("td", {}, dot(run.state || "unknown"), run.state || "unknown"), el("td", {}, runLink(run.run, run.name)), v.values.map((text) => el("td", { class: "wide" }, text)),
      el("td", { class: "num" }, run.seed === null ? "" : String(run.seed)), el("td", { class: "num" }, run.score === null ? (run.standing === "diverged" ? "diverged" : "") : String(Number(run.score.toPrecision(6)))), el("td", { class: "num wide" }, String(run.rows)), el("td", { class: "num wide" }, span(run.seconds))));
    const count = `${kept.length} of ${pairs.length} runs` + (kept.length > RUNS_LISTED ? `, the first ${RUNS_LISTED} shown: find some` : "");
    return [bar(), el("p", { class: "account", id: "counted" }, count), el("div", { class: "scroll" }, el("table", { id: "all-runs" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "state"), el("th", { scope: "col" }, "run"), page.keys.map((key) => head(key, key, "wide")),
      head("seed", "n", "num"), head(page.metric, "mean", "num"), el("th", { class: "num wide", scope: "col" }, "rows"), el("th", { class: "num wide", scope: "col" }, "time"))), el("tbody", {}, rows)))];
  }
  async function askAll() {
    try {
      const answer = await (await fetch("/answer-runs.json?" + asked(state))).json();
      listed = answer.all || {};
      draw();
    } catch (error) { gone(true); }
  }

  function hint() {
    const narrowed = state.other.length > 0;
    return el("div", { class: "message", id: "message", role: "alert" }, el("p", {}, page.message), narrowed && !embedded ? el("p", {}, el("a", { href: "/" }, "Show all runs")) : null);
  }

  // In a file no server measures against another baseline: it holds the differences to each.
  function measure() {
    page.variants.forEach((v) => { if (!("toLeader" in v)) v.toLeader = v.delta; });
    const base = page.deltas && state.base in page.deltas ? state.base : "";
    page.baseline = base;
    page.variants.forEach((v) => { v.delta = base && page.deltas[base][v.label] !== undefined ? page.deltas[base][v.label] : base === v.label ? null : v.toLeader; });
  }

  function draw() {
    if (embedded && page.variants) measure();
    const focus = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.focus : null;
    const caret = focus === "find" ? document.activeElement.selectionStart : null;
    const details = document.getElementById("account"), isOpen = details && details.open, aside = root.querySelector(".scroll"), scrolled = aside ? aside.scrollLeft : 0;
    let parts, put = () => {};
    if (page.message) parts = [live(), hint()];
    else if (state.view === "runs") parts = runsView();
    else if (state.view === "plots" && embedded && window.runslotFigures) parts = window.runslotFigures(el);
    else {
      const shown = curvesShown(), drawn = curves(shown);
      put = drawn.put;
      parts = [...verdict(), live(), bar(), el("div", { class: "both" }, table(shown), drawn), comparison()];
    }
    root.replaceChildren(header(), el("main", {}, parts));
    put();
    const now = document.getElementById("account");
    if (now && isOpen) now.open = true;
    const scroll = root.querySelector(".scroll");
    if (scroll) {
      if (scroll.scrollWidth > scroll.clientWidth + 1) scroll.firstChild.classList.add("tight");
      scroll.scrollLeft = scrolled;
    }
    const again = focus && [...root.querySelectorAll("[data-focus]")].find((node) => node.dataset.focus === focus);
    if (again) { again.focus({ preventScroll: true }); if (caret !== null) again.setSelectionRange(caret, caret); }
    if (hovered) light(hovered);
  }

  // ---- the server
  function gone(is, text) {
    let box = document.getElementById("gone");
    if (!box) { box = el("div", { id: "gone", class: "gone", role: "alert" }); document.body.append(box); }
    box.hidden = !is;
    box.textContent = text || "The server does not answer; this page shows what it sent last, and goes on when it is back.";
  }

  let number = 0;
  async function load(since) {
    const mine = (number += 1), query = asked(state);
    const pairs = new URLSearchParams(query);
    if (since !== undefined) pairs.append("since", since);
    try {
      const answer = await fetch("/answer.json?" + pairs, { cache: "no-store" });
      if (mine !== number) return;
      if (answer.status === 401) { gone(true, "The server was started anew and asks for its token: open the address that it printed."); return; }
      gone(false);
      if (answer.status === 204) { wait = Math.min(REST_MS, page && page.live && page.live.running ? POLL_MS : wait * 1.5); return; }
      const next = await answer.json();
      if (mine !== number || query !== asked(state)) return;
      page = { states: {}, colours: {}, ...next };
      listed = null;
      wait = POLL_MS;
      for (const label of unfolded.keys()) ask(label);
      draw();
    } catch (error) {
      if (mine === number) gone(true);
    } finally {
      if (mine === number) again();
    }
  }
  function again() {
    window.clearTimeout(timer);
    if (!embedded) timer = window.setTimeout(() => { if (document.hidden) again(); else load(page ? page.version : undefined); }, wait);
  }

  window.addEventListener("popstate", () => {
    const before = asked(state);
    state = read();
    if (embedded || asked(state) === before) draw();
    else load();
  });
  let resizing = null;
  window.addEventListener("resize", () => { window.clearTimeout(resizing); resizing = window.setTimeout(() => page && draw(), 120); });

  state = read();
  if (embedded) { page = JSON.parse(embedded.textContent); draw(); } else load();
})();
