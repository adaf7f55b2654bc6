// A comparison's page: a round that waits is begun over a websocket, and each model's text comes into
// its own column as it is generated. Rounds themselves are drawn by the server; once all have ended,
// the round is fetched anew. Every word shown comes from the page (#compare-words).

import { render } from "./markdown.js";
import { figures, filled, Line, sendsOnEnter } from "./talking.js";

const find = (id) => document.getElementById(id);
const composer = find("composer");
const words = find("compare-words").dataset;
const question = find("question");
const rounds = find("rounds");

let running = null; // the round that is being answered
let isStopping = false;

function say(text) {
  const status = find("compare-status");
  if (status.textContent !== text) status.textContent = text;
}

// --- columns -------------------------------------------------------------------------------

function show(element, text) {
  element.querySelector(".turn-source").textContent = text;
  element.querySelector(".turn-text").replaceChildren(render(text));
}

class Column {
  constructor(element) {
    this.element = element;
    this.said = "";
    this.drawn = 0;
    element.classList.add("running", "waiting");
    element.setAttribute("aria-busy", "true");
  }

  tell(text) {
    const state = this.element.querySelector(".answer-state");
    state.textContent = text;
    state.hidden = !text;
  }

  add(text) {
    if (!this.said) this.tell("");
    this.said += text;
    this.drawn ||= window.requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.drawn = 0;
    this.element.classList.remove("waiting");
    show(this.element, this.said);
  }

  end(usage, error) {
    window.cancelAnimationFrame(this.drawn);
    if (this.said) this.draw();
    this.tell("");
    this.element.classList.remove("running", "waiting");
    this.element.removeAttribute("aria-busy");
    this.element.querySelector(".turn-meta").textContent = figures(words, usage);
    if (!error) return;
    const notice = this.element.querySelector(".answer-error");
    notice.querySelector(".what").textContent = error.what;
    notice.querySelector(".cure").textContent = error.cure;
    notice.hidden = false;
  }
}

class Running {
  constructor(element) {
    this.element = element;
    this.number = Number(element.dataset.round);
    this.columns = [...element.querySelectorAll("[data-column]")].map((one) => new Column(one));
  }

  // What the server keeps of a round is drawn by the server.
  refresh() {
    return window.htmx.ajax("GET", this.element.dataset.url, { target: this.element, swap: "outerHTML" });
  }
}

function setRunning(value) {
  running = value;
  isStopping = false;
  find("send").hidden = Boolean(value);
  find("stop").hidden = !value;
  composer.classList.toggle("busy", Boolean(value));
}

// --- frames --------------------------------------------------------------------------------

function loading(progress) {
  return progress === null ? words.loading : filled(words.loadingShare, { share: Math.round(progress * 100) });
}

const column = (frame) => running?.columns[frame.column];

const frames = {
  begun: () => say(words.answering),
  queued: (frame) => column(frame)?.tell(filled(words.queued, { place: frame.place })),
  loading: (frame) => column(frame)?.tell(loading(frame.progress)),
  waiting: (frame) => column(frame)?.tell(words.waiting),
  trimmed: (frame) => column(frame)?.tell(filled(words.trimmed, { count: frame.count })),
  delta: (frame) => column(frame)?.add(frame.text),
  end: (frame) => column(frame)?.end(frame.usage, frame.error),
  done: () => {
    if (!running) return;
    const ended = running;
    say(isStopping ? words.stopped : words.done);
    setRunning(null);
    ended.refresh();
  },
  error: ({ what, cure }) => refused(`${what} ${cure}`),
};

// A round that could not begin waits for its button to be pressed.
function refused(text) {
  say(text);
  if (!running) return;
  for (const one of running.columns) one.end();
  running.element.querySelector("button.begin").hidden = false;
  setRunning(null);
}

// --- the socket ----------------------------------------------------------------------------

let cut = null; // a round whose answers were cut off with the connection

const line = new Line(() => `compare/${composer.dataset.comparison}`, {
  heard: (frame) => frames[frame.type]?.(frame),
  opened: () => {
    if (find("compare-status").textContent === words.connecting) say("");
    cut?.refresh();
    cut = null;
  },
  lost: () => {
    if (running) {
      cut = running;
      for (const one of running.columns) one.end();
      setRunning(null);
    }
    say(words.connecting);
  },
  isSignedOut: () => location.assign(`${composer.dataset.login}?next=${location.pathname}`),
  isGone: () => say(words.gone),
});

async function begin(element) {
  if (running) return;
  element.removeAttribute("data-waits");
  element.querySelector("button.begin").hidden = true;
  const mine = new Running(element);
  setRunning(mine);
  element.scrollIntoView({ block: "start" });
  if (!(await line.isOpen())) return refused(words.unsent);
  if (running === mine) line.send(JSON.stringify({ type: "begin", round: mine.number }));
}

// --- what the page does --------------------------------------------------------------------

function take(root) {
  for (const one of root.querySelectorAll(".answer")) {
    const text = one.querySelector(".turn-source").textContent;
    if (text) show(one, text);
  }
  const waiting = root.matches("[data-waits]") ? root : root.querySelector("[data-waits]");
  if (waiting) begin(waiting);
}

rounds.addEventListener("click", (event) => {
  if (event.target.closest("button.begin")) begin(event.target.closest(".round"));
});

let voting = ""; // the round whose vote is on its way

rounds.addEventListener("submit", (event) => {
  voting = event.target.closest(".round").id;
});

rounds.addEventListener("htmx:load", ({ detail }) => {
  take(detail.elt);
  const voted = detail.elt.id === voting && detail.elt.querySelector(".voted");
  if (!voted) return;
  voting = "";
  say(words.voted);
  voted.focus({ preventScroll: true });
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target === composer && running) event.preventDefault();
});

document.addEventListener("htmx:afterRequest", ({ target, detail }) => {
  if (target === composer && detail.xhr.status === 200) {
    find("compare-problem").replaceChildren();
    if (detail.requestConfig.triggeringEvent?.submitter?.name !== "again") question.value = "";
  }
});

find("stop").addEventListener("click", () => {
  isStopping = true;
  line.send(JSON.stringify({ type: "stop" }));
  question.focus();
});

sendsOnEnter(question);
line.connect();
take(rounds);
