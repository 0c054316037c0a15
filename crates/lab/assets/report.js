// Draws the figures of a report from the Vega-Lite data inside it. Without this script the page
// shows tables and static drawings of the same numbers. No `eval`: expressions are interpreted.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** The page's colours, by name: dark mode and print need no new drawing. */
  const theme = () => {
    const [text, quiet, line] = ["var(--text)", "var(--quiet)", "var(--line)"];
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: "transparent",
      font,
      view: { stroke: null },
      title: { color: text, anchor: "start", fontSize: 13, offset: 8 },
      axis: {
        labelColor: text, titleColor: quiet, domainColor: quiet, tickColor: quiet,
        gridColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
      },
      rule: { color: quiet },
    };
  };

  /** Views side by side as far as they fit, each as wide as there is room. */
  const fit = (spec, width) => {
    const { gutter = 60, panel = 300, most = 620 } = spec.usermeta?.owlet ?? {};
    const labels = Math.min(gutter, Math.round(width * 0.45));
    const fitting = Math.floor((width + 20) / (labels + panel + 20));
    spec.columns = Math.max(1, Math.min(fitting, spec.concat.length));
    const room = Math.floor(width / spec.columns) - labels - (width < 600 ? 44 : 24);
    for (const view of spec.concat) {
      view.width = Math.max(110, Math.min(room, most));
    }
    return { labels, room };
  };

  const save = (name, kind, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  /** A drawing that stands without the page: its colours by value. */
  const plain = (svg) => svg.replace(/var\((--[a-z]+)\)/g, (_, name) => colour(name));

  const tool = (label, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", act);
    return button;
  };

  const views = new Map();

  const draw = async (figure) => {
    const name = figure.dataset.figure;
    const source = document.getElementById(`data-${name}`);
    const target = figure.querySelector(".drawn");
    if (!source || !target) return;
    const spec = JSON.parse(source.textContent);
    target.hidden = false;
    const { labels, room } = fit(spec, target.clientWidth || 320);
    const config = theme();
    config.axisY = { labelLimit: labels - 16 };
    config.axisX = { titleLimit: room + 60 };
    const compiled = vegaLite.compile(spec, { config }).spec;
    views.get(name)?.finalize();
    const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: expressionInterpreter,
      renderer: "svg",
      container: target,
      hover: true,
    });
    views.set(name, view);
    await view.runAsync();
    const fallback = figure.querySelector(".static");
    if (fallback) fallback.hidden = true;
    const numbers = figure.querySelector("details.numbers");
    if (!figure.querySelector(".tools")) {
      // Drawn for the first time: the numbers step back.
      if (numbers) numbers.open = false;
      const tools = document.createElement("div");
      tools.className = "tools";
      tools.append(
        tool("Save as SVG", async () => save(`${name}.svg`, "image/svg+xml", plain(await views.get(name).toSVG()))),
        tool("Save as Vega-Lite", () => save(`${name}.vl.json`, "application/json", source.textContent)),
      );
      target.after(tools);
    }
  };

  const all = async () => {
    for (const figure of document.querySelectorAll("figure[data-figure]")) {
      try {
        await draw(figure);
      } catch (error) {
        // The static drawing and the table stay.
        figure.querySelector(".drawn").hidden = true;
        console.error(`figure ${figure.dataset.figure}: ${error}`);
      }
    }
  };

  let width = 0;
  let waiting = 0;
  addEventListener("resize", () => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(all, 150);
  });
  width = document.body.clientWidth;
  all();
})();
