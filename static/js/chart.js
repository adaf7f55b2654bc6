// A model's page: its losses, smoothed as the reader likes, and the four figures below them.

import { hundredths, nearest, Run, short, size, smoothed, whole } from "./curves.js";
import { Plot } from "./plot.js";

const FORMATS = {
  learning_rate: short,
  gradient_norm: hundredths,
  tokens_per_second: whole,
  memory_bytes: size,
};

class Losses {
  constructor(host) {
    this.host = host;
    this.words = host.dataset;
    this.planned = Number(host.dataset.epochs) || 0;
    this.run = new Run(host.dataset.chart);
    this.section = host.closest("section");
    this.readout = this.section.querySelector("[data-readout]");
    this.hint = this.readout.textContent;
    this.smoothing = this.section.querySelector("[data-smoothing]");
    this.smoothing.addEventListener("input", () => this.draw());
    this.plot = new Plot(host, {
      height: 300,
      format: short,
      group: "run",
      hovered: (epoch) => this.say(epoch),
    });
    this.figures = [...this.section.querySelectorAll("[data-figure]")].map(
      (figure) => new Figure(figure, this),
    );
    const more = this.section.querySelector("[data-figures]");
    more.addEventListener("toggle", () => this.draw());
    this.run.follow(() => this.draw());
  }

  get reach() {
    return this.run.isLive ? this.planned : 0;
  }

  draw() {
    const { marks, best } = this.run;
    this.plot.show(this.lines(), this.reach, { marks, ring: best });
    for (const figure of this.figures) figure.draw();
    const isEmpty = this.figures.every(({ host: figure }) => figure.hidden);
    this.section.querySelector("[data-no-figures]").hidden = !isEmpty;
    const told = this.section.querySelector("[data-best]");
    told.hidden = !best;
    if (best) {
      const place = this.words.at.replace("__epoch__", hundredths(best.epoch));
      told.querySelector("b").textContent = `${short(best.loss)} (${place})`;
    }
    this.section.querySelector("[data-marks]").hidden = !marks.length;
  }

  lines() {
    const { training, validation } = this.run;
    const xs = training.map((point) => point.epoch);
    const column = (key) => training.map((point) => point[key] ?? point.loss);
    const percent = Number(this.smoothing.value);
    return [
      { key: "high", ink: "clear", xs, ys: column("high"), under: "low", fill: "training-soft" },
      { key: "low", ink: "clear", xs, ys: column("low") },
      { key: "raw", ink: "training-faint", width: 1, xs, ys: column("loss") },
      {
        key: "training",
        ink: "training",
        xs,
        ys: smoothed(training, ((this.planned || 1) * percent) / 100),
      },
      {
        key: "validation",
        ink: "validation",
        dash: [6, 4],
        dots: true,
        xs: validation.map((point) => point.epoch),
        ys: validation.map((point) => point.loss),
      },
    ];
  }

  say(epoch) {
    const point = epoch == null ? null : nearest(this.run.training, epoch);
    for (const figure of this.figures) figure.say(point);
    if (!point) {
      this.readout.textContent = this.hint;
      return;
    }
    const near = nearest(this.run.validation, epoch);
    const parts = [
      `${this.words.step} ${whole(point.step)}`,
      this.words.at.replace("__epoch__", hundredths(point.epoch)),
      `${this.words.training} ${short(point.loss)}`,
    ];
    if (point.steps) parts.push(`(${short(point.low)}–${short(point.high)})`);
    if (near) {
      const place = this.words.at.replace("__epoch__", hundredths(near.epoch));
      parts.push(`${this.words.validation} ${short(near.loss)} (${place})`);
    }
    this.readout.textContent = parts.join(" · ").replace(" · (", " (");
  }
}

class Figure {
  constructor(host, losses) {
    this.key = host.dataset.figure;
    this.host = host;
    this.losses = losses;
    this.format = FORMATS[this.key];
    this.plot = new Plot(host.querySelector(".small-plot"), {
      height: 120,
      format: this.format,
      fromZero: true,
      group: "run",
      hovered: (epoch) => losses.say(epoch),
    });
  }

  draw() {
    const points = this.losses.run.training.filter((point) => point[this.key] != null);
    this.host.hidden = !points.length;
    if (this.host.hidden || !this.host.closest("details").open) return;
    const line = {
      key: this.key,
      ink: "training",
      width: 1.5,
      xs: points.map((point) => point.epoch),
      ys: points.map((point) => point[this.key]),
    };
    this.plot.show([line], this.losses.reach, { marks: this.losses.run.marks });
  }

  say(point) {
    const value = point?.[this.key];
    this.host.querySelector("[data-value]").textContent = value == null ? "" : this.format(value);
  }
}

for (const host of document.querySelectorAll("[data-chart]")) new Losses(host);
