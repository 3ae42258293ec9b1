// Curves as SVG, with their names at their ends: small enough to come with the first view. Called by answer.js.
(function () {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";
  const LABEL_PX = 15, BRIEF_OVER = 12, LONGEST_VALUE = 24;

  function svg(tag, attributes, ...children) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) node.setAttribute(name, value);
    for (const child of children) if (child) node.append(child);
    return node;
  }

  const xsOf = (curve) => curve.x || curve.y.map((_, i) => curve.x0 + i * curve.dx);

  function short(number) {
    if (number === 0) return "0";
    const size = Math.abs(number);
    if (size >= 1e6 || size < 1e-3) return number.toExponential(1).replace(".0e", "e").replace("e+", "e");
    return String(Number(number.toPrecision(4)));
  }

  function ticks(low, high, count, log) {
    if (log) {
      const powers = [];
      const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
      const step = Math.max(1, Math.ceil((last - first) / count));
      for (let p = first; p <= last; p += step) powers.push(10 ** p);
      return powers.length > 1 ? powers : [low, high];
    }
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || power;
    const values = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) values.push(Number((i * step).toPrecision(12)));
    return values;
  }

  function extent(values, log) {
    let low = Infinity, high = -Infinity;
    for (const value of values) if (value !== null && Number.isFinite(value) && (!log || value > 0)) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low > high) return log ? [0.1, 1] : [0, 1];
    if (low === high) return log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05];
    return [low, high];
  }

  function scale(low, high, from, to, log) {
    const place = (value) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    const at = (value) => (value === null || value === undefined || (log && value <= 0) ? null : from + place(value) * (to - from));
    at.back = (pixel) => { const share = (pixel - from) / (to - from); return log ? low * (high / low) ** share : low + share * (high - low); };
    return at;
  }

  function path(xs, ys, x, y) {
    let text = "", up = true;
    for (let i = 0; i < ys.length; i += 1) {
      const [px, py] = [x(xs[i]), y(ys[i])];
      if (px === null || py === null) { up = true; continue; }
      text += (up ? "M" : "L") + px.toFixed(1) + " " + py.toFixed(1);
      up = false;
    }
    return text;
  }

  function band(xs, curve, x, y) {
    const points = xs.map((value, i) => [x(value), y(curve.low[i]), y(curve.high[i])]).filter((p) => p.every((v) => v !== null));
    if (!points.length) return "";
    const up = points.map((p) => p[0].toFixed(1) + " " + p[2].toFixed(1));
    const down = points.reverse().map((p) => p[0].toFixed(1) + " " + p[1].toFixed(1));
    return "M" + up.concat(down).join("L") + "Z";
  }

  // Names that would lie on one another are moved apart, in the order of their curves.
  function spread(places, low, high) {
    const order = places.map((at, i) => ({ at, i })).sort((a, b) => a.at - b.at);
    order.forEach((item, n) => { if (n && item.at < order[n - 1].at + LABEL_PX) item.at = order[n - 1].at + LABEL_PX; });
    for (let n = order.length - 1; n >= 0; n -= 1) {
      const most = n === order.length - 1 ? high : order[n + 1].at - LABEL_PX;
      if (order[n].at > most) order[n].at = most;
    }
    const moved = [];
    order.forEach((item) => { moved[item.i] = Math.max(low, item.at); });
    return moved;
  }

  // Different words once: numbers by size, then texts in natural order.
  const ordered = (words) => [...new Set(words)].sort((a, b) => (Number.isNaN(a - b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b));

  const DASHES = { solid: null, dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "13 4", longdashdot: "13 3 2 3 2 3" };

  // Long texts that begin or end alike, by what differs: whole words alone are left out.
  function brief(texts) {
    const words = [...new Set(texts)], shortest = Math.min(...words.map((word) => word.length));
    const same = (a, b, from) => { let n = 0; while (n < shortest && from(a, n) === from(b, n)) n += 1; return n; };
    const among = (from) => Math.min(...words.map((word) => same(word, words[0], from)));
    const isEnd = (sign) => sign === undefined || /[\s\-_/.,:=]/.test(sign);
    let start = among((word, n) => word[n]), end = among((word, n) => word[word.length - 1 - n]);
    while (start && !isEnd(words[0][start - 1])) start -= 1;
    while (end && !isEnd(words[0][words[0].length - end])) end -= 1;
    const cut = (word) => { const kept = word.slice(start, Math.max(start, word.length - end)); return kept ? `${start > 3 ? "…" : word.slice(0, start)}${kept}${end > 3 ? "…" : word.slice(word.length - end)}` : word; };
    const isUseful = words.length > 1 && Math.max(...words.map((word) => word.length)) > BRIEF_OVER && start + end > 3;
    const parts = words.map((word) => (isUseful ? cut(word) : word)), short = parts.map(middle);
    const kept = new Set(short).size === words.length ? short : parts;
    return new Map(words.map((word, i) => [word, kept[i]]));
  }
  const middle = (word) => (word.length > LONGEST_VALUE ? `${word.slice(0, LONGEST_VALUE / 2)}…${word.slice(1 - LONGEST_VALUE / 2)}` : word);

  // A piece of a curve's stroke, as legends and rows have it.
  function chip(colour, dash) {
    const width = 26, root = svg("svg", { width, height: 10, viewBox: `0 0 ${width} 10`, class: "chip", "aria-hidden": "true", "data-dash": dash });
    root.append(svg("line", { x1: 0, x2: width, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": DASHES[dash] }));
    return root;
  }

  function nearest(xs, value) {
    let best = 0;
    for (let i = 1; i < xs.length; i += 1) if (Math.abs(xs[i] - value) < Math.abs(xs[best] - value)) best = i;
    return best;
  }

  // What both axes have to hold; charts beside each other share it.
  function bounds(lines, log) {
    const all = lines.filter((line) => line.curve && line.curve.y.length);
    const ys = (line) => [line.curve.y, line.curve.low || [], line.curve.high || [], ...(line.curve.members || []).map((m) => m.y)].flat();
    return { x: extent(all.flatMap((line) => xsOf(line.curve)), log.includes("x")), y: extent(all.flatMap(ys), log.includes("y")) };
  }

  // `lines`: [{ label, name, full, colour, dash, curve }]; `name` stands at the end of a curve, `full` where it is pointed
  // at. Returns an element that follows the pointer by itself.
  function chart(lines, options) {
    const { width, height, xName, yName, log, onHover } = { onHover() {}, ...options };
    const all = lines.filter((line) => line.curve && line.curve.y.length);
    const [logX, logY] = ["x", "y"].map((name) => log.includes(name));
    const xs = new Map(all.map((line) => [line, xsOf(line.curve)]));
    const { x: [x0, x1], y: [y0, y1] } = options.bounds || bounds(all, log);
    const bare = options.bare || all.every((line) => !line.name);
    const right = bare ? 10 : Math.min(width * 0.34, 14 + 7 * Math.max(4, ...all.map((line) => line.name.length)));
    const box = { left: 52, right: width - right, top: 10, bottom: height - 40 };
    const x = scale(x0, x1, box.left, box.right, logX), y = scale(y0, y1, box.bottom, box.top, logY);
    const names = all.map((line) => line.full || line.name).join("; ");
    const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `${yName} along ${xName}: ${names}` });
    for (const value of ticks(y0, y1, Math.max(2, Math.floor((box.bottom - box.top) / 50)), logY)) {
      const at = y(value);
      root.append(svg("line", { x1: box.left, x2: box.right, y1: at, y2: at, class: "grid" }));
      const text = svg("text", { x: box.left - 6, y: at + 4, "text-anchor": "end", class: "tick" });
      text.textContent = short(value);
      root.append(text);
    }
    for (const value of ticks(x0, x1, Math.max(2, Math.floor((box.right - box.left) / 80)), logX)) {
      const text = svg("text", { x: x(value), y: box.bottom + 16, "text-anchor": "middle", class: "tick" });
      text.textContent = short(value);
      root.append(svg("line", { x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4, class: "grid" }), text);
    }
    const under = svg("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle", class: "tick" });
    under.textContent = xName;
    root.append(under);
    const ends = [];
    for (const line of all) {
      const group = svg("g", { "data-line": line.label });
      const style = { fill: "none", stroke: line.colour, "stroke-dasharray": DASHES[line.dash] };
      if (line.curve.low) group.append(svg("path", { d: band(xs.get(line), line.curve, x, y), fill: line.colour, opacity: 0.14 }));
      for (const member of line.curve.members || []) group.append(svg("path", { d: path(xsOf(member), member.y, x, y), ...style, "stroke-width": 0.9, opacity: 0.35 }));
      group.append(svg("path", { d: path(xs.get(line), line.curve.y, x, y), ...style, "stroke-width": 2 }));
      if (line.curve.y.length === 1) group.append(svg("circle", { cx: x(xs.get(line)[0]), cy: y(line.curve.y[0]), r: 3, fill: line.colour }));
      for (const [cx, cy, run] of line.curve.crosses || []) {
        const [px, py] = [x(cx), y(cy)];
        if (px === null || py === null) continue;
        const cross = svg("path", { d: `M${px - 4} ${py - 4}l8 8m0 -8l-8 8`, stroke: line.colour, "stroke-width": 2 });
        const title = svg("title");
        title.textContent = `${run} diverged here`;
        cross.append(title);
        group.append(cross);
      }
      root.append(group);
      const last = line.curve.y.length - 1 - [...line.curve.y].reverse().findIndex((v) => v !== null);
      ends.push(line.curve.y[last] === undefined ? null : y(line.curve.y[last]));
    }
    const places = spread(ends.map((at) => (at === null ? box.bottom : at)), box.top, box.bottom);
    const fits = Math.max(4, Math.floor((right - 12) / 7));
    if (!bare) all.forEach((line, i) => {
      const text = svg("text", { x: box.right + 8, y: places[i] + 4, class: "name", style: `--own:${line.colour}`, "data-line": line.label });
      text.textContent = line.name.length > fits ? line.name.slice(0, fits - 1) + "…" : line.name;
      const title = svg("title");
      title.textContent = line.label;
      text.append(title);
      text.addEventListener("pointerenter", () => onHover(line.label));
      text.addEventListener("pointerleave", () => onHover(null));
      root.append(text);
    });
    const frame = document.createElement("div");
    frame.className = "frame";
    if (options.at !== undefined && options.at !== null && Number.isFinite(x(options.at))) {
      root.append(svg("line", { x1: x(options.at), x2: x(options.at), y1: box.top, y2: box.bottom, class: "fixed" }));
    }
    frame.append(root, follow(root, all, xs, { x, y, box, xName, at: options.at, focus: options.focus, onCursor: options.onCursor, onFix: options.onFix }));
    return frame;
  }

  // The values of all curves at the pointer's x, best read from top to bottom as the curves lie. By keyboard, where a
  // step can be fixed: ← and → go along the steps, Enter fixes one.
  function follow(root, all, xs, { x, y, box, xName, at: fixed = null, focus = "cursor", onCursor = () => {}, onFix = null }) {
    const line = svg("line", { y1: box.top, y2: box.bottom, class: "cursor", visibility: "hidden" });
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    let step = null;
    const leave = () => { line.setAttribute("visibility", "hidden"); tip.hidden = true; step = null; onCursor(null); };
    root.append(line);
    function point(at) {
      const values = all.map((one) => { const i = nearest(xs.get(one), at); return { one, x: xs.get(one)[i], value: one.curve.y[i] }; })
        .filter((item) => item.value !== null && item.value !== undefined);
      if (!values.length) return;
      step = values.reduce((a, b) => (Math.abs(a.x - at) <= Math.abs(b.x - at) ? a : b)).x;
      onCursor(step);
      line.setAttribute("x1", x(step)); line.setAttribute("x2", x(step)); line.setAttribute("visibility", "visible");
      values.sort((a, b) => (y(a.value) ?? 0) - (y(b.value) ?? 0));
      const head = document.createElement("b");
      head.textContent = `${xName} ${short(step)}`;
      const words = values.map(({ one, value }) => [one, `${Number(value.toPrecision(5))}  ${one.full || one.name}`]);
      tip.replaceChildren(head, ...words.map(([one, text]) => {
        const row = document.createElement("div"), chip = document.createElement("i");
        chip.style.background = one.colour;
        row.append(chip, text);
        return row;
      }));
      tip.hidden = false;
      const px = x(step), isLeft = px < (box.left + box.right) / 2;
      tip.style.left = isLeft ? `${px + 14}px` : "";
      tip.style.right = isLeft ? "" : `${root.clientWidth - px + 14}px`;
      if (onFix) { root.setAttribute("aria-valuenow", step); root.setAttribute("aria-valuetext", `${xName} ${short(step)}: ${words.map(([, text]) => text).join("; ")}`); }
    }
    root.addEventListener("pointermove", (event) => {
      const px = event.clientX - root.getBoundingClientRect().left;
      if (px < box.left || px > box.right || !all.length) leave();
      else point(x.back(px));
    });
    root.addEventListener("pointerleave", leave);
    if (onFix && all.length) byKeyboard();
    return tip;

    function byKeyboard() {
      const steps = [...new Set(all.flatMap((one) => xs.get(one)))].sort((a, b) => a - b), last = steps.length - 1;
      const start = fixed !== null && Number.isFinite(fixed) ? fixed : steps[last];
      for (const [name, value] of Object.entries({ tabindex: 0, role: "slider", "data-focus": focus, "aria-valuemin": steps[0], "aria-valuemax": steps[last], "aria-valuenow": start, "aria-valuetext": `${xName} ${short(start)}` })) root.setAttribute(name, value);
      root.addEventListener("click", () => { if (step !== null) onFix(step); });
      root.addEventListener("blur", leave);
      root.addEventListener("keydown", (event) => {
        const now = nearest(steps, step === null ? start : step);
        const to = { ArrowLeft: step === null ? now : now - 1, ArrowRight: step === null ? now : now + 1, PageDown: now - 10, PageUp: now + 10, Home: 0, End: last }[event.key];
        if (to !== undefined) { event.preventDefault(); point(steps[Math.max(0, Math.min(last, to))]); }
        if (event.key === "Enter" && step !== null) { event.preventDefault(); onFix(step); }
        if (event.key === "Escape" && step !== null) { event.stopPropagation(); leave(); }
      });
    }
  }

  // One dot with its interval on the scale that all rows share.
  function interval(row, [low, high], colour, width) {
    const root = svg("svg", { width, height: 18, viewBox: `0 0 ${width} 18`, class: "interval", role: "img", "aria-label": row.text });
    const x = scale(low, high, 6, width - 6, false);
    root.append(svg("line", { x1: 0, x2: width, y1: 9, y2: 9, class: "grid" }));
    if (row.low !== null) root.append(svg("line", { x1: x(row.low), x2: x(row.high), y1: 9, y2: 9, stroke: colour, "stroke-width": 3, opacity: 0.55 }));
    root.append(svg("circle", { cx: x(row.mean), cy: 9, r: 4.5, fill: colour }));
    return root;
  }

  function sparkline(curve, colour, width) {
    const height = 20, y = curve.y.filter((v) => v !== null);
    const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "spark", "aria-hidden": "true" });
    if (y.length < 2) return root;
    const step = Math.max(1, Math.floor(y.length / 40)), few = y.filter((_, i) => i % step === 0 || i === y.length - 1);
    const [low, high] = extent(few, false);
    root.append(svg("path", { d: path(few.map((_, i) => i), few, scale(0, few.length - 1, 1, width - 1, false), scale(low, high, height - 3, 3, false)), fill: "none", stroke: colour, "stroke-width": 1.3 }));
    return root;
  }

  // What a curve has at a step: of the row nearest to it, nothing beyond its end.
  function valueAt(curve, step) {
    const xs = curve ? xsOf(curve) : [];
    if (!xs.length || step < xs[0] || step > xs[xs.length - 1]) return null;
    const i = nearest(xs, step), value = curve.y[i];
    return value === null || value === undefined ? null : { value, low: curve.low ? curve.low[i] : null, high: curve.high ? curve.high[i] : null };
  }

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

  window.runslotChart = { chart, bounds, ordered, brief, chip, interval, sparkline, extent, short, scale, ticks, svg, path, valueAt, el };
})();
