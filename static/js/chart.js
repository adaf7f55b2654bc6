// The loss chart: points come as JSON, two lines come out, the values under the pointer are shown.

import uPlot from "../vendor/uplot/uplot.js";

const PAUSE_MILLISECONDS = 2000;
const WHOLE_STEPS = [1, 10, 100, 1000, 10000, 100000].flatMap((n) => [n, 2 * n, 5 * n]);

function ink(host, name) {
  const probe = document.createElement("span");
  probe.className = `ink-${name}`;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

class LossChart {
  constructor(host) {
    this.host = host;
    this.losses = { training: new Map(), validation: new Map() };
    this.last = 0;
    this.plot = null;
    document.addEventListener("dadeum:theme", () => this.draw(true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(true));
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(host);
  }

  async follow() {
    let live = true;
    while (live) {
      live = await this.fetch();
      if (live) await new Promise((wake) => setTimeout(wake, PAUSE_MILLISECONDS));
    }
  }

  async fetch() {
    try {
      const answer = await fetch(`${this.host.dataset.chart}?after=${this.last}`, {
        headers: { Accept: "application/json" },
      });
      if (!answer.ok) return answer.status >= 500;
      const points = await answer.json();
      this.take(this.losses.training, points.training, "loss");
      this.take(this.losses.validation, points.validation, "validation_loss");
      if (points.training.length || points.validation.length) this.draw(false);
      return points.is_live;
    } catch {
      return true;
    }
  }

  // A step that comes again was run again after a crash: what followed it then does not count.
  take(losses, points, key) {
    for (const point of points) {
      if (losses.has(point.step)) {
        for (const step of [...losses.keys()]) if (step >= point.step) losses.delete(step);
      }
      losses.set(point.step, point[key]);
      this.last = Math.max(this.last, point.id);
    }
  }

  columns() {
    const { training, validation } = this.losses;
    const steps = [...new Set([...training.keys(), ...validation.keys()])].sort((a, b) => a - b);
    const column = (losses) => steps.map((step) => losses.get(step) ?? null);
    return [steps, column(training), column(validation)];
  }

  size() {
    const style = getComputedStyle(this.host);
    const inner = this.host.clientWidth - parseFloat(style.paddingLeft) * 2;
    return { width: Math.max(240, inner), height: 280 };
  }

  draw(afresh) {
    const columns = this.columns();
    if (!columns[0].length) return;
    if (afresh) {
      this.plot?.destroy();
      this.plot = null;
    }
    if (this.plot) this.plot.setData(columns);
    else {
      this.host.querySelector(".chart-empty")?.remove();
      this.plot = new uPlot(this.options(), columns, this.host);
    }
  }

  options() {
    const { step, training, validation } = this.host.dataset;
    const [line, soft] = [ink(this.host, "line"), ink(this.host, "soft")];
    const font = `12px ${getComputedStyle(this.host).fontFamily}`;
    const axis = { stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const value = (_plot, number) => (number == null ? "–" : number.toFixed(4));
    const curve = (label, name) => ({
      label,
      value,
      stroke: ink(this.host, name),
      width: 2,
      spanGaps: true,
    });
    return {
      ...this.size(),
      scales: { x: { time: false } },
      axes: [{ ...axis, grid: { show: false }, incrs: WHOLE_STEPS }, { ...axis, size: 48 }],
      series: [
        { label: step, value: (_plot, number) => (number == null ? "–" : String(number)) },
        { ...curve(training, "training"), points: { show: false } },
        { ...curve(validation, "validation"), points: { show: true, size: 6 } },
      ],
      cursor: { drag: { x: false, y: false } },
    };
  }
}

for (const host of document.querySelectorAll("[data-chart]")) new LossChart(host).follow();
