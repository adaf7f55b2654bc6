// The drop zone: sends the file with a progress bar. Without this the plain form does the same.

const form = document.querySelector("[data-upload]");

function megabytes(bytes) {
  return `${(bytes / 1048576).toFixed(1)} MB`;
}

class Upload {
  constructor(zone) {
    this.zone = zone;
    this.input = zone.querySelector("input[type=file]");
    this.bar = zone.querySelector("progress");
    this.status = zone.querySelector(".drop-status");
    this.isSending = false;
    this.button = zone.querySelector(".pick");
  }

  say(text) {
    this.status.textContent = text;
  }

  end(text) {
    this.bar.hidden = true;
    this.isSending = false;
    this.button.removeAttribute("aria-disabled");
    this.say(text);
  }

  send(file) {
    if (this.isSending) return;
    const body = new FormData(this.zone);
    body.set("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", this.zone.action);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => this.show(event));
    request.addEventListener("load", () => this.settle(request));
    request.addEventListener("error", () => this.end(this.zone.dataset.failed));
    this.isSending = true;
    this.button.setAttribute("aria-disabled", "true");
    this.bar.value = 0;
    this.bar.hidden = false;
    this.say(`${this.zone.dataset.sending}: ${file.name}`);
    request.send(body);
  }

  show({ loaded, total }) {
    this.bar.value = total ? (100 * loaded) / total : 0;
    this.say(`${this.zone.dataset.sending} · ${megabytes(loaded)} / ${megabytes(total)}`);
  }

  settle(request) {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // Not ours to read: the fixed sentence says enough.
    }
    if (request.status === 401) {
      window.location.reload();
    } else if (answer.onward) {
      this.say(this.zone.dataset.taken);
      window.location.assign(answer.onward);
    } else {
      const { message, cure = "" } = answer.error ?? { message: this.zone.dataset.failed };
      this.end(`${message} ${cure}`.trim());
    }
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
