// 폴더로 가져오기: sends a model folder file by file, in pieces, so that no request is large and a
// broken connection costs one piece. Without this the plain form sends all at once.

const form = document.getElementById("bring");
const TRIES = 5;

function gigabytes(bytes) {
  return bytes < 1073741824
    ? `${(bytes / 1048576).toFixed(1)} MB`
    : `${(bytes / 1073741824).toFixed(1)} GB`;
}

function placeOf(file) {
  return (file.webkitRelativePath || file.name).split("/");
}

// Hidden files and folders (.git, .cache) are no part of a model: they stay at home.
function isHidden(file) {
  return placeOf(file).slice(1).some((part) => part.startsWith(".")) || file.name.startsWith(".");
}

class Bringing {
  constructor(form) {
    this.form = form;
    this.words = form.dataset;
    this.input = form.elements.files;
    this.name = form.elements.name;
    this.bar = form.querySelector("progress");
    this.status = form.querySelector(".drop-status");
    this.stopButton = form.querySelector("[data-stops]");
    this.endings = this.words.allowed.split(",");
    this.isBusy = false;
  }

  say(text) {
    this.status.textContent = text;
  }

  allows({ name }) {
    return this.endings.some((ending) => name === ending || (ending.startsWith(".") && name.endsWith(ending)));
  }

  chosen() {
    return [...this.input.files].filter((file) => !isHidden(file));
  }

  refused(files) {
    return files.filter((file) => placeOf(file).length > 2 || !this.allows(file));
  }

  nameAfterFolder() {
    const [first] = this.input.files;
    const folder = first && placeOf(first).length > 1 ? placeOf(first)[0] : "";
    if (folder && !this.name.value) this.name.value = folder.replace(/[^A-Za-z0-9._-]+/g, "-");
  }

  async send() {
    const files = this.chosen();
    const refused = this.refused(files);
    if (refused.length) {
      this.say(`${this.words.refused}: ${refused.slice(0, 5).map((file) => placeOf(file).join("/")).join(", ")}`);
      return;
    }
    if (!files.length) {
      this.say(this.words.empty);
      return;
    }
    this.begin(files);
    try {
      await this.bring(files);
    } catch (error) {
      this.end(error.name === "AbortError" ? this.words.stopped : error.message || this.words.failed);
      await this.abandon();
    }
  }

  begin(files) {
    this.isBusy = true;
    this.total = files.reduce((sum, file) => sum + file.size, 0);
    this.done = 0;
    this.places = null;
    this.stopping = new AbortController();
    this.bar.hidden = this.stopButton.hidden = false;
    this.show();
  }

  async bring(files) {
    const order = new URLSearchParams({ name: this.name.value, size: this.total });
    this.places = await this.post(this.form.action, order);
    for (const file of files) await this.bringFile(file);
    this.say(this.words.checking);
    const places = this.places;
    this.places = null; // the server has it from here on
    const { onward } = await this.post(places.finish, null);
    this.isBusy = false;
    window.location.assign(onward);
  }

  async bringFile(file) {
    for (let start = 0; start === 0 || start < file.size; ) {
      const piece = file.slice(start, start + this.places.piece_bytes);
      const where = new URLSearchParams({ name: file.name, start });
      await this.postAgain(`${this.places.piece}?${where}`, piece);
      start += piece.size;
      this.done += piece.size;
      this.show();
      if (!piece.size) return;
    }
  }

  // A piece may come again: what stood behind its place goes.
  async postAgain(address, body) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.post(address, body);
      } catch (error) {
        if (!(error instanceof TypeError) || attempt === TRIES) throw error;
        await new Promise((wake) => setTimeout(wake, 1000 * attempt));
      }
    }
  }

  async post(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      body,
      signal: this.stopping.signal,
      headers: {
        Accept: "application/json",
        "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value,
      },
    });
    if (answer.status === 401) window.location.reload();
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    const { message = this.words.failed, cure = "" } = told.error ?? {};
    throw new Error(`${message} ${cure}`.trim());
  }

  async abandon() {
    if (!this.places) return;
    this.stopping = new AbortController();
    await this.post(this.places.abandon, null).catch(() => {});
  }

  show() {
    this.bar.value = this.total ? (100 * this.done) / this.total : 0;
    this.say(`${this.words.sending} · ${gigabytes(this.done)} / ${gigabytes(this.total)}`);
  }

  end(text) {
    this.isBusy = false;
    this.bar.hidden = this.stopButton.hidden = true;
    this.say(text);
  }
}

if (form) {
  const bringing = new Bringing(form);
  bringing.input.webkitdirectory = true;
  form.classList.add("bringing");
  bringing.input.addEventListener("change", () => bringing.nameAfterFolder());
  bringing.stopButton.addEventListener("click", () => bringing.stopping.abort());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!bringing.isBusy) bringing.send();
  });
  window.addEventListener("beforeunload", (event) => {
    if (bringing.isBusy && bringing.places) event.preventDefault();
  });
}
