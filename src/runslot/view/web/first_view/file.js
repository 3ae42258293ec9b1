// The plots of a page that lies in one file: figures as they were when it was written. Plotly lies in it compressed,
// and is unpacked when the plots are opened.
(function () {
  "use strict";
  const packed = document.getElementById("plotly"), held = document.getElementById("figures");
  if (!packed || !held) return;
  const kinds = JSON.parse(held.textContent);
  let kind = 0, library = null;

  async function unpacked() {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  window.runslotFigures = function (el) {
    const { chip } = window.runslotChart;
    const body = el("div", { class: "figures", id: "figures-shown" }, el("p", { class: "wait" }, "Unpacking …"));
    const tabs = el("nav", { class: "bar", "aria-label": "Plots" }, kinds.map((one, i) =>
      el("button", { class: "plain", "aria-pressed": String(i === kind), "data-focus": `kind ${one.kind}`, onclick: () => { kind = i; put(); } }, one.name)));
    function put() {
      [...tabs.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === kind)));
      const shown = kinds[kind];
      const plots = shown.figures.map((figure) => el("div", { class: "plot", style: `height:${figure.layout.height || 420}px` }));
      body.replaceChildren(...shown.figures.map((figure, i) => el("section", {}, el("h2", {}, figure.title), plots[i])), el("div", { class: "key" }, shown.legend.map((item) => el("span", {}, chip(item.colour, item.dash), item.label, el("small", { class: "faint" }, ` ${item.tally}`)))),
        el("p", { class: "account" }, shown.notes.join(" · ")));
      // Once they stand on the page, which says how wide they are.
      shown.figures.forEach((figure, i) => window.Plotly.newPlot(plots[i], figure.data, { ...figure.layout, autosize: true }, { displaylogo: false, responsive: true, displayModeBar: false }));
    }
    library = library || unpacked();
    library.then(put, () => body.replaceChildren(el("p", { class: "message" }, "This browser cannot unpack the plots; a newer one can.")));
    return [tabs, body];
  };
})();
