// What pages that talk to models have in common: words with places, Enter that sends, and a socket
// that comes back. Knows no page.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const SIGNED_OUT = 4401;
const NOT_FOUND = 4404;

export function filled(text, values) {
  return Object.entries(values).reduce((said, [key, value]) => said.replace(`__${key}__`, value), text);
}

export function figures(words, usage) {
  if (!usage?.completion_tokens) return "";
  const seconds = usage.seconds || 1;
  return filled(words.meta, {
    tokens: usage.completion_tokens,
    speed: (usage.completion_tokens / seconds).toFixed(1),
    seconds: seconds.toFixed(1),
  });
}

// Enter sends, but never while a syllable is being composed.
export function sendsOnEnter(area) {
  area.addEventListener("keydown", (event) => {
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || isComposing) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
}

// `path()` names the socket anew for each connection; `heard` gets its frames. `opened`, `lost`,
// `isGone` and `isSignedOut` are told what became of it.
export class Line {
  constructor(path, { heard, opened, lost, isGone, isSignedOut }) {
    Object.assign(this, { path, heard, opened, lost, isGone, isSignedOut });
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.socket = null;
  }

  connect() {
    window.clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/playground/${this.path()}/`);
    this.socket.addEventListener("open", () => {
      this.wait = FIRST_WAIT;
      this.opened();
    });
    this.socket.addEventListener("message", (event) => this.heard(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.dropped(event));
  }

  dropped(event) {
    if (event.target !== this.socket) return;
    this.lost();
    if (event.code === SIGNED_OUT) return this.isSignedOut();
    if (event.code === NOT_FOUND) return this.isGone();
    this.timer = window.setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  isOpen() {
    if (!this.socket || this.socket.readyState > WebSocket.OPEN) this.connect();
    if (this.socket.readyState === WebSocket.OPEN) return Promise.resolve(true);
    const mine = this.socket;
    return new Promise((resolve) => {
      mine.addEventListener("open", () => resolve(true), { once: true });
      mine.addEventListener("close", () => resolve(false), { once: true });
    });
  }

  send(text) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
  }
}
