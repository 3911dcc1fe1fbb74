"use strict";
(() => {
const {looks, plots, layers} = JSON.parse(document.getElementById("plots").textContent);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const title = text => ({text, font: {size: 11, color: css("--muted")}});

function traces(plot) {
  const {groups, hover} = looks[plot.look], space = plot.points.length === 3;
  const pick = (values, rows) => rows.map(row => values[row]);
  const trace = (group, rows, first) => Object.assign({
    type: space ? "scatter3d" : "scatter", mode: "markers", name: group.name,
    legendgroup: String(groups.indexOf(group)), showlegend: first,
    x: pick(plot.points[0], rows), y: pick(plot.points[1], rows),
    hovertext: pick(hover, rows), hoverinfo: "text",
    marker: {size: space ? 3 : 5.5, color: group.colour, symbol: group.shape,
      opacity: group.behind ? 0.6 : 0.75, line: {width: 0}},
  }, space ? {z: pick(plot.points[2], rows)} : {});
  if (space) return groups.map(group => trace(group, group.rows, true));  // drawn by depth
  // In parts, another group on top each time, so that no group hides another.
  const parts = [];
  for (let number = 0; number < layers; number++) {
    groups.forEach((_, place) => {
      const group = groups[(number + place) % groups.length];
      const rows = group.rows.filter((_, index) => index % layers === number);
      if (rows.length) parts.push(trace(group, rows, number === 0));
    });
  }
  return parts;
}

function layout(plot, camera) {
  const line = css("--line");
  const shared = name => ({title: title(name), showticklabels: false, ticks: "", zeroline: false, gridcolor: line,
    showspikes: false});
  const base = {autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    showlegend: true, font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--ink")},
    margin: {l: 28, r: 12, t: 12, b: 12},
    legend: {orientation: "h", x: 0, xanchor: "left", y: -0.08, yanchor: "top", itemsizing: "constant",
      traceorder: "normal", tracegroupgap: 0},
    modebar: {bgcolor: "rgba(0,0,0,0)", color: css("--faint"), activecolor: css("--accent")},
    hoverlabel: {align: "left", bgcolor: css("--panel"), bordercolor: css("--faint"),
      font: {size: 12, color: css("--ink")}}};
  if (plot.points.length === 2) {
    return Object.assign(base, {dragmode: "pan", xaxis: shared(plot.axes[0]), yaxis: shared(plot.axes[1])});
  }
  const [x, y, z] = plot.axes.map(name => Object.assign(shared(name),
    {showbackground: false, showline: true, linecolor: css("--faint")}));
  return Object.assign(base, {margin: {l: 0, r: 0, t: 0, b: 12},
    legend: Object.assign(base.legend, {y: 0.1, x: 0.02}),
    scene: {domain: {x: [0, 1], y: [0.12, 1]}, xaxis: x, yaxis: y, zaxis: z, aspectmode: "cube", dragmode: "orbit",
      camera: camera || {eye: {x: 1.35, y: 1.35, z: 0.9}}}});
}

// plotly.js 4 has a button that sends a plot to a server: it is off, and no button is there that is not named here.
function options(plot) {
  const buttons = plot.points.length === 3 ? ["toImage", "zoom3d", "pan3d", "orbitRotation", "resetCameraDefault3d"]
    : ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
  return {displaylogo: false, showSendToCloud: false, plotlyServerURL: "", modeBarButtons: [buttons],
    responsive: true, scrollZoom: false};
}

// A browser keeps only some 3-D canvases alive: a plot is drawn when it comes near the window, dropped when it leaves.
const cameras = new Map();
const watch = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    const plot = plots[target.dataset.plot], drawn = target.classList.contains("js-plotly-plot");
    if (isIntersecting && !drawn) {
      target.replaceChildren();
      Plotly.newPlot(target, traces(plot), layout(plot, cameras.get(target)),
        options(plot));
    } else if (!isIntersecting && drawn && plot.points.length === 3) {
      if (target.layout.scene.camera) cameras.set(target, target.layout.scene.camera);
      Plotly.purge(target);
      target.classList.remove("js-plotly-plot");
    }
  }
}, {rootMargin: "400px"});
const shown = [...document.querySelectorAll(".plot")];
shown.forEach(target => watch.observe(target));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const target of shown.filter(item => item.classList.contains("js-plotly-plot"))) {
    const plot = plots[target.dataset.plot];
    Plotly.react(target, traces(plot), layout(plot, target.layout.scene && target.layout.scene.camera));
  }
});
})();
