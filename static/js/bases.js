// 폴더로 가져오기: sends a model folder file by file, in pieces, so that no request is large and a
// broken connection costs one piece. Without this the plain form sends all at once.

import { Sender } from "./pieces.js";

const form = document.getElementById("bring");

function placeOf(file) {
  return (file.webkitRelativePath || file.name).split("/");
}

// Hidden files and folders (.git, .cache) are no part of a model: they stay at home.
function isHidden(file) {
  return placeOf(file).slice(1).some((part) => part.startsWith(".")) || file.name.startsWith(".");
}

class Bringing extends Sender {
  constructor(form) {
    super(form, { goesOnLater: false });
    this.input = form.elements.files;
    this.name = form.elements.name;
    this.endings = this.words.allowed.split(",");
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

  send() {
    const files = this.chosen();
    const refused = this.refused(files);
    if (refused.length) {
      this.say(`${this.words.refused}: ${refused.slice(0, 5).map((file) => placeOf(file).join("/")).join(", ")}`);
    } else if (!files.length) {
      this.say(this.words.empty);
    } else {
      this.run(() => this.bring(files));
    }
  }

  async bring(files) {
    this.total = files.reduce((sum, file) => sum + file.size, 0);
    this.done = 0;
    this.show(this.done, this.total);
    const order = new URLSearchParams({ name: this.name.value, size: this.total });
    this.places = await this.post(this.form.action, order);
    for (const file of files) await this.bringFile(file);
    this.say(this.words.checking);
    const { finish } = this.places;
    this.places = null; // the server has it from here on
    const { onward } = await this.post(finish, null);
    this.leave(onward);
  }

  async bringFile(file) {
    for (let start = 0; start === 0 || start < file.size; ) {
      const piece = file.slice(start, start + this.places.piece_bytes);
      const where = new URLSearchParams({ name: file.name, start });
      await this.postAgain(`${this.places.piece}?${where}`, piece);
      start += piece.size;
      this.done += piece.size;
      this.show(this.done, this.total);
      if (!piece.size) return;
    }
  }
}

if (form) {
  const bringing = new Bringing(form);
  bringing.input.webkitdirectory = true;
  form.classList.add("bringing");
  bringing.input.addEventListener("change", () => bringing.nameAfterFolder());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!bringing.isSending) bringing.send();
  });
}
