// The drop zone: brings the file piece by piece with a progress bar. A broken connection is waited for;
// the same file chosen again, even tomorrow, goes on where it stopped. Without this the plain form sends
// it in one go.

import { Sender } from "./pieces.js";

const form = document.querySelector("[data-upload]");

class Upload extends Sender {
  constructor(zone) {
    super(zone, { goesOnLater: true });
    this.input = zone.querySelector("input[type=file]");
    this.button = zone.querySelector(".pick");
  }

  send(file) {
    if (this.isSending) return;
    this.button.setAttribute("aria-disabled", "true");
    this.say(`${this.words.sending}: ${file.name}`);
    this.run(() => this.bring(file));
  }

  end(text) {
    super.end(text);
    this.button.removeAttribute("aria-disabled");
    this.input.value = "";
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
    const { onward } = await this.postAgain(this.form.action, new URLSearchParams({ arrival: id }));
    this.leave(onward);
  }

  async bringPiece(piece, start, file) {
    const onProgress = (loaded) => this.show(start + Math.min(loaded, piece.size), file.size);
    const address = `${this.places.piece}?start=${start}`;
    const { here } = await this.postAgain(address, piece, onProgress);
    this.show(here, file.size);
    return here;
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
