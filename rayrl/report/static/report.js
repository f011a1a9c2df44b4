// Draws the figures in the colours of the page, and again when those change or the page is printed.
(() => {
  "use strict";
  const PRINT_WIDTH = 680;
  const root = document.documentElement;
  const figures = [...document.querySelectorAll("script[data-figure]")].map((script) => ({
    place: document.getElementById(script.dataset.figure),
    ...JSON.parse(script.textContent),
  }));

  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function trace(given) {
    const own = color(`series-${given.meta.series}`);
    const themed = { ...given, marker: { ...given.marker, color: own } };
    if (given.line) themed.line = { ...given.line, color: own };
    if (given.error_x) themed.error_x = { ...given.error_x, color: own };
    if (given.error_y) themed.error_y = { ...given.error_y, color: own };
    if (given.type === "heatmap") {
      themed.colorscale = [[0, color("card")], [1, color("heat")]];
      themed.textfont = { color: color("ink") };
    }
    if (given.type === "bar") {
      themed.marker.pattern = { ...given.marker.pattern, fgcolor: color("paper"), fillmode: "overlay" };
    }
    return themed;
  }

  function layout(given, narrow, width) {
    const ink = color("ink");
    const axis = { gridcolor: color("line"), zeroline: false, linecolor: color("line"), automargin: true };
    return {
      ...given,
      width,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 12 : 13, color: ink },
      margin: { l: narrow ? 48 : 64, r: 16, t: 28, b: 48 },
      legend: { orientation: "h", traceorder: "normal", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: color("card"), bordercolor: color("line"), font: { color: ink } },
      xaxis: { ...axis, ...given.xaxis, title: narrow ? broken(given.xaxis?.title) : given.xaxis?.title },
      yaxis: { ...axis, ...given.yaxis },
      shapes: (given.shapes ?? []).map((shape) => ({ ...shape, line: { ...shape.line, color: ink } })),
    };
  }

  // Beside long labels little width is left for the title of the axis.
  function broken(title) {
    if (!title?.text) return title;
    const text = title.text.replace(/(.{1,18})( |$)/g, "$1<br>").replace(/<br>$/, "");
    return { ...title, text, font: { size: 12 } };
  }

  function draw(width) {
    for (const figure of figures) {
      const narrow = (width ?? figure.place.clientWidth) < 520;
      Plotly.react(
        figure.place,
        figure.data.map(trace),
        layout(figure.layout, narrow, width),
        { responsive: width === undefined, displayModeBar: false },
      );
    }
  }

  function unfold(all) {
    for (const fold of document.querySelectorAll(all ? "details:not([open])" : "details[data-unfolded]")) {
      fold.open = all;
      fold.toggleAttribute("data-unfolded", all);
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    unfold(true);
    draw(PRINT_WIDTH);
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    unfold(false);
    draw();
  });
})();
