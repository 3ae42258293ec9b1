// The ranked table of variants: its columns and the chooser of them, a row a variant that unfolds to its runs.
// Called by answer.js with `view`: what was sent (page), what was chosen (state), and what all parts share.
(function () {
  "use strict";
  const { el, interval, sparkline, extent, short, valueAt } = window.runslotChart;
  const FIRST_ROWS = 20;
  const STATISTICS = { interval: "interval", n: "n", chance: "P(best)", delta: "Δ", curve: "curve" };
  let everything = false, editing = null;

  function make(view) {
    const { page, state, choose } = view;
    const hidden = (name) => state.less.includes(name);

    // Settings in which the variants of the task differ: no column says the same in each row.
    function keysShown() {
      return view.keys().filter((key) => !hidden(key));
    }

    // Many or long settings share one column, so that the numbers beside them stay in sight.
    function isCompact() {
      const longest = (key) => Math.max(key.length, ...view.inTask().map((v) => view.valueOf(v, key).length));
      return keysShown().reduce((sum, key) => sum + longest(key) + 3, 0) > 36;
    }

    function order(column) {
      const now = state.order.replace(/^-/, "") === column, falling = state.order.startsWith("-");
      return { now, falling, next: !now ? column : falling ? "" : `-${column}`, sign: now ? (falling ? " ↓" : " ↑") : "" };
    }

    function head(name, column, className, title) {
      const { now, falling, next, sign } = order(column);
      return el("th", { class: className, scope: "col", title, "data-column": column, "aria-sort": now ? (falling ? "descending" : "ascending") : null },
        el("button", { "data-focus": `order ${column}`, onclick: () => choose({ order: next }) }, name + sign));
    }

    function keyButton(key) {
      const { next, sign } = order(key);
      return el("button", { "data-focus": `order ${key}`, title: key, onclick: () => choose({ order: next }) }, view.brief(key) + sign);
    }

    // ---- which columns
    function chooser() {
      const box = (name, label, on, flip) => el("label", {}, el("input", { type: "checkbox", checked: on, "data-focus": `column ${name}`, onchange: flip }), label);
      const section = (title, boxes) => (boxes.length ? el("fieldset", {}, el("legend", {}, title), boxes) : null);
      const keys = view.keys().map((key) => box(key, key, !hidden(key), () => choose({ less: view.toggled(state.less, key) })));
      const statistics = Object.entries(STATISTICS).map(([name, label]) => box(name, label, !hidden(name), () => choose({ less: view.toggled(state.less, name) })));
      const further = view.embedded ? [] : [...page.metrics.filter((name) => name !== page.metric), ...(page.text_metrics || [])];
      const metrics = further.map((name) => box(`also ${name}`, name, state.also.includes(name), () => choose({ also: view.toggled(state.also, name) })));
      const find = further.length > 8 ? el("input", { type: "search", class: "field", "aria-label": "Find a column", placeholder: "find", oninput: (event) => {
        const word = event.target.value.toLowerCase();
        for (const one of event.target.closest(".sheet").querySelectorAll("fieldset label")) one.hidden = !one.textContent.toLowerCase().includes(word);
      } }) : null;
      const reset = state.less.length || state.also.length ? el("button", { class: "plain", "data-focus": "columns reset", onclick: () => choose({ less: [], also: [] }) }, "Reset") : null;
      const node = el("details", { class: "sheet-holder", id: "columns", ontoggle: (event) => { view.open.columns = event.target.open; } }, el("summary", { class: "plain", "data-focus": "columns" }, "Columns"),
        el("div", { class: "sheet" }, find, section("Settings", keys), section("Statistics", statistics), section(view.embedded ? "" : "Other metrics", metrics), reset));
      node.open = Boolean(view.open.columns);
      return node;
    }

    // ---- the order of rows
    const valued = (variant) => (view.step === null ? variant.mean : (valueAt(page.curves[variant.label], view.step) || { value: null }).value);
    function rowsShown() {
      const find = state.find.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = view.inTask().filter((v) => find.every((word) => view.words(v).includes(word)));
      const [column, falling] = [state.order.replace(/^-/, ""), state.order.startsWith("-")];
      const value = { n: (v) => v.n, mean: valued, chance: (v) => v.chance, delta: (v) => (v.delta ? v.delta.value : v.mean === null ? null : 0) }[column]
        || (column.startsWith("also ") ? (v) => { const cell = (v.also || {})[column.slice(5)]; return cell ? cell.value : null; } : null)
        || (page.keys.includes(column) ? (v) => view.sortable(view.valueOf(v, column)) : null);
      const ordered = value ? [...kept].sort((a, b) => view.compared(value(a), value(b), falling)) : kept;
      const isBase = (v) => v.label === page.baseline;
      return [...ordered.filter(isBase), ...ordered.filter((v) => !isBase(v))];
    }

    // The head's eye: nothing is hidden, or all but what is drawn.
    function eye(shown) {
      const some = state.off.length > 0, others = view.inTask().filter((v) => !shown.includes(v)).map((v) => v.label);
      const words = some ? "Show all" : "Hide all that are not drawn";
      return el("button", { class: "icon", "data-focus": "eye", title: words, "aria-label": words, onclick: () => choose({ off: some ? [] : others }) }, some ? "◌" : "◉");
    }

    function table(shown) {
      const rows = rowsShown(), limit = everything || rows.length <= FIRST_ROWS + 5 ? rows.length : FIRST_ROWS;
      const visible = view.inTask().filter((v) => !state.off.includes(v.label) && v.mean !== null);
      const scale = extent(visible.flatMap((v) => [v.low, v.high, v.mean]), false);
      const baseName = view.inTask().some((v) => v.label === page.baseline) ? `Δ to ${page.baseline}` : "Δ to the leader";
      const small = window.innerWidth < 700, keys = keysShown(), compact = isCompact();
      const settings = !page.keys.length ? el("th", { class: "wide", scope: "col" }, "variant") : compact ? el("th", { class: "wide settings", scope: "col" }, keys.map((key) => [keyButton(key), " "])) : keys.map((key) => head(view.brief(key), key, "wide", key));
      const mean = head(page.metric, "mean", "num", `mean ± half of its ${100 * page.level} % interval`);
      mean.append(el("span", { class: "at", id: "at" }, view.step === null ? "" : ` at ${page.x} ${short(view.step)}`));
      const columns = el("tr", {}, el("th", { scope: "col", class: "hands" }, eye(shown)), small ? el("th", { class: "narrow", scope: "col" }, "variant") : null, settings, mean,
        small || hidden("interval") ? null : el("th", { scope: "col", class: "scale", title: `from ${scale[0].toPrecision(4)} to ${scale[1].toPrecision(4)}, the same for all rows` }, `${short(scale[0])} … ${short(scale[1])}`),
        hidden("n") ? null : head("n", "n", "num", "runs that count, of those asked for"), hidden("chance") ? null : head("P(best)", "chance", "num wide", "the probability that its true mean is the best"),
        hidden("delta") ? null : head("Δ", "delta", "num wide", baseName), state.also.map((name) => head(name, `also ${name}`, "num wide", `${name}: the mean of its runs' final values, ± half of its interval`)), hidden("curve") ? null : el("th", { class: "wide spark-cell", scope: "col" }, "curve"));
      const body = rows.slice(0, limit).flatMap((variant) => row(variant, shown, scale, compact));
      const more = limit < rows.length ? el("button", { class: "plain more", id: "more", onclick: () => { everything = true; view.draw(); } }, `Show all ${rows.length} variants`) : null;
      const same = Object.entries(page.same || {}).map(([key, value]) => `${key}=${value}`).join(", ");
      return el("section", { class: "variants", "aria-label": "Variants" }, el("div", { class: "scroll" }, el("table", { id: "variants", class: compact ? "compact" : null, onkeydown: walk }, el("thead", {}, columns), el("tbody", {}, body))), more,
        rows.length ? null : el("p", { class: "faint" }, "No variant has these words. ", el("button", { class: "plain", onclick: () => choose({ find: "" }) }, "Show all")),
        el("p", { class: "account" }, `${baseName}${same ? ` · the same in all: ${same}` : ""}`));
    }

    // Up and down go to the same hand of the next row.
    function walk(event) {
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key], line = event.target.closest("tr[data-variant]");
      if (!way || !line || !event.target.dataset.focus) return;
      const lines = [...event.currentTarget.querySelectorAll("tr[data-variant]")], next = lines[lines.indexOf(line) + way];
      const hand = event.target.dataset.focus.split(" ")[0], other = next && [...next.querySelectorAll("[data-focus]")].find((node) => node.dataset.focus.split(" ")[0] === hand);
      if (other) { event.preventDefault(); other.focus(); }
    }

    function badges(variant) {
      const parts = Object.entries(variant.bad).map(([word, count]) => el("span", { class: word === "pruned" || word === "stopped" ? "badge calm" : "badge" }, `${count} ${word.replace("_", " ")}`));
      if (variant.running) parts.push(el("span", { class: "badge", style: `color:${page.colours.running}` }, `${variant.running} running`));
      return parts;
    }

    const tags = (variant) => (variant.tags || []).map((tag) => el("button", { class: "tag", title: "Find it", onclick: () => choose({ find: tag }) }, tag))
      .concat((variant.note || []).map((text) => el("span", { class: "faint note", title: text, "aria-label": `note: ${text}` }, "✎")));

    function hands(variant) {
      const label = variant.label, off = state.off.includes(label), pinned = page.baseline === label;
      const edit = view.writes ? el("button", { class: "icon pen", "data-focus": `pen ${label}`, title: "Tags and a note", "aria-label": `Tags and a note of ${label}`, onclick: () => open({ label }) }, "✎") : null;
      return [el("input", { type: "checkbox", "data-focus": `tick ${label}`, "aria-label": `Select ${label}`, checked: state.show.includes(label), onchange: () => choose({ show: view.toggled(state.show, label) }) }),
        view.embedded && !page.deltas ? null : el("button", { class: "icon pin", "data-focus": `pin ${label}`, "aria-pressed": String(pinned), title: "Measure the others against it", "aria-label": `Pin ${label}`, onclick: () => choose({ base: pinned ? "" : label }) }, "⚲"),
        el("button", { class: "icon eye", "data-focus": `off ${label}`, "aria-pressed": String(off), title: off ? "Show it" : "Hide it", "aria-label": `Hide ${label}`, onclick: () => choose({ off: view.toggled(state.off, label) }) }, off ? "◌" : "◉"), edit];
    }

    function meanText(variant) {
      const at = view.step === null ? null : valueAt(page.curves[variant.label], view.step);
      if (view.step !== null) return at ? short(Number(at.value.toPrecision(4))) : "–";
      return variant.mean === null ? (variant.n ? "no value" : "–") : variant.text;
    }

    function row(variant, shown, scale, compact) {
      const { colour, dash } = view.strokeOf(variant, shown), label = variant.label, keys = keysShown();
      const [ticked, off, pinned] = [state.show.includes(label), state.off.includes(label), page.baseline === label];
      const curve = page.curves[label], isOpen = view.unfolded.has(label);
      const chip = el("span", { class: "chip", "data-dash": dash, style: `border-top-color:${shown.includes(variant) ? colour : "transparent"}` });
      const fold = el("button", { class: "icon", "data-focus": `fold ${label}`, "aria-expanded": String(isOpen), "aria-label": `Runs of ${label}`, onclick: () => view.unfold(label) }, isOpen ? "▾" : "▸");
      const faint = colour === "currentColor" ? "var(--dim)" : colour;
      const settings = compact ? [el("td", { class: "wide settings" }, fold, chip, keys.map((key) => view.valueOf(variant, key)).join(" · "), tags(variant))]
        : keys.map((key, i) => el("td", { class: variant.tags || variant.note ? "wide tagged" : "wide" }, i === 0 ? [fold, chip] : null, view.valueOf(variant, key), i === keys.length - 1 ? tags(variant) : null));
      const delta = variant.delta ? el("span", { title: `${variant.delta.paired ? "seed by seed" : "Welch"}, ${100 * page.level} % interval` }, variant.delta.text) : "";
      const small = window.innerWidth < 700, mark = variant.mean === null ? null : interval(variant, scale, off ? "gray" : faint, small ? 110 : 80);
      const also = state.also.map((name) => el("td", { class: "num wide" }, ((variant.also || {})[name] || { text: "" }).text));
      const part = el("tr", { "data-variant": label, class: [ticked ? "on" : "", off ? "off" : "", pinned ? "pinned" : ""].join(" ").trim() || null, onpointerenter: () => view.light(label), onpointerleave: () => view.light(null) },
        el("td", { class: "hands" }, hands(variant)), small ? el("td", { class: "narrow" }, chip, view.labelOf(variant), tags(variant)) : null, settings.length ? settings : el("td", { class: "wide" }, fold, chip, label, tags(variant)),
        el("td", { class: "num mean" }, el("span", { class: variant.mean === null ? "faint value" : "value" }, meanText(variant)), small && mark ? el("div", {}, mark) : null), small || hidden("interval") ? null : el("td", { class: "scale" }, mark),
        hidden("n") ? null : el("td", { class: "num" }, variant.n === variant.asked ? String(variant.n) : `${variant.n}/${variant.asked}`, badges(variant)),
        hidden("chance") ? null : el("td", { class: "num wide chance" }, view.percent(variant.chance)), hidden("delta") ? null : el("td", { class: "num wide delta" }, delta), also,
        hidden("curve") ? null : el("td", { class: "wide spark-cell" }, curve ? sparkline(curve, faint, 48) : null));
      const edit = editing && editing.place.label === label ? el("tr", { class: "runs" }, el("td", { colspan: 20 }, editing.node)) : null;
      return [part, edit, isOpen ? runsRow(label) : null];
    }

    function runsRow(label) {
      const runs = view.unfolded.get(label);
      const items = (runs || []).map((run) => el("li", {}, view.dot(run.state || "unknown"), view.runLink(run.run, run.seed === null ? run.name : `seed ${run.seed}`), ` ${run.state || "unknown"}`,
        run.score === null ? el("span", { class: "faint" }, run.standing === "diverged" ? " diverged" : "") : ` ${Number(run.score.toPrecision(6))}`, el("span", { class: "faint" }, ` ${run.rows} rows ${view.span(run.seconds)}`), tags(run),
        view.writes ? el("button", { class: "icon pen", "data-focus": `pen ${run.run}`, title: "Tags and a note", "aria-label": `Tags and a note of ${run.name}`, onclick: () => open({ run: run.run }) }, "✎") : null,
        editing && editing.place.run === run.run ? editing.node : null));
      return el("tr", { class: "runs", "data-runs": label }, el("td", { colspan: 20 }, runs ? el("ul", {}, items) : "…"));
    }

    async function open(place) {
      const stands = await view.annotations(place);
      if (!stands) return;
      const close = () => { editing = null; view.draw(); };
      editing = { place, node: window.runslotNotes.form(place, stands, { query: view.query(), cancel: close, done: () => { editing = null; view.changed(); } }) };
      view.draw();
      editing.node.start();
    }

    return { table, chooser, head, meanText };
  }

  window.runslotTable = { make };
})();
