// The mean over two settings, a cell a pair: of the variants that are shown, and a click selects those of a cell.
// Called by answer.js.
(function () {
  "use strict";
  const { el, short, ordered } = window.runslotChart;
  const MOST_VALUES = 30, FULL_SHARE = 0.6;

  // The mean of a cell is that of its runs: variants weigh by how many of theirs count. One of which a run diverged has no
  // value, and so its cell: a mean of the others would flatter it.
  function cellOf(variants) {
    const valued = variants.filter((v) => v.mean !== null), n = valued.reduce((sum, v) => sum + v.n, 0);
    const diverged = variants.some((v) => v.mean === null && v.bad.diverged);
    return { variants, n, diverged, mean: n && !diverged ? valued.reduce((sum, v) => sum + v.mean * v.n, 0) / n : null };
  }

  // Values drawn at random meet in hardly any cell: such keys say more on other figures.
  function isFull(variants, valueOf, a, b) {
    const count = (of) => new Set(variants.map(of)).size;
    return count((v) => JSON.stringify([valueOf(v, a), valueOf(v, b)])) >= FULL_SHARE * count((v) => valueOf(v, a)) * count((v) => valueOf(v, b));
  }

  function axis(keys, chosen, name, onChange) {
    return el("select", { "aria-label": name, "data-focus": `heat ${name}`, onchange: (event) => onChange(event.target.value) },
      keys.map((key) => el("option", { value: key, selected: key === chosen ? "" : null }, key)));
  }

  // `options`: keys with several values, variants, valueOf(variant, key) and briefValue, ticked labels, min or max, onChoose, onAxes.
  window.runslotHeat = function (options) {
    const { keys, variants, valueOf, ticked, mode } = options;
    const small = keys.filter((key) => new Set(variants.map((v) => valueOf(v, key))).size <= MOST_VALUES);
    const pairs = small.flatMap((a, i) => small.slice(i + 1).map((b) => [a, b])).filter(([a, b]) => isFull(variants, valueOf, a, b));
    if (!pairs.length || variants.length < 3) return null;
    const isChosen = small.includes(options.across) && small.includes(options.down) && options.across !== options.down;
    const [across, down] = isChosen ? [options.across, options.down] : pairs[0];
    const xs = ordered(variants.map((v) => valueOf(v, across))), ys = ordered(variants.map((v) => valueOf(v, down)));
    const cells = ys.map((y) => xs.map((x) => cellOf(variants.filter((v) => valueOf(v, across) === x && valueOf(v, down) === y))));
    const means = cells.flat().map((cell) => cell.mean).filter((mean) => mean !== null), low = Math.min(...means), high = Math.max(...means);
    const share = (mean) => (high > low ? (mode === "min" ? high - mean : mean - low) / (high - low) : 0.5);
    const button = (cell, x, y) => {
      const labels = cell.variants.map((v) => v.label), on = labels.length > 0 && labels.every((label) => ticked.includes(label));
      const words = `${across}=${x}, ${down}=${y}: ${cell.diverged ? "a run diverged" : cell.mean === null ? "no value" : short(cell.mean)}, n = ${cell.n}`;
      if (!labels.length) return el("td", { class: "none" });
      return el("td", {}, el("button", { class: "cell", "data-cell": `${x}|${y}`, "data-focus": `cell ${x}|${y}`, "aria-pressed": String(on), "aria-label": words, title: words,
        style: cell.mean === null ? null : `--share:${(8 + 74 * share(cell.mean)).toFixed(0)}%`, onclick: () => options.onChoose(labels, on) }, cell.diverged ? "×" : cell.mean === null ? "–" : digits(cell.mean)));
    };
    const named = (key, value) => options.briefValue(variants.find((v) => valueOf(v, key) === value), key);
    // Three digits in each cell, so that they stand below one another.
    const digits = (mean) => (mean !== 0 && (Math.abs(mean) >= 1000 || Math.abs(mean) < 0.001) ? short(Number(mean.toPrecision(3))) : mean.toPrecision(3));
    const pooled = keys.filter((key) => key !== across && key !== down);
    const table = el("table", { class: "heat" }, el("thead", {}, el("tr", {}, el("th", {}), xs.map((x) => el("th", { scope: "col", title: x }, named(across, x))))),
      el("tbody", {}, ys.map((y, i) => el("tr", {}, el("th", { scope: "row", title: y }, named(down, y)), xs.map((x, j) => button(cells[i][j], x, y))))));
    return el("section", { id: "heat", "aria-label": "Heat map" }, el("h2", {}, "Means over ", axis(small.filter((key) => key !== down), across, "across", (key) => options.onAxes(key, down)), " and ", axis(small.filter((key) => key !== across), down, "down", (key) => options.onAxes(across, key)), pooled.length ? el("small", {}, ` pooled over: ${pooled.join(", ")}`) : null),
      el("div", { class: "scroll plainly" }, table));
  };
})();
