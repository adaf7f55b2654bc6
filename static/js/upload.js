// The drop zone: brings the file piece by piece with a progress bar. A broken connection is waited for;
// the same file chosen again, even tomorrow, goes on where it stopped. Without this the plain form sends
// it in one go.

const form = document.querySelector("[data-upload]");
const WAITS = [1, 2, 4, 8, 15, 30, 30, 30, 30]; // seconds, before the same piece is sent again
const UNITS = 1048576;

class Refused extends Error {}
class Broken extends Error {}
class SignedOut extends Error {}

function megabytes(bytes) {
  return `${(bytes / UNITS).toFixed(1)} MB`;
}

// POST, with progress; resolves to the answer's JSON.
function post(address, body, { token, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", token);
    if (onProgress) request.upload.addEventListener("progress", ({ loaded }) => onProgress(loaded));
    signal.addEventListener("abort", () => request.abort());
    request.addEventListener("abort", () => reject(signal.reason));
    request.addEventListener("error", () => reject(new Broken()));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response ?? {});
      else if (request.status === 401) reject(new SignedOut());
      else if (request.status >= 502 && request.status <= 504) reject(new Broken());
      else reject(new Refused(sentence(request.response)));
    });
    request.send(body);
  });
}

function sentence(answer) {
  const { message = "", cure = "" } = answer?.error ?? {};
  return `${message} ${cure}`.trim();
}

class Upload {
  constructor(zone) {
    this.zone = zone;
    this.words = zone.dataset;
    this.token = zone.elements.csrfmiddlewaretoken.value;
    this.input = zone.querySelector("input[type=file]");
    this.bar = zone.querySelector("progress");
    this.status = zone.querySelector(".drop-status");
    this.button = zone.querySelector(".pick");
    this.stopButton = zone.querySelector("[data-stops]");
    this.stopping = null;
  }

  get isSending() {
    return this.stopping !== null;
  }

  say(text) {
    this.status.textContent = text;
  }

  async send(file) {
    if (this.isSending) return;
    this.begin(file);
    try {
      await this.bring(file);
    } catch (error) {
      if (error instanceof DOMException) await this.abandon();
      this.end(this.reason(error));
      if (error instanceof SignedOut) window.location.reload();
    }
  }

  begin(file) {
    this.stopping = new AbortController();
    this.places = null;
    this.button.setAttribute("aria-disabled", "true");
    this.bar.value = 0;
    this.bar.hidden = this.stopButton.hidden = false;
    this.say(`${this.words.sending}: ${file.name}`);
  }

  reason(error) {
    if (error instanceof DOMException) return this.words.stopped;
    return error.message || this.words.failed;
  }

  end(text) {
    this.stopping = null;
    this.bar.hidden = this.stopButton.hidden = true;
    this.button.removeAttribute("aria-disabled");
    this.input.value = "";
    this.say(text);
  }

  async bring(file) {
    const facts = { name: file.name, size: file.size, changed: file.lastModified };
    this.places = await this.post(this.words.upload, new URLSearchParams(facts));
    for (let here = this.places.here; here < file.size; ) {
      const piece = file.slice(here, here + this.places.piece_bytes);
      here = await this.bringPiece(piece, here, file);
    }
    this.say(this.words.taken);
    this.stopButton.hidden = true;
    const { id } = this.places;
    const { onward } = await this.postAgain(this.zone.action, new URLSearchParams({ arrival: id }));
    this.stopping = null;
    window.location.assign(onward);
  }

  async bringPiece(piece, start, file) {
    const onProgress = (loaded) => this.show(start + Math.min(loaded, piece.size), file.size);
    const address = `${this.places.piece}?start=${start}`;
    const { here } = await this.postAgain(address, piece, onProgress);
    this.show(here, file.size);
    return here;
  }

  // A piece may come twice.
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

  post(address, body, onProgress) {
    const { token } = this;
    return post(address, body, { token, signal: this.stopping.signal, onProgress });
  }

  async abandon() {
    if (!this.places) return;
    this.stopping = new AbortController();
    await this.post(this.places.abandon, null).catch(() => {});
  }

  show(done, total) {
    this.bar.value = (100 * done) / total;
    this.say(`${this.words.sending} · ${megabytes(done)} / ${megabytes(total)}`);
  }
}

if (form) {
  const upload = new Upload(form);
  form.classList.add("enhanced");
  form.addEventListener("submit", (event) => {
    const [file] = upload.input.files;
    if (!file) return;
    event.preventDefault();
    upload.send(file);
  });
  const sendChosen = () => {
    const [file] = upload.input.files;
    if (file) upload.send(file);
  };
  upload.input.addEventListener("change", sendChosen);
  sendChosen(); // a file picked before this script ran
  upload.stopButton.addEventListener("click", () => upload.stopping?.abort());
  window.addEventListener("beforeunload", (event) => {
    if (upload.isSending) event.preventDefault();
  });
  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      event.preventDefault();
      form.classList.add("over");
    });
  }
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) form.classList.remove("over");
  });
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) upload.send(file);
  });
}
