// The page that opens first: the sentence, the variants best first, the curves of the best few, what runs now.
// It draws the document that the server sends, or the one that lies in the file that travels. Every text of a run is
// put in as text, never as HTML. What was chosen stands in the address, so that Back undoes it.
(function () {
  "use strict";
  const { chart, bounds, short, el, chip, brief: briefTexts } = window.runslotChart;
  const root = document.getElementById("answer");
  const embedded = document.getElementById("data");
  const LISTS = ["show", "off", "log", "also", "less", "pick", "group", "left"];
  const WORDS = ["base", "find", "k", "order", "task", "view", "at", "size", "big", "more", "hx", "hy", "search", "colour", "dash", "facet"];
  const USUAL_CURVES = 5, CHANNEL_CURVES = 20, MOST_OVERLAID = 24, MOST_BANDED = 10, MOST_SETTINGS = 6, LONGEST_NAME = 22;
  const POLL_MS = 2000, REST_MS = 15000, LONGEST_MS = 120000;
  const writes = !embedded && document.querySelector('meta[name="runslot-writes"]') !== null;
  let page = null, state = null, hovered = null, cursor = null, wait = POLL_MS, timer = null;
  const unfolded = new Map();  // label → its runs, or null while they are asked for

  // ---- what was chosen, as the address says it
  function read() {
    const pairs = new URLSearchParams(embedded ? window.location.hash.slice(1) : window.location.search);
    const chosen = { other: [] };
    for (const name of LISTS) chosen[name] = pairs.getAll(name);
    for (const name of WORDS) chosen[name] = pairs.get(name) || "";
    for (const [name, value] of pairs) if (!(name in chosen)) chosen.other.push([name, value]);
    return chosen;
  }

  function written(chosen) {
    const pairs = new URLSearchParams(chosen.other);
    for (const name of WORDS) if (chosen[name]) pairs.append(name, chosen[name]);
    for (const name of LISTS) for (const item of chosen[name]) pairs.append(name, item);
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
    for (const name of chosen.also) pairs.append("also", name);
    for (const name of chosen.group) pairs.append("series", name);
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
    if (channels.isOn) return shown.includes(variant) ? channels.strokeOf(variant) : { colour: "currentColor", dash: "solid" };
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
    for (const name of state.group) pairs.append("series", name);
    if (state.facet) pairs.append("split", state.facet);
    const where = page.variants ? conditions() : other("where");
    if (where) pairs.append("where", where);
    return "/plots" + (String(pairs) ? "?" + pairs : "");
  }

  // ---- the head of the page
  function header() {
    const views = [["", "Answer"], ["runs", "Runs"], ...(page.metrics && page.metrics.length > 1 && (!embedded || page.metric_curves) ? [["metrics", "Metrics"]] : [])];
    const links = views.map(([view, name]) => el("button", { "aria-current": state.view === view ? "page" : null, onclick: () => choose({ view, find: "", big: "", more: "" }) }, name));
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

  // ---- which variants, in which order
  const inTask = () => page.variants.filter((v) => v.task === currentTask());
  // Settings in which the variants of the task differ: no column says the same in each row.
  function keysShown() {
    const all = inTask(), differing = page.keys.filter((_, i) => new Set(all.map((v) => v.values[i])).size > 1);
    return differing.length ? differing : page.keys;
  }
  const valueOf = (variant, key) => variant.values[page.keys.indexOf(key)];
  // A value as rows and curves have it: of long ones that begin or end alike what differs.
  const briefs = new Map();
  function briefValue(variant, key) {
    if (briefs.page !== page) { briefs.clear(); briefs.page = page; }
    if (!briefs.has(key)) briefs.set(key, briefTexts(page.variants.map((v) => valueOf(v, key))));
    return briefs.get(key).get(valueOf(variant, key));
  }
  const brief = (key) => { const last = key.split(".").pop(); return page.keys.filter((other) => other.split(".").pop() === last).length === 1 ? last : key; };
  const labelOf = (variant) => (page.keys.length ? settingsOf(variant, telling(), keysShown().length) : variant.label);
  function settingsOf(variant, keys, count) {
    const words = keys.map((key) => `${count > keys.length ? brief(key) : key}=${briefValue(variant, key)}`);
    return count > keys.length ? `${words.join(", ")} and ${count - keys.length} more` : few(words);
  }
  // Of very many settings as few as tell the variants of the task apart.
  const apart = {};
  function telling() {
    const all = inTask(), keys = keysShown();
    if (keys.length <= MOST_SETTINGS) return keys;
    if (apart.page !== page || apart.task !== currentTask()) {
      const columns = keys.map((key) => all.map((v) => valueOf(v, key)));
      const joined = (groups, column) => groups.map((group, i) => `${group}\u0000${column[i]}`), size = (groups) => new Set(groups).size;
      const whole = size(all.map((v) => v.values.join("\u0000"))), chosen = [];
      let groups = all.map(() => "");
      while (size(groups) < whole && chosen.length < keys.length) {
        const sizes = columns.map((column) => size(joined(groups, column))), best = sizes.indexOf(Math.max(...sizes));
        chosen.push(keys[best]);
        groups = joined(groups, columns[best]);
      }
      Object.assign(apart, { page, task: currentTask(), keys: chosen.length ? chosen : keys });
    }
    return apart.keys;
  }
  // Of hundreds of settings the first ones.
  const few = (words) => (words.length > MOST_SETTINGS ? `${words.slice(0, MOST_SETTINGS).join(", ")} and ${words.length - MOST_SETTINGS} more` : words.join(", "));
  const currentTask = () => (page.tasks.includes(state.task) ? state.task : page.tasks[0]);

  function words(variant) { return `${variant.label} ${variant.values.map((value, i) => `${page.keys[i]}=${value}`).join(" ")} ${(variant.tags || []).join(" ")} ${(variant.note || []).join(" ")}`.toLowerCase(); }
  const sortable = (text) => (text === "" || Number.isNaN(Number(text)) ? text : Number(text));
  function compared(a, b, falling) {
    if (a === null || b === null) return (a === null) - (b === null);
    const way = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return falling ? -way : way;
  }

  const usualCurves = () => (channels.isOn ? CHANNEL_CURVES : USUAL_CURVES);
  function curvesShown() {
    const visible = inTask().filter((v) => !state.off.includes(v.label));
    const ticked = visible.filter((v) => state.show.includes(v.label));
    const count = state.k === "all" ? visible.length : Number(state.k) || usualCurves();
    const best = ticked.length ? ticked : visible.slice(0, count);
    const base = visible.filter((v) => v.label === page.baseline && !best.includes(v));
    return [...best, ...base];
  }

  // ---- the line of controls, the table, the curves
  function option(value, name, now) { return el("option", { value, selected: value === now ? "" : null }, name); }
  function bar() {
    const metrics = el("select", { id: "metric", "data-focus": "metric", onchange: (event) => choose({ ...withOther("y", event.target.value) }) }, page.metrics.map((name) => option(name, name, page.metric)));
    const find = el("input", { type: "search", id: "find", "data-focus": "find", value: state.find, "aria-label": "Find variants", placeholder: `find, as ${page.keys[0] || "lr"}=${((page.variants[0] || {}).values || ["0.1"])[0] || "0.1"}`,
      title: "Words that a variant's settings, tags or notes hold; all of them. / comes here.", oninput: (event) => choose({ find: event.target.value }, { replaces: true }) });
    const few = el("select", { id: "k", "data-focus": "k", onchange: (event) => choose({ k: event.target.value === String(usualCurves()) ? "" : event.target.value }) },
      [["3", "best 3"], ["5", "best 5"], ["10", "best 10"], ["20", "best 20"], ["all", "all"]].map(([value, name]) => option(value, name, state.k || String(usualCurves()))));
    const parts = [embedded ? el("span", {}, "Metric ", el("b", {}, page.metric)) : el("label", {}, "Metric", metrics), el("span", { class: "faint" }, page.mode === "min" ? "lower is better" : "higher is better"),
      page.tasks.length > 1 ? el("label", {}, "Task", el("select", { id: "task", "data-focus": "task", onchange: (event) => choose({ task: event.target.value }) }, page.tasks.map((task) => option(task, task, currentTask())))) : null,
      find, grammar(), ...(state.view === "runs" ? [] : [el("label", {}, "Curves", few), ...logs(), channels.chooser(), parts_table.chooser(), sizes()])];
    if (page.confirmed || other("seeds")) parts.push(el("button", { class: "plain", "data-focus": "seeds", "aria-pressed": String(other("seeds") === "all"), title: "Also those by which the variants were chosen", onclick: () => choose(withOther("seeds", other("seeds") ? "" : "all")) }, "All seeds"));
    if (state.show.length || state.off.length || state.base || state.pick.length) parts.push(el("button", { class: "plain", id: "clear", "data-focus": "clear", onclick: () => choose({ show: [], off: [], base: "", pick: [] }) }, "Clear selection"));
    return el("div", { class: "bar", id: "bar" }, parts);
  }
  // What the search understands, said where it stands.
  function grammar() {
    const key = page.keys[0] || "lr", value = ((page.variants[0] || {}).values || ["0.1"])[0] || "0.1";
    const example = (text) => el("li", {}, el("button", { class: "plain", "data-focus": `example ${text}`, onclick: () => choose({ find: text }, { replaces: true }) }, text));
    const node = el("details", { class: "sheet-holder", id: "grammar", ontoggle: (event) => { view.open.grammar = event.target.open; } }, el("summary", { "data-focus": "grammar", "aria-label": "What the search understands", title: "What the search understands" }, "?"),
      el("div", { class: "sheet" }, el("p", {}, "Words and parts of words, all of which must stand in a variant's settings, tags or notes; capitals do not matter."), el("ul", {}, example(`${key}=${value}`), example(value)), el("p", {}, "/ comes here from anywhere on the page."),
        embedded ? null : el("p", {}, "Conditions over numbers, as ", el("code", {}, `${key} > ${Number(value) || 0.01} AND final/${page.metric} > 0.5`), ", choose runs under ", el("i", {}, "Where"), " of the ", el("a", { href: plotsAddress("") }, "plots"), ", or in the address: ", el("code", {}, "?where=…"), ".")));
    node.open = Boolean(view.open.grammar);
    return node;
  }
  const logs = () => ["x", "y"].map((name) => el("button", { class: "plain", "data-focus": `log ${name}`, "aria-pressed": String(state.log.includes(name)), onclick: () => choose({ log: toggled(state.log, name) }) }, `log ${name}`));

  // ---- table and curves beside each other: half each, or most of it for one of them
  const SIZES = [["curves", "◧", "Curves large"], ["", "◫", "Table and curves"], ["table", "◨", "Table large"]];
  function sizes() {
    return el("span", { class: "sizes", role: "group", "aria-label": "Table and curves" }, SIZES.map(([size, sign, words]) =>
      el("button", { class: "plain", "data-focus": `size ${size}`, "data-size": size || "half", "aria-pressed": String(state.size === size), title: words, "aria-label": words, onclick: () => choose({ size }) }, sign)));
  }
  function divider() {
    const order = ["curves", "", "table"], place = order.indexOf(state.size) < 0 ? 1 : order.indexOf(state.size);
    const go = (to) => { const size = order[Math.max(0, Math.min(2, to))]; if (size !== state.size) choose({ size }); };
    const node = el("div", { class: "divider", id: "divider", role: "separator", tabindex: "0", "data-focus": "divider", "aria-orientation": "vertical", "aria-label": "Table and curves", "aria-valuemin": 0, "aria-valuemax": 2, "aria-valuenow": place,
      title: "Drag, or ← and →", ondblclick: () => go(1), onkeydown: (event) => { const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]; if (way) { event.preventDefault(); go(place + way); } },
      onpointerdown: (event) => { event.preventDefault(); node.setPointerCapture(event.pointerId); node.dataset.drag = ""; },
      onpointerup: (event) => {
        if (!("drag" in node.dataset)) return;
        delete node.dataset.drag;
        const box = node.parentNode.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
        go(share < 0.42 ? 0 : share > 0.78 ? 2 : 1);
      } });
    return node;
  }

  async function unfold(label) {
    if (unfolded.has(label)) { unfolded.delete(label); draw(); return; }
    unfolded.set(label, page.runs[label] || null);
    draw();
    if (!page.runs[label]) await ask(label);
  }

  // What an address answers; null where the server is gone, which the page says.
  async function got(address) {
    try { return await (await fetch(address)).json(); } catch (error) { gone(true); return null; }
  }

  async function ask(label) {
    const pairs = new URLSearchParams(asked(state));
    pairs.append("label", label);
    const answer = await got("/answer-runs.json?" + pairs);
    if (answer && unfolded.has(label)) { unfolded.set(label, answer.runs || []); draw(); }
  }

  // Dims all curves but those of one variant, or of several; null ends it.
  function light(label) {
    hovered = label;
    const labels = label === null ? [] : [label].flat();
    for (const frame of root.querySelectorAll(".frame")) {
      const lines = [...frame.querySelectorAll("[data-line]")];
      frame.classList.toggle("lit", lines.some((line) => labels.includes(line.dataset.line)));
      lines.forEach((line) => line.classList.toggle("lit-line", labels.includes(line.dataset.line)));
    }
  }

  // Long names are shown by what differs among the curves that are shown; what colour, dash or charts tell is left out.
  function endName(variant, among) {
    const differing = page.keys.filter((key) => !channels.told.includes(key) && new Set(among.map((v) => valueOf(v, key))).size > 1);
    return channels.isOn && !differing.length ? "" : shortName(variant, among, differing);
  }
  function shortName(variant, among, some) {
    const differing = some || page.keys.filter((_, i) => new Set(among.map((v) => v.values[i])).size > 1);
    const first = differing.filter((key) => telling().includes(key)), keys = first.length ? first : differing.length ? differing : page.keys;
    const words = (v) => few(keys.map((key) => `${brief(key)}=${briefValue(v, key)}`)) || v.label;
    return keys.length && among.some((v) => words(v).length > LONGEST_NAME) ? few(keys.map((key) => briefValue(variant, key))) : words(variant);
  }

  function curves(shown) {
    // Bands and single runs of very many curves hide the curves.
    const parts = channels.facets(shown), isCrowded = Math.max(0, ...parts.map(([, members]) => members.length)) > MOST_BANDED;
    const plain = (curve) => (curve && isCrowded ? { ...curve, members: [], low: null, high: null } : curve);
    const lineOf = (v) => ({ label: v.label, name: endName(v, shown), full: shortName(v, shown), ...strokeOf(v, shown), curve: plain(page.curves[v.label]) });
    const facets = parts.map(([title, members]) => [title, members.map(lineOf)]), lines = facets.flatMap(([, some]) => some);
    const lacking = lines.filter((line) => !line.curve).length, at = fixedStep();
    const fixed = at === null ? null : el("button", { class: "plain", id: "unfix", "data-focus": "unfix", title: "Back to the final values", onclick: () => choose({ at: "" }) }, `${page.x} ${short(at)} ×`);
    const whose = state.show.length ? "selected variants" : shown.length === inTask().length ? `all ${shown.length}` : `best ${shown.length} of ${inTask().length}`;
    const drawing = el("div", { class: facets.length > 1 ? "facets" : null }, facets.map(([title]) => el("div", { class: "facet", "data-facet": title || null }, title ? el("h3", {}, title) : null, el("div", { class: "place" }))));
    const holder = el("section", { class: "curves", id: "curves", "aria-label": "Curves" }, el("h2", {}, page.metric, " ", el("small", {}, whose), " ", fixed), channels.legend(shown), drawing);
    const small = window.innerWidth < 700, whole = small ? 260 : Math.min(460, Math.max(300, window.innerHeight * 0.5));
    holder.put = () => {
      const together = facets.length > 1 ? bounds(lines, state.log) : null;
      drawing.querySelectorAll(".place").forEach((place, i) => place.replaceChildren(chart(facets[i][1], { width: Math.max(240, place.clientWidth || 560), height: together ? 210 : whole, bounds: together, xName: page.x, yName: page.metric, log: state.log, at,
        focus: `cursor ${facets[i][0]}`, onHover: light, onCursor: follow, onFix: (step) => choose({ at: String(step) }) })));
    };
    holder.append(el("p", { class: "account" }, [lacking ? `${lacking} of these ${lacking === 1 ? "has" : "have"} no curve here` : "", ...(isCrowded ? ["means alone, as there are many", ...(page.curve_notes || []).slice(1)] : page.curve_notes || [])].filter(Boolean).join(" · ")));
    return holder;
  }

  // ---- a cursor in the curves: the table shows what they have there; a click fixes it
  const fixedStep = () => (state.at !== "" && Number.isFinite(Number(state.at)) ? Number(state.at) : null);
  function follow(step) {
    if (cursor === step) return;
    cursor = step;
    const at = document.getElementById("at");
    if (!at) return;
    at.textContent = view.step === null ? "" : ` at ${page.x} ${short(view.step)}`;
    for (const row of root.querySelectorAll("tr[data-variant]")) {
      const variant = page.variants.find((v) => v.label === row.dataset.variant), cell = row.querySelector(".mean .value");
      if (variant && cell) cell.textContent = parts_table.meanText(variant);
    }
  }

  function heat() {
    if (state.view) return null;
    const choice = (labels, on) => choose({ show: on ? state.show.filter((label) => !labels.includes(label)) : [...new Set([...state.show, ...labels])] });
    return window.runslotHeat({ keys: keysShown(), variants: inTask().filter((v) => !state.off.includes(v.label)), valueOf, briefValue, ticked: state.show, mode: page.mode, across: state.hx, down: state.hy, onChoose: choice, onAxes: (hx, hy) => choose({ hx, hy }) });
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

  // ---- a search: asked for once the answer stands
  let searched = { key: "", document: null, importance: null };
  function search() {
    if (!page.searches || !page.searches.length) return null;
    const name = page.searches.includes(state.search) ? state.search : page.searches[page.searches.length - 1];
    if (embedded) { const held = page.search_documents[name]; searched = { key: "", document: held, importance: held.importance }; }
    else if (searched.key !== `${name} ${page.version}`) askSearch(name);
    return window.runslotSearch(searched.document, { width: root.clientWidth - 40, importance: searched.importance, onSearch: (chosen) => choose({ search: chosen }),
      onTrial: embedded ? null : (trial) => { if (trial.run) window.location.href = "/run?" + new URLSearchParams([["run", trial.run]]); } });
  }
  async function askSearch(name) {
    const key = `${name} ${page.version}`, had = searched;
    searched = had.document && had.document.name === name ? { ...had, key } : { key, document: null, importance: null };
    const get = async (part) => {
      const pairs = new URLSearchParams([["search", name], ["part", part]]), path = new URLSearchParams(window.location.search).get("path");
      if (path) pairs.append("path", path);
      return got("/search.json?" + pairs);
    };
    const put = (change) => { if (searched.key !== key) return; searched = { ...searched, ...change }; const old = document.getElementById("search"); if (old) old.replaceWith(search()); };
    const sketch = await get("");
    if (!sketch) return;
    put({ document: sketch });
    if (!sketch.message && sketch.keys.length) put({ importance: await get("importance") });
  }

  // ---- all metrics of the shown variants, and picked runs over each other
  const kept = new Map();  // what was asked → curves by metric and label
  async function curvesOf(asks) {
    if (embedded) return page.metric_curves;
    const pairs = new URLSearchParams(asked(state));
    asks.forEach(([name, value]) => pairs.append(name, value));
    const key = `${page.version} ${pairs}`;
    if (!kept.has(key)) {
      const answer = await got("/metrics.json?" + pairs);
      if (!answer || answer.message) return null;
      kept.set(key, answer.curves);
      while (kept.size > 40) kept.delete(kept.keys().next().value);
    }
    return kept.get(key);
  }
  function metricsView() {
    const shown = curvesShown().slice(0, MOST_OVERLAID), lines = (curves) => shown.map((v) => ({ label: v.label, name: endName(v, shown), full: shortName(v, shown), ...strokeOf(v, shown), curve: curves[v.label] }));
    const legend = channels.legend(shown) || el("p", { class: "key" }, lines({}).map((line) => el("span", {}, chip(line.colour, line.dash), line.full)));
    const tools = { metrics: page.metrics.filter((name) => name !== page.x), state, choose, lines, legend, logs: logs(), xName: page.x, whose: state.show.length ? "selected variants" : `best ${shown.length} of ${inTask().length}`,
      get: (names) => curvesOf([...names.map((name) => ["metric", name]), ...shown.map((v) => ["label", v.label])]) };
    return [window.runslotMetrics.view(tools), () => window.runslotMetrics.fill(root, tools)];
  }

  function hint() {
    const narrowed = state.other.length > 0 || state.group.length > 0;
    const text = other("y"), isText = (page.text_metrics || []).includes(text);
    const texts = embedded || isText || !page.metrics.length ? [] : (page.text_metrics || []).slice(0, 5);
    const ends = texts.map((name) => el("p", {}, el("button", { class: "plain", onclick: () => choose({ ...withOther("y", page.metrics[0]), also: [name] }) }, `Show how runs ended: ${name}`)));
    const column = isText && !embedded ? el("p", {}, el("button", { class: "plain", onclick: () => choose({ ...withOther("y", ""), also: [...new Set([...state.also, text])] }) }, `Show ${text} as a column: how many runs ended with which word`)) : null;
    return el("div", { class: "message", id: "message", role: "alert" }, el("p", {}, page.message), column, ends, narrowed && !embedded ? el("p", {}, el("a", { href: "/" }, "Show all runs")) : null);
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
    channels = window.runslotChannels.make(view);
    parts_table = window.runslotTable.make(view);
    const focus = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.focus : null;
    const caret = ["find", "edit tags", "edit note"].includes(focus) ? document.activeElement.selectionStart : null;
    const details = document.getElementById("account"), isOpen = details && details.open, aside = root.querySelector(".scroll"), scrolled = aside ? aside.scrollLeft : 0;
    let parts, put = () => {};
    if (page.message) parts = [window.runslotLive(view), hint()];
    else if (state.view === "runs") parts = window.runslotRuns.make(view).runsView();
    else if (state.view === "metrics") [parts, put] = metricsView();
    else if (state.view === "plots" && embedded && window.runslotFigures) parts = window.runslotFigures(el);
    else {
      const shown = curvesShown(), drawn = curves(shown);
      put = drawn.put;
      const beside = el("div", { class: "beside" }, drawn, heat());
      parts = [...verdict(), window.runslotLive(view), bar(), el("div", { class: "both", "data-size": state.size || "half" }, parts_table.table(shown), divider(), beside), comparison(), search()];
    }
    cursor = null;
    root.replaceChildren(header(), el("main", {}, parts));
    put();
    const now = document.getElementById("account");
    if (now && isOpen) now.open = true;
    const scroll = root.querySelector(".scroll");
    if (scroll) {
      if (scroll.scrollWidth > scroll.clientWidth + 1) scroll.firstChild.classList.add("tight");
      parts_table.settle(scroll);
      scroll.scrollLeft = scrolled;
    }
    const again = focus && [...root.querySelectorAll("[data-focus]")].find((node) => node.dataset.focus === focus);
    if (again) { again.focus({ preventScroll: true }); if (caret !== null) again.setSelectionRange(caret, caret); }
    if (hovered) light(hovered);
  }

  // ---- what all parts share
  async function annotations(place) {
    const answer = await got("/annotate?" + new URLSearchParams([...new URLSearchParams(asked(state)), ...Object.entries(place)]));
    if (answer && answer.message) { gone(true, answer.message); return null; }
    return answer;
  }
  let parts_table = null, channels = null;
  const view = {
    get page() { return page; }, get state() { return state; },
    get step() { return cursor === null ? fixedStep() : cursor; },
    open: {}, unfolded, embedded, writes, choose, toggled, keys: keysShown, telling, inTask, valueOf, briefValue, brief, labelOf, words, sortable, compared, strokeOf, percent, span, dot, runLink, light: (label) => light(label), unfold, draw: () => draw(),
    annotations, query: () => asked(state), got, stroke, curvesOf, bar, head: (...parts) => parts_table.head(...parts),
    changed: () => { draw(); window.setTimeout(() => load(page.version), 900); },
  };

  // ---- the server
  function gone(is, text) {
    let box = document.getElementById("gone");
    if (!box) { box = el("div", { id: "gone", class: "gone", role: "alert" }); document.body.append(box); }
    box.hidden = !is;
    box.textContent = text || "The server does not answer; this page shows what it sent last, and goes on when it is back.";
  }

  let number = 0, shown = null;
  // `since` is a version of what is shown; of another question nothing is shown yet, so that a look
  // that overtakes the answer to a choice asks for all of it again.
  async function load(since) {
    const mine = (number += 1), query = asked(state);
    const next = await sent(query, query === shown ? since : undefined, mine);
    if (mine !== number) return;
    again();
    if (!next || query !== asked(state)) return;
    page = { states: {}, colours: {}, ...next };
    shown = query;
    window.runslotRuns.forget();
    wait = POLL_MS;
    for (const label of unfolded.keys()) ask(label);
    draw();
  }

  // The document; null where there is nothing new, or no server.
  async function sent(query, since, mine) {
    const pairs = new URLSearchParams(query);
    if (since !== undefined) pairs.append("since", since);
    try {
      const answer = await fetch("/answer.json?" + pairs, { cache: "no-store" });
      if (mine !== number) return null;
      if (answer.status === 401) { gone(true, "The server was started anew and asks for its token: open the address that it printed."); return null; }
      gone(false);
      if (answer.status !== 204) return await answer.json();
      // What reading costs there decides how often it is worth to ask, most where runs go on.
      const isLive = page && page.live && page.live.running, rest = 1000 * Number(answer.headers.get("Runslot-Rest") || 0);
      wait = Math.max(isLive ? POLL_MS : Math.min(REST_MS, wait * 1.5), Math.min(isLive ? 5000 : LONGEST_MS, rest));
    } catch (error) {
      if (mine === number) gone(true);
    }
    return null;
  }
  function again() {
    window.clearTimeout(timer);
    if (!embedded) timer = window.setTimeout(() => { if (document.hidden) again(); else load(page ? page.version : undefined); }, wait);
  }

  // A sheet stays within the window, and goes away with Escape or a click beside it.
  const sheets = () => [...root.querySelectorAll("details.sheet-holder[open]")];
  root.addEventListener("toggle", (event) => {
    const sheet = event.target.open && event.target.matches("details.sheet-holder") && event.target.querySelector(".sheet");
    if (!sheet) return;
    sheet.style.left = "0";
    const beyond = sheet.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
    if (beyond > 0) sheet.style.left = `${Math.max(-beyond, 8 - event.target.getBoundingClientRect().left)}px`;
  }, true);
  document.addEventListener("click", (event) => {
    const inside = event.target.closest && event.target.closest("details.sheet-holder");
    for (const one of sheets()) if (!inside || inside.id !== one.id) one.open = false;
  });

  document.addEventListener("visibilitychange", () => { if (!embedded && !document.hidden && page) { wait = POLL_MS; load(page.version); } });
  window.addEventListener("popstate", () => {
    const before = asked(state);
    state = read();
    if (embedded || asked(state) === before) draw();
    else load();
  });
  // "/" goes to the search, Escape closes a sheet, or takes the cursor off again.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && sheets().length) { for (const one of sheets()) { one.open = false; one.querySelector("summary").focus(); } return; }
    if (/^(input|select|textarea)$/i.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey || !page) return;
    const field = document.getElementById("find");
    if (event.key === "/" && field) { event.preventDefault(); field.focus(); }
    if (event.key === "Escape" && state.at && !sheets().length) choose({ at: "" });
  });
  let resizing = null;
  window.addEventListener("resize", () => { window.clearTimeout(resizing); resizing = window.setTimeout(() => page && draw(), 120); });

  // A tree that is read for the first time takes its time: how far that is is seen.
  const READING_MS = 400;
  async function progress(began) {
    const words = root.querySelector(".wait"), path = new URLSearchParams(window.location.search).get("path");
    if (page || !words) return;
    let reading = null;
    try { reading = await (await fetch("/reading.json?" + new URLSearchParams(path ? [["path", path]] : []))).json(); } catch (error) { /* the answer says it */ }
    if (page || !words.isConnected) return;
    if (reading) words.textContent = `${readingWords(reading)} · ${span((Date.now() - began) / 1000)}; what was read is kept, so that the next time is quick`;
    window.setTimeout(() => progress(began), READING_MS);
  }
  function readingWords({ total, described, read }) {
    const many = (count) => count.toLocaleString("en");
    if (total === null) return "Looking for runs …";
    if (described < total) return `Looking at the runs … ${many(described)} of ${many(total)}`;
    return read < total ? `Reading the runs … ${many(read)} of ${many(total)}` : `Read ${many(total)} runs, comparing them …`;
  }

  state = read();
  if (embedded) { page = JSON.parse(embedded.textContent); draw(); } else { window.setTimeout(() => progress(Date.now()), 250); load(); }
})();
