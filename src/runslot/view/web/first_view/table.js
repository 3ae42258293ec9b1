// The ranked table of variants: its columns and the chooser of them, a row a variant that unfolds to its runs.
// Called by answer.js with `view`: what was sent (page), what was chosen (state), and what all parts share.
(function () {
  "use strict";
  const { el, chip, interval, sparkline, extent, short, valueAt } = window.runslotChart;
  const FIRST_ROWS = 20, MOST_SETTINGS = 8;
  const STATISTICS = { interval: "interval", n: "n", chance: "P(best)", delta: "Δ", curve: "curve" };
  let everything = false, editing = null;

  function make(view) {
    const { page, state, choose } = view;
    const hidden = (name) => state.less.includes(name);

    // The name of a key's column in the address: a key may be named like a statistic.
    const idOf = (key) => (key in STATISTICS || key === "mean" ? `key ${key}` : key);

    // Settings in which the variants of the task differ: no column says the same in each row.
    function keysShown() {
      return view.keys().filter((key) => !hidden(idOf(key)));
    }

    // Many or long settings share one column, so that the numbers beside them stay in sight.
    function isCompact() {
      const longest = (key) => Math.max(key.length, ...view.inTask().map((v) => view.briefValue(v, key).length));
      return keysShown().reduce((sum, key) => sum + longest(key) + 3, 0) > 36;
    }

    function order(column) {
      const now = state.order.replace(/^-/, "") === column, falling = state.order.startsWith("-");
      return { now, falling, next: !now ? column : falling ? "" : `-${column}`, sign: now ? (falling ? " ↓" : " ↑") : "" };
    }

    function head(name, column, className, title) {
      const { now, falling, next, sign } = order(column);
      return el("th", { class: className, scope: "col", title, draggable: "true", "data-column": column, "aria-sort": now ? (falling ? "descending" : "ascending") : null },
        el("button", { "data-focus": `order ${column}`, onclick: () => choose({ order: next }) }, name + sign));
    }

    function keyButton(key) {
      const { next, sign } = order(idOf(key));
      return el("button", { "data-focus": `order ${idOf(key)}`, title: key, onclick: () => choose({ order: next }) }, view.brief(key) + sign);
    }

    // ---- which columns, and which stay at the left
    const pin = (id) => choose({ left: view.toggled(state.left, id) });
    function chooser() {
      const box = (id, label, on, flip) => {
        const isLeft = state.left.includes(id);
        return el("div", { class: "column" }, el("label", {}, el("input", { type: "checkbox", checked: on, "data-focus": `column ${id}`, onchange: flip }), label),
          el("button", { class: "icon", "data-focus": `left ${id}`, "aria-pressed": String(isLeft), disabled: on || isLeft ? null : "", title: isLeft ? "Not at the left any more" : "Keep it at the left", "aria-label": `Keep ${label} at the left`, onclick: () => pin(id) }, "⇤"));
      };
      const section = (title, boxes) => (boxes.length ? el("fieldset", {}, el("legend", {}, title), boxes) : null);
      const less = (id, label) => box(id, label, !hidden(id), () => choose({ less: view.toggled(state.less, id) }));
      const also = (name) => box(`also ${name}`, name, state.also.includes(name), () => choose({ also: view.toggled(state.also, name) }));
      const keys = [...view.keys().map((key) => less(idOf(key), key)), ...page.pooled.map((key) => less(`pooled ${key}`, `${key} (pooled)`))];
      const statistics = Object.entries(STATISTICS).map(([name, label]) => less(name, label));
      const attributes = view.embedded ? [] : page.attributes.map(also);
      const further = view.embedded ? [] : [...page.metrics.filter((name) => name !== page.metric), ...(page.text_metrics || [])];
      const metrics = further.map(also);
      const find = keys.length + metrics.length > 8 ? el("input", { type: "search", class: "field", "aria-label": "Find a column", placeholder: "find", "data-focus": "columns find", value: view.open.column || "", oninput: (event) => { view.open.column = event.target.value; narrow(event.target.closest(".sheet")); } }) : null;
      const narrow = (sheet) => { const word = (view.open.column || "").toLowerCase(); for (const one of sheet.querySelectorAll(".column")) one.hidden = !one.textContent.toLowerCase().includes(word); };
      const reset = state.less.length || state.also.length || state.left.length ? el("button", { class: "plain", "data-focus": "columns reset", onclick: () => choose({ less: [], also: [], left: [] }) }, "Reset") : null;
      const node = el("details", { class: "sheet-holder", id: "columns", ontoggle: (event) => { view.open.columns = event.target.open; } }, el("summary", { class: "plain", "data-focus": "columns" }, "Columns"),
        el("div", { class: "sheet" }, find, section("Settings", keys), section("Statistics", statistics), section("Attributes", attributes), section("Other metrics", metrics), reset));
      node.open = Boolean(view.open.columns);
      if (find) narrow(node);
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
        || (page.keys.some((key) => idOf(key) === column) ? (v) => view.sortable(view.valueOf(v, page.keys.find((key) => idOf(key) === column))) : null);
      const ordered = value ? [...kept].sort((a, b) => view.compared(value(a), value(b), falling)) : kept;
      const isBase = (v) => v.label === page.baseline;
      return [...ordered.filter(isBase), ...ordered.filter((v) => !isBase(v))];
    }

    // The head's eye: which variants are in the plots at all.
    function eye(shown) {
      const labels = view.inTask().map((v) => v.label), without = (kept) => labels.filter((label) => !kept.includes(label));
      const choices = { all: ["all", []], none: ["none", labels], 10: ["first 10", without(rowsShown().slice(0, 10).map((v) => v.label))], 20: ["first 20", without(rowsShown().slice(0, 20).map((v) => v.label))], drawn: ["only what is drawn", without(shown.map((v) => v.label))] };
      const select = el("select", { class: "eyes", "data-focus": "eyes", "aria-label": "Which variants are in the plots", title: "Which variants are in the plots", onchange: (event) => choose({ off: choices[event.target.value][1] }) },
        el("option", { value: "", selected: "", disabled: "" }, state.off.length ? `◌ ${state.off.length}` : "◉"), Object.entries(choices).map(([value, [words]]) => el("option", { value }, words)));
      return select;
    }

    // ---- the columns of the table: what each is called, its head, and its cell in a row
    function columns(shown, scale) {
      const small = window.innerWidth < 700, left = state.left, keys = keysShown(), baseline = view.inTask().find((v) => v.label === page.baseline);
      const merged = isCompact() ? keys.filter((key) => !left.includes(idOf(key))) : [], apart = keys.filter((key) => !merged.includes(key));
      const differs = (variant, key) => baseline && variant !== baseline && view.valueOf(variant, key) !== view.valueOf(baseline, key);
      const first = (all) => (all.length > MOST_SETTINGS ? all.filter((key) => view.telling().includes(key)) : all).slice(0, MOST_SETTINGS);
      const words = (variant, all) => first(all).map((key, i) => [i ? " · " : "", el("span", { class: differs(variant, key) ? "differs" : null, title: `${key}=${view.valueOf(variant, key)}` }, view.briefValue(variant, key))]).concat(all.length > MOST_SETTINGS ? el("abbr", { class: "mixed", tabindex: "0", title: variant.label }, ` and ${all.length - first(all).length} more`) : []);
      const list = [];
      const add = (id, head, cell, isSetting = false) => list.push({ id, head, cell, isSetting });
      if (small) add("variant", () => el("th", { class: "narrow", scope: "col" }, "variant"), (v) => el("td", { class: "narrow", title: v.label }, view.labelOf(v), tags(v)), true);
      if (!small && !page.keys.length) add("variant", () => el("th", { class: "wide", scope: "col" }, "variant"), (v) => el("td", { class: "wide" }, v.label, tags(v)), true);
      apart.filter((key) => !small || left.includes(idOf(key))).forEach((key, i, all) => add(idOf(key), () => head(view.brief(key), idOf(key), "wide", key), (v) => el("td", { class: [v.tags || v.note ? "wide tagged" : "wide", differs(v, key) ? "differs" : ""].join(" ").trim(), title: view.valueOf(v, key) }, view.briefValue(v, key), !small && !merged.length && i === all.length - 1 ? tags(v) : null), true));
      if (merged.length && !small) add("settings", () => el("th", { class: "wide settings", scope: "col" }, first(merged).map((key) => [keyButton(key), " "])), (v) => el("td", { class: "wide settings" }, words(v, merged), tags(v)), true);
      add("mean", () => { const th = head(page.metric, "mean", "num", `mean ± half of its ${100 * page.level} % interval`); th.append(el("span", { class: "at", id: "at" }, view.step === null ? "" : ` at ${page.x} ${short(view.step)}`)); return th; },
        (v, mark) => el("td", { class: "num mean" }, el("span", { class: v.mean === null ? "faint value" : "value" }, meanText(v)), small && mark ? el("div", {}, mark) : null));
      if (!small && !hidden("interval")) add("interval", () => el("th", { scope: "col", class: "scale", draggable: "true", "data-column": "interval", title: `from ${scale[0].toPrecision(4)} to ${scale[1].toPrecision(4)}, the same for all rows` }, `${short(scale[0])} … ${short(scale[1])}`), (v, mark) => el("td", { class: "scale" }, mark));
      if (!hidden("n")) add("n", () => head("n", "n", "num", "runs that count, of those asked for"), (v) => el("td", { class: "num" }, v.n === v.asked ? String(v.n) : `${v.n}/${v.asked}`, badges(v)));
      if (!hidden("chance")) add("chance", () => head("P(best)", "chance", "num wide", "the probability that its true mean is the best"), (v) => el("td", { class: "num wide chance" }, view.percent(v.chance)));
      if (!hidden("delta")) add("delta", () => head("Δ", "delta", "num wide", baseName()), (v) => el("td", { class: "num wide delta" }, v.delta ? el("span", { title: `${v.delta.paired ? "seed by seed" : "Welch"}, ${100 * page.level} % interval` }, v.delta.text) : ""));
      page.pooled.filter((key) => !hidden(`pooled ${key}`)).forEach((key) => add(`pooled ${key}`, () => head(view.brief(key), `also ${key}`, "wide", `${key}: nobody groups by it, so that the runs of a row may differ in it`), (v) => further(v, key, "wide")));
      state.also.forEach((name) => add(`also ${name}`, () => head(name, `also ${name}`, page.attributes.includes(name) ? null : "num", alsoTitle(name)), (v) => further(v, name, page.attributes.includes(name) ? "" : "num")));
      if (!hidden("curve")) add("curve", () => el("th", { class: "wide spark-cell", scope: "col", draggable: "true", "data-column": "curve" }, "curve"), (v, mark, faint) => el("td", { class: "wide spark-cell" }, page.curves[v.label] ? sparkline(page.curves[v.label], faint, 48) : null));
      const pinned = left.map((id) => list.find((column) => column.id === id)).filter(Boolean);
      return { list: [...pinned, ...list.filter((column) => !pinned.includes(column))], pinned: pinned.length };
    }

    const baseName = () => (view.inTask().some((v) => v.label === page.baseline) ? `Δ to ${page.baseline}` : "Δ to the leader");
    function alsoTitle(name) {
      if (name === "peak_memory") return "peak memory in MiB: the mean of its runs, ± half of its interval";
      if (page.attributes.includes(name)) return `${name} of its runs, of all of them`;
      return (page.text_metrics || []).includes(name) ? `${name}: with which words its runs ended` : `${name}: the mean of its runs' final values, ± half of its interval`;
    }

    // A cell of a further column; where the runs of the row differ, which values they have is said where it is pointed at.
    function further(variant, name, className) {
      const cell = (variant.also || {})[name] || { text: "" };
      return el("td", { class: className || null }, cell.values ? el("abbr", { class: "mixed", tabindex: "0", title: cell.values.join(", ") }, cell.text) : cell.text);
    }

    function table(shown) {
      const rows = rowsShown(), limit = everything || rows.length <= FIRST_ROWS + 5 ? rows.length : FIRST_ROWS;
      const visible = view.inTask().filter((v) => !state.off.includes(v.label) && v.mean !== null);
      const scale = extent(visible.flatMap((v) => [v.low, v.high, v.mean]), false), placed = columns(shown, scale);
      const carrier = Math.max(0, placed.list.findIndex((column) => column.isSetting)), stick = placed.pinned && window.innerWidth >= 700 ? 1 : 0;
      placed.dress = (node, i) => {  // the place of a column at the left, of which the first one (-1) holds the hands of a row
        if (placed.pinned && i < placed.pinned && i >= -stick) { node.classList.add("stuck"); node.style.setProperty("left", `var(--stuck-${i + stick})`); }
        if (i === carrier) node.classList.add("carrier");
        return node;
      };
      const heads = [placed.dress(el("th", { scope: "col", class: "hands" }, eye(shown)), -1), ...placed.list.map((column, i) => placed.dress(column.head(), i))];
      const body = rows.slice(0, limit).flatMap((variant) => row(variant, shown, scale, placed, carrier));
      const more = limit < rows.length ? el("button", { class: "plain more", id: "more", onclick: () => { everything = true; view.draw(); } }, `Show all ${rows.length} variants`) : null;
      const same = Object.entries(page.same || {}).map(([key, value]) => `${key}=${value}`).join(", ");
      return el("section", { class: "variants", "aria-label": "Variants" }, el("div", { class: "scroll" }, el("table", { id: "variants", class: isCompact() ? "compact" : null, onkeydown: walk, ...drags(placed) }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, body))), more,
        rows.length ? null : el("p", { class: "faint" }, "No variant has these words. ", el("button", { class: "plain", onclick: () => choose({ find: "" }) }, "Show all")),
        el("p", { class: "account" }, [view.inTask().some((v) => v.mean !== null) ? baseName() : "", same ? `the same in all: ${same}` : ""].filter(Boolean).join(" · ")));
    }

    // A heading that is dragged to the left edge, or onto one that stays there, stays there, too; elsewhere it does no more.
    function drags(placed) {
      const of = (event) => event.target.closest("thead th"), column = (th) => [...th.parentNode.children].indexOf(th) - 1;
      return {
        ondragstart: (event) => { const th = of(event); if (th) { event.dataTransfer.setData("text/plain", ""); event.dataTransfer.effectAllowed = "move"; event.currentTarget.dataset.drag = placed.list[column(th)].id; } },
        ondragend: (event) => { delete event.currentTarget.dataset.drag; },
        ondragover: (event) => { if (of(event) && "drag" in event.currentTarget.dataset) event.preventDefault(); },
        ondrop: (event) => {
          const th = of(event), id = event.currentTarget.dataset.drag, target = th ? column(th) : -2;
          if (target < -1 || id === undefined) return;
          event.preventDefault();
          const others = state.left.filter((one) => one !== id), onto = target < placed.pinned && target >= 0 ? others.indexOf(placed.list[target].id) : -1;
          const left = target === -1 ? [id, ...others] : target < placed.pinned && placed.list[target].id !== id ? [...others.slice(0, onto + 1), id, ...others.slice(onto + 1)] : others;
          if (left.join() !== state.left.join()) choose({ left });
        },
      };
    }

    // Once the table stands on the page: how far from its edge the columns are that stay there.
    function settle(scroll) {
      let left = 0;
      scroll.querySelectorAll("thead .stuck").forEach((th, i) => { scroll.firstChild.style.setProperty(`--stuck-${i}`, `${left}px`); left += th.getBoundingClientRect().width; });
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

    function row(variant, shown, scale, placed, carrier) {
      const { colour, dash } = view.strokeOf(variant, shown), label = variant.label, small = window.innerWidth < 700;
      const [ticked, off, pinned] = [state.show.includes(label), state.off.includes(label), page.baseline === label], isOpen = view.unfolded.has(label);
      const stroke = chip(shown.includes(variant) ? colour : "transparent", dash);
      const fold = el("button", { class: "icon", "data-focus": `fold ${label}`, "aria-expanded": String(isOpen), "aria-label": `Runs of ${label}`, onclick: () => view.unfold(label) }, isOpen ? "▾" : "▸");
      const faint = colour === "currentColor" ? "var(--dim)" : colour, mark = variant.mean === null ? null : interval(variant, scale, off ? "gray" : faint, small ? 110 : 80);
      const cells = placed.list.map((column, i) => placed.dress(column.cell(variant, mark, faint), i));
      cells[carrier].prepend(fold, stroke);
      const part = el("tr", { "data-variant": label, class: [ticked ? "on" : "", off ? "off" : "", pinned ? "pinned" : ""].join(" ").trim() || null, onpointerenter: () => view.light(label), onpointerleave: () => view.light(null), onfocusin: () => view.light(label), onfocusout: () => view.light(null) }, placed.dress(el("td", { class: "hands" }, hands(variant)), -1), cells);
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

    return { table, chooser, head, meanText, settle };
  }

  window.runslotTable = { make };
})();
