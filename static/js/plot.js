// Lines become a picture: colours of the theme, dashes, labels at the ends, marks on the axis.

import uPlot from "../vendor/uplot/uplot.js";

const LABEL_HEIGHT = 15;

export function ink(host, name) {
  const probe = document.createElement("span");
  probe.className = `ink-${name}`;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

// A line: key, ink, xs, ys; if wanted dash, width, dots, label (at its end), under (the key of the
// line down to which it is filled).
export class Plot {
  constructor(host, { height, format, hovered, group, room = 0, fromZero = false }) {
    Object.assign(this, { host, height, format, hovered, group, room, fromZero });
    this.lines = [];
    this.marks = [];
    this.ring = null;
    this.drawn = "";
    const afresh = () => this.draw(true);
    document.addEventListener("dadeum:theme", afresh);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", afresh);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(host);
  }

  show(lines, reach, { marks = [], ring = null } = {}) {
    Object.assign(this, { lines, reach, marks, ring });
    this.draw(false);
  }

  draw(afresh) {
    const keys = this.lines.map((line) => line.key).join();
    const data = aligned(this.lines);
    if (!data[0].length) return;
    if (this.plot && !afresh && keys === this.drawn) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.drawn = keys;
    this.host.querySelector(".chart-empty")?.remove();
    this.plot = new uPlot(this.options(), data, this.host);
  }

  size() {
    const style = getComputedStyle(this.host);
    const inner = this.host.clientWidth - parseFloat(style.paddingLeft) * 2;
    return { width: Math.max(200, inner), height: this.height };
  }

  options() {
    const [line, soft] = [ink(this.host, "line"), ink(this.host, "soft")];
    const font = `12px ${getComputedStyle(this.host).fontFamily}`;
    const axis = { stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const values = (_plot, ticks) => ticks.map((tick) => (tick == null ? "" : this.format(tick)));
    return {
      ...this.size(),
      padding: [12, 12 + this.room, 0, 0],
      scales: {
        x: { time: false, range: (_plot, _low, high) => [0, this.until(high)] },
        y: this.fromZero ? { range: (_plot, _low, high) => [0, 1.1 * high || 1] } : {},
      },
      axes: [
        { ...axis, grid: { show: false }, size: 32 },
        { ...axis, size: 60, values, space: 36 },
      ],
      series: [{}, ...this.lines.map((one) => this.series(one))],
      bands: this.bands(),
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false },
        y: false,
        points: { show: false },
        sync: this.group ? { key: this.group, scales: ["x", null] } : undefined,
      },
      hooks: {
        setCursor: [(plot) => this.hovered?.(this.under(plot))],
        draw: [(plot) => this.decorate(plot, soft, font)],
      },
    };
  }

  // While a run lives the axis reaches to the next half, quarter, … of what is planned, so that the
  // picture moves seldom; then it ends with the run.
  until(high) {
    let reach = this.reach;
    while (reach / 2 >= high && high > 0) reach /= 2;
    return Math.max(reach, high) || 1;
  }

  series({ ink: name, dash, width = 2, dots = false }) {
    return {
      stroke: ink(this.host, name),
      dash,
      width,
      spanGaps: true,
      points: { show: dots, size: 6, fill: ink(this.host, name) },
    };
  }

  bands() {
    const place = (key) => this.lines.findIndex((line) => line.key === key) + 1;
    return this.lines
      .filter((line) => line.under)
      .map((line) => ({ series: [place(line.key), place(line.under)], fill: ink(this.host, line.fill) }));
  }

  under(plot) {
    const { left } = plot.cursor;
    return left == null || left < 0 ? null : plot.posToVal(left, "x");
  }

  decorate(plot, soft, font) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.strokeStyle = soft;
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 5 * ratio]);
    for (const { epoch } of this.marks) {
      const x = plot.valToPos(epoch, "x", true);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    if (this.ring) {
      ctx.strokeStyle = ink(this.host, "validation");
      ctx.lineWidth = 2 * ratio;
      ctx.beginPath();
      const [x, y] = [plot.valToPos(this.ring.epoch, "x", true), plot.valToPos(this.ring.loss, "y", true)];
      ctx.arc(x, y, 8 * ratio, 0, 2 * Math.PI);
      ctx.stroke();
    }
    this.labels(plot, font.replace("12px", `600 ${13 * ratio}px`), ratio);
    ctx.restore();
  }

  // Labels at the ends of lines, pushed apart where they would lie on each other.
  labels(plot, font, ratio) {
    const { ctx } = plot;
    const found = this.lines
      .filter((line) => line.label && line.xs.length)
      .map((line) => ({
        line,
        x: plot.valToPos(line.xs.at(-1), "x", true) + 7 * ratio,
        y: plot.valToPos(line.ys.at(-1), "y", true),
      }))
      .sort((one, other) => one.y - other.y);
    Object.assign(ctx, { font, textAlign: "left", textBaseline: "middle" });
    let above = -Infinity;
    for (const { line, x, y } of found) {
      above = Math.max(y, above + LABEL_HEIGHT * ratio);
      ctx.fillStyle = ink(this.host, line.ink);
      ctx.fillText(line.label, x, above);
    }
  }
}

// Bring lines of different places onto one axis, with nothing where a line has no value.
function aligned(lines) {
  const xs = [...new Set(lines.flatMap((line) => line.xs))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, index) => [x, index]));
  const columns = lines.map((line) => {
    const column = new Array(xs.length).fill(null);
    line.xs.forEach((x, index) => {
      column[place.get(x)] = line.ys[index];
    });
    return column;
  });
  return [xs, ...columns];
}
