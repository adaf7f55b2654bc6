// Several runs on one axis: two charts, every run with its own colour, dashes and number.

import { hundredths, nearest, Run, short, smoothed, whole } from "./curves.js";
import { Plot } from "./plot.js";

class Overlay {
  constructor(section) {
    this.section = section;
    this.words = section.dataset;
    this.readout = section.querySelector("[data-readout]");
    this.hint = this.readout.textContent;
    this.smoothing = section.querySelector("[data-smoothing]");
    this.smoothing.addEventListener("input", () => this.draw());
    this.runs = [...section.querySelectorAll("[data-run]")].map((item) => ({
      number: item.dataset.run,
      planned: Number(item.dataset.epochs) || 0,
      dash: item.dataset.dash.split(" ").filter(Boolean).map(Number),
      run: new Run(item.dataset.points),
    }));
    this.plots = Object.fromEntries(
      [...section.querySelectorAll("[data-losses]")].map((host) => [
        host.dataset.losses,
        new Plot(host, {
          height: 280,
          format: short,
          group: "runs",
          room: 16,
          hovered: (epoch) => this.say(epoch),
        }),
      ]),
    );
    for (const { run } of this.runs) run.follow(() => this.draw());
  }

  get reach() {
    return Math.max(...this.runs.map(({ run, planned }) => (run.isLive ? planned : 0)));
  }

  draw() {
    const share = Number(this.smoothing.value) / 100;
    for (const [kind, plot] of Object.entries(this.plots)) {
      const lines = this.runs.map(({ number, dash, planned, run }) => ({
        key: number,
        ink: `run-${number}`,
        dash,
        label: number,
        dots: kind === "validation",
        xs: run[kind].map((point) => point.epoch),
        ys: smoothed(run[kind], kind === "training" ? (planned || 1) * share : 0),
      }));
      plot.show(lines, this.reach);
    }
  }

  say(epoch) {
    if (epoch == null) {
      this.readout.textContent = this.hint;
      return;
    }
    const parts = this.runs.map(({ number, run }) => {
      const [training, validation] = [nearest(run.training, epoch), nearest(run.validation, epoch)];
      if (!training) return `${number}: –`;
      const said = [
        `${this.words.training} ${short(training.loss)}`,
        validation ? `${this.words.validation} ${short(validation.loss)}` : "",
        `${this.words.step} ${whole(training.step)}`,
      ];
      return `${number}: ${said.filter(Boolean).join(", ")}`;
    });
    const place = this.words.at.replace("__epoch__", hundredths(epoch));
    this.readout.textContent = [place, ...parts].join("\n");
  }
}

for (const section of document.querySelectorAll("[data-overlay]")) new Overlay(section);
