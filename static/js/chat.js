// The chat page: questions go out over a websocket, text comes in as it is generated.
// What a model says is Markdown, in which HTML counts as text (markdown.js); all else is set with
// textContent. Every word shown comes from the page (#chat-words).

import { render } from "./markdown.js";
import { figures, filled, Line, sendsOnEnter } from "./talking.js";

const NEAR_BOTTOM = 48;

const find = (id) => document.getElementById(id);
const chat = find("chat");
const words = find("chat-words").dataset;
const scroller = find("chat-scroll");
const turns = find("turns");
const question = find("question");
const settings = find("chat-settings");
const wide = window.matchMedia("(min-width: 62.01rem)");

let isOver = false;
let answer = null;

// --- words and places ----------------------------------------------------------------------

function say(text) {
  const status = find("chat-status");
  if (status.textContent !== text) status.textContent = text;
}

function isAtBottom() {
  return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_BOTTOM;
}

function keepingPlace(change) {
  const follow = isAtBottom();
  change();
  if (follow) scroller.scrollTop = scroller.scrollHeight;
}

function addTurn(kind) {
  const copy = find(`turn-${kind}`).content.querySelector("li").cloneNode(true);
  find("chat-empty").hidden = true;
  turns.append(copy);
  return copy;
}

function toBottom() {
  scroller.scrollTop = scroller.scrollHeight;
}

// --- turns ---------------------------------------------------------------------------------

function textOf(turn) {
  return turn.querySelector(".turn-source").textContent;
}

function show(turn, text) {
  turn.querySelector(".turn-source").textContent = text;
  const place = turn.querySelector(".turn-text");
  if (turn.classList.contains("assistant")) place.replaceChildren(render(text));
  else place.textContent = text;
}

// A turn is known by its message's id from the moment that the server has kept it.
function settle(turn, { id, place, count, before }) {
  turn.dataset.id = id;
  for (const link of turn.querySelectorAll("a[data-mend]")) link.href = `${chat.dataset.base}mend/?message=${id}`;
  if (count > 1) {
    turn.querySelector(".turn-branches").hidden = false;
    turn.querySelector(".turn-place").textContent = `${place}/${count}`;
    const back = turn.querySelector("[data-before]");
    back.dataset.before = before ?? "";
    back.disabled = before === null;
  }
}

function cutAfter(turn) {
  while (turn.nextElementSibling) turn.nextElementSibling.remove();
}

// --- one answer ----------------------------------------------------------------------------

class Answer {
  // `asked` is the turn of a question that gets another answer; without it the text is a new one.
  constructor(text, { after = null, asked = null } = {}) {
    this.question = text;
    this.after = after;
    this.again = asked ? Number(asked.dataset.id) : null;
    this.asked = asked ?? addTurn("user");
    if (asked) cutAfter(asked);
    else show(this.asked, text);
    this.turn = addTurn("assistant");
    this.turn.classList.add("running", "waiting");
    this.turn.setAttribute("aria-busy", "true");
    this.said = "";
    this.drawn = 0;
    this.failed = false;
    this.isStopping = false;
    toBottom();
  }

  add(text) {
    this.said += text;
    this.drawn ||= window.requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.drawn = 0;
    keepingPlace(() => {
      this.turn.classList.remove("waiting");
      show(this.turn, this.said);
    });
  }

  end(message, ending) {
    window.cancelAnimationFrame(this.drawn);
    if (this.said) this.draw();
    keepingPlace(() => {
      this.turn.classList.remove("running", "waiting");
      this.turn.removeAttribute("aria-busy");
      if (!this.said) return this.turn.remove();
      if (message) settle(this.turn, message);
      this.turn.querySelector(".turn-meta").textContent = figures(words, message?.usage);
      this.turn.querySelector(".turn-end").textContent = ending ?? "";
    });
  }

  fail(what, cure) {
    this.failed = true;
    keepingPlace(() => {
      const notice = addTurn("error");
      notice.querySelector(".what").textContent = what;
      notice.querySelector(".cure").textContent = cure;
      notice.querySelector("button").addEventListener("click", () => {
        if (answer) return;
        notice.remove();
        ask(this.question, { asked: this.asked.dataset.id ? this.asked : null });
      });
    });
  }

  takeBack() {
    if (this.again === null) this.asked.remove();
    this.turn.remove();
    find("chat-empty").hidden = turns.children.length > 0;
    if (this.again === null && !question.value) question.value = this.question;
  }
}

function setAnswer(value) {
  answer = value;
  find("send").hidden = Boolean(value);
  find("stop").hidden = !value;
}

function endAnswer(message, ending) {
  answer.end(message, ending);
  setAnswer(null);
}

// --- frames --------------------------------------------------------------------------------

const frames = {
  queued: ({ place }) => say(filled(words.queued, { place })),
  loading: ({ progress }) => {
    if (progress === null) {
      say(words.loading);
      refreshState();
    } else say(filled(words.loadingShare, { share: Math.round(progress * 100) }));
  },
  start: () => {
    say(words.answering);
    refreshState();
  },
  trimmed: ({ count }) => say(filled(words.trimmed, { count })),
  asked: (message) => {
    if (answer && answer.again === null) settle(answer.asked, message);
  },
  delta: ({ text }) => answer?.add(text),
  done: ({ message }) => {
    if (!answer) return;
    const isStopped = answer.isStopping || message?.usage?.finish_reason === "stopped";
    const told = isStopped ? words.stopped : message ? words.done : words.nothing;
    const said = answer.failed ? "" : told;
    endAnswer(message, words[ending(message?.usage?.finish_reason)]);
    say(said);
    refreshState();
  },
  error: ({ what, cure, refused }) => {
    if (!refused && answer) return answer.fail(what, cure);
    say(`${what} ${cure}`);
    if (answer && refused) {
      answer.takeBack();
      setAnswer(null);
    }
  },
};

function ending(reason) {
  return reason ? `end${reason[0].toUpperCase()}${reason.slice(1)}` : "";
}

function refreshState() {
  window.htmx?.trigger("#model-state", "refresh");
}

// --- the socket ----------------------------------------------------------------------------

const line = new Line(() => chat.dataset.conversation, {
  heard: (frame) => frames[frame.type]?.(frame),
  opened: () => {
    if (find("chat-status").textContent === words.connecting) say("");
  },
  lost: () => {
    if (answer) endAnswer(null, words.cut);
    say(words.connecting);
  },
  isSignedOut: () => location.assign(`${chat.dataset.login}?next=${location.pathname}`),
  isGone: () => {
    isOver = true;
    say(words.gone);
  },
});

// --- asking --------------------------------------------------------------------------------

async function begin(text) {
  const body = new FormData(settings);
  const response = await fetch(chat.dataset.new, {
    method: "POST",
    body,
    headers: { Accept: "application/json" },
  });
  const begun = await response.json();
  if (!response.ok) throw new Error(begun.error);
  chat.dataset.conversation = begun.id;
  chat.dataset.base = begun.url;
  history.replaceState(null, "", begun.url);
  for (const form of document.querySelectorAll("form[data-action]")) {
    form.action = `${begun.url}${form.dataset.action}`;
  }
  for (const link of document.querySelectorAll("a[data-action]")) {
    link.href = `${begun.url}${link.dataset.action}`;
  }
  find("chat-tools").hidden = false;
  nameConversation(begun.url, text);
}

function nameConversation(url, text) {
  const title = text.trim().replace(/\s+/g, " ").slice(0, 40);
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = url;
  link.textContent = title;
  link.setAttribute("aria-current", "page");
  item.append(link);
  find("conversation-list").prepend(item);
  find("chat-title").textContent = title;
  find("title").value = title;
}

function ask(text, where = {}) {
  if (isOver || answer || !text.trim()) return false;
  if (!settings.checkValidity()) {
    settings.closest("details").open = true;
    settings.reportValidity();
    say(words.invalid);
    return false;
  }
  setAnswer(new Answer(text, where));
  say(words.asking);
  deliver(answer).catch((problem) => giveUp(problem.message || words.unsent));
  return true;
}

async function deliver(mine) {
  const values = Object.fromEntries(new FormData(settings));
  if (!chat.dataset.conversation) await begin(mine.question);
  if (!(await line.isOpen())) throw new Error(words.unsent);
  if (answer !== mine) return;
  line.send(
    JSON.stringify({
      type: mine.again === null ? "send" : "again",
      ...(mine.again === null ? { text: mine.question, after: mine.after } : { again: mine.again }),
      model: values.model,
      system_prompt: values.system_prompt,
      parameters: {
        temperature: Number(values.temperature),
        top_p: Number(values.top_p),
        max_tokens: Number(values.max_tokens),
        repetition_penalty: Number(values.repetition_penalty),
        stops: values.stops,
        seed: values.seed,
      },
    }),
  );
}

function giveUp(text) {
  answer?.takeBack();
  setAnswer(null);
  say(text);
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (ask(question.value)) question.value = "";
});

sendsOnEnter(question);

find("stop").addEventListener("click", () => {
  if (answer) answer.isStopping = true;
  line.send(JSON.stringify({ type: "stop" }));
  question.focus();
});

// --- what can be done with a turn ------------------------------------------------------------

async function post(action, values) {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", settings.elements.csrfmiddlewaretoken.value);
  for (const [key, value] of Object.entries(values)) body.set(key, value);
  const response = await fetch(`${chat.dataset.base}${action}`, { method: "POST", body });
  if (!response.ok) throw new Error();
}

function previous(turn) {
  let before = turn.previousElementSibling;
  while (before && !before.dataset.id) before = before.previousElementSibling;
  return before;
}

const deeds = {
  copy: async (turn, button) => {
    await navigator.clipboard.writeText(textOf(turn));
    say(words.copied);
    button.focus();
  },
  again: (turn) => {
    const asked = previous(turn);
    if (asked) ask(textOf(asked), { asked });
  },
  edit: (turn) => {
    if (turn.querySelector("form")) return;
    const form = find("turn-editor").content.querySelector("form").cloneNode(true);
    const area = form.querySelector("textarea");
    const place = turn.querySelector(".turn-text");
    const close = () => {
      form.remove();
      place.hidden = false;
    };
    area.value = textOf(turn);
    place.hidden = true;
    place.after(form);
    form.querySelector("[data-cancels]").addEventListener("click", close);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (answer || !area.value.trim()) return;
      const before = previous(turn);
      const after = before ? Number(before.dataset.id) : 0;
      close();
      cutAfter(turn);
      turn.remove();
      ask(area.value, { after });
    });
    area.focus();
  },
  rate: async (turn, button) => {
    const isPressed = button.getAttribute("aria-pressed") === "true";
    await post("rate/", { message: turn.dataset.id, rating: isPressed ? 0 : button.value });
    for (const other of turn.querySelectorAll("[data-deed=rate]")) {
      other.setAttribute("aria-pressed", String(other === button && !isPressed));
    }
    say(isPressed ? "" : words.rated);
  },
  go: async (turn, button) => {
    await post("go/", { message: button.dataset.before || button.dataset.behind });
    location.reload();
  },
};

turns.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-deed]");
  const turn = button?.closest(".turn");
  if (!turn?.dataset.id || answer) return;
  Promise.resolve(deeds[button.dataset.deed](turn, button)).catch(() => say(words.failed));
});

for (const turn of turns.querySelectorAll(".turn.assistant")) show(turn, textOf(turn));

settings.addEventListener("submit", (event) => event.preventDefault());

function fitSides() {
  for (const side of document.querySelectorAll("details.side")) side.open = wide.matches;
}

wide.addEventListener("change", fitSides);
fitSides();
toBottom();
question.readOnly = false; // until here Enter would have been a line break
if (chat.dataset.conversation) line.connect();
