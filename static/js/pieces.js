// What both forms for large files share: pieces leave one by one with a progress bar, and a broken
// connection is waited for. A form brings its words as data attributes.

const WAITS = [1, 2, 4, 8, 15, 30, 30, 30, 30]; // seconds, before the same piece is sent again
const MEGABYTE = 1048576;
const GIGABYTE = 1073741824;

class Broken extends Error {}
class SignedOut extends Error {}

function sized(bytes) {
  return bytes < GIGABYTE ? `${(bytes / MEGABYTE).toFixed(1)} MB` : `${(bytes / GIGABYTE).toFixed(1)} GB`;
}

function sentence(answer) {
  const { message = "", cure = "" } = answer?.error ?? {};
  return `${message} ${cure}`.trim();
}

export class Sender {
  constructor(form, { goesOnLater }) {
    this.form = form;
    this.goesOnLater = goesOnLater; // whether what broke off is kept, so that it can go on another time
    this.words = form.dataset;
    this.bar = form.querySelector("progress");
    this.status = form.querySelector(".drop-status");
    this.stopButton = form.querySelector("[data-stops]");
    this.stopping = null;
    this.places = null; // what the server told when it began; null where nothing would be lost
    this.stopButton.addEventListener("click", () => this.stopping?.abort());
    window.addEventListener("beforeunload", (event) => {
      if (this.isSending && this.places) event.preventDefault();
    });
  }

  get isSending() {
    return this.stopping !== null;
  }

  say(text) {
    this.status.textContent = text;
  }

  show(done, total) {
    this.bar.value = total ? (100 * done) / total : 0;
    this.say(`${this.words.sending} · ${sized(done)} / ${sized(total)}`);
  }

  async run(bring) {
    this.stopping = new AbortController();
    this.places = null;
    this.bar.value = 0;
    this.bar.hidden = this.stopButton.hidden = false;
    try {
      await bring();
    } catch (error) {
      const isStopped = error instanceof DOMException;
      if (isStopped || !this.goesOnLater) await this.abandon();
      this.end(isStopped ? this.words.stopped : error.message || this.words.failed);
      if (error instanceof SignedOut) window.location.reload();
    }
  }

  end(text) {
    this.stopping = null;
    this.bar.hidden = this.stopButton.hidden = true;
    this.say(text);
  }

  leave(onward) {
    this.stopping = null;
    window.location.assign(onward);
  }

  // Resolves to the answer's JSON.
  post(address, body, onProgress) {
    const { signal } = this.stopping;
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", address);
      request.responseType = "json";
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-CSRFToken", this.form.elements.csrfmiddlewaretoken.value);
      if (onProgress) request.upload.addEventListener("progress", ({ loaded }) => onProgress(loaded));
      const stop = () => request.abort();
      signal.addEventListener("abort", stop);
      request.addEventListener("loadend", () => signal.removeEventListener("abort", stop));
      request.addEventListener("abort", () => reject(signal.reason));
      request.addEventListener("error", () => reject(new Broken()));
      request.addEventListener("load", () => {
        if (request.status < 300) resolve(request.response ?? {});
        else if (request.status === 401) reject(new SignedOut());
        else if (request.status >= 502 && request.status <= 504) reject(new Broken());
        else reject(new Error(sentence(request.response)));
      });
      request.send(body);
    });
  }

  // The same may come twice: the server writes a piece at its place, and takes a file once.
  async postAgain(address, body, onProgress) {
    for (const seconds of WAITS) {
      try {
        return await this.post(address, body, onProgress);
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        this.say(this.words.waiting);
        await this.wait(seconds);
      }
    }
    return this.post(address, body, onProgress);
  }

  wait(seconds) {
    const { signal } = this.stopping;
    return new Promise((wake, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      window.addEventListener("online", wake, { once: true });
      setTimeout(wake, 1000 * seconds);
    });
  }

  async abandon() {
    if (!this.places) return;
    this.stopping = new AbortController();
    await this.post(this.places.abandon, null).catch(() => {});
  }
}
