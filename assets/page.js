// The pages' own script. Everything works without it; it lets a person pause the refresh, says when
// the server cannot be reached, keeps the address in step with the filter, and draws the chart.
"use strict";
(() => {
  const PAUSED = "noetl-metrics-paused";
  const pause = document.getElementById("pause");
  const link = document.getElementById("link");
  const live = () => document.getElementById("live");
  let paused = sessionStorage.getItem(PAUSED) === "1";

  // Refreshing: paused by the button, and while nobody looks at the page.

  function showPause() {
    pause.hidden = !live()?.hasAttribute("hx-get");
    pause.textContent = paused ? "Resume" : "Pause";
    pause.title = paused ? "The page stands still" : "The page refreshes itself";
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    sessionStorage.setItem(PAUSED, paused ? "1" : "0");
    showPause();
    if (!paused) htmx.trigger(live(), "refresh");
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !paused && live()) htmx.trigger(live(), "refresh");
  });

  document.addEventListener("htmx:before:request", (event) => {
    const timer = event.detail.ctx.sourceEvent?.type === "every";
    if (timer && (paused || document.hidden)) event.preventDefault();
  });

  // The connection: what stays on the page when a refresh fails is old, and says so.

  function failed() {
    document.body.classList.add("cut-off");
    if (!link.textContent) link.textContent = "No answer from the server, trying again";
  }

  document.addEventListener("htmx:error", failed);
  document.addEventListener("htmx:response:error", failed);
  document.addEventListener("htmx:after:swap", () => {
    document.body.classList.remove("cut-off");
    link.textContent = "";
    chart();
  });

  // The filter: empty fields are left out, and the address can be shared.

  document.addEventListener("htmx:config:request", (event) => {
    const { sourceElement, request } = event.detail.ctx;
    if (sourceElement.id !== "filter") return;
    for (const [name, value] of [...request.body]) {
      if (value === "" || value === "all") request.body.delete(name);
    }
  });

  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, request, response } = event.detail.ctx;
    if (sourceElement.id === "filter" && response.status === 200) {
      history.replaceState(null, "", request.action);
    }
  });

  // The chart: uPlot takes the place of the server's drawing.

  const PREFIXES = { 1024: ["", "Ki", "Mi", "Gi", "Ti", "Pi"], 1000: ["", " k", " M", " G", " T", " P"] };

  function format(value, { factor, step, unit }) {
    if (value == null) return "";
    let shown = value * factor;
    let prefix = "";
    if (step) {
      let power = 0;
      while (Math.abs(shown) >= step && power < 5) {
        shown /= step;
        power += 1;
      }
      prefix = PREFIXES[step][power];
    }
    const text = String(Number(shown.toPrecision(Math.abs(shown) >= 1000 ? 4 : 3)));
    return step === 1024 ? `${text} ${prefix}${unit}` : `${text}${prefix}${unit && unit !== "%" ? " " : ""}${unit}`;
  }

  const two = (number) => String(number).padStart(2, "0");

  function time(seconds, step) {
    const date = new Date(seconds * 1000);
    const day = `${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
    const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
    if (step >= 86400) return day;
    return step < 60 ? `${clock}:${two(date.getUTCSeconds())}` : clock;
  }

  // Columns as the server writes them: start in milliseconds, milliseconds since then, values.
  function read(columns) {
    const [start, offsets, values] = JSON.parse(columns);
    return [offsets.map((offset) => (start + offset) / 1000), values];
  }

  let plot = null;
  let drawn = null;

  function options(box, axis) {
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axes = { stroke: color("--dim"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    const readout = document.querySelector(".readout");
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      scales: { x: { time: true } },
      series: [{}, { stroke: color("--accent"), fill: color("--tint"), width: 1.5, points: { show: false } }],
      axes: [
        {
          ...axes,
          size: 30,
          grid: { show: false },
          values: (_, splits, __, ___, step) => splits.map((at) => time(at, step)),
        },
        {
          ...axes,
          grid: { stroke: color("--rule"), width: 1 },
          size: 78,
          values: (_, splits) => splits.map((value) => format(value, axis)),
        },
      ],
      hooks: {
        setCursor: [(u) => {
          const at = u.cursor.idx;
          readout.textContent = at == null || u.data[1][at] == null
            ? ""
            : `${time(u.data[0][at], 1)} UTC: ${format(u.data[1][at], axis)}`;
        }],
      },
    };
  }

  // New points, without undoing what a person has zoomed into.
  function update(data) {
    const times = plot.data[0];
    const { min, max } = plot.scales.x;
    const whole = min === times[0] && max === times[times.length - 1];
    plot.setData(data, whole);
    if (!whole) plot.redraw();
  }

  function chart() {
    const box = document.querySelector(".plot[data-columns]");
    if (!box || !window.uPlot) return;
    const { columns, factor, step, unit } = box.dataset;
    if (plot?.root.parentNode === box) {
      if (columns !== drawn) update(read(columns));
    } else {
      box.replaceChildren();
      box.classList.add("drawn");
      plot = new uPlot(
        options(box, { factor: Number(factor), step: Number(step), unit }), read(columns), box,
      );
      new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
    }
    drawn = columns;
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plot?.destroy();
    plot = null;
    chart();
  });

  showPause();
  chart();
})();
