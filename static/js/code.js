// The window with the conversation as code: written by the server each time it opens or something
// is chosen in it, from what the panel is set to at that moment.

import { copy } from "./copy.js";

const find = (id) => document.getElementById(id);
const choice = find("code-choice");

function write() {
  find("code-said").textContent = "";
  const values = Object.fromEntries(new FormData(find("chat-settings")));
  const address = `${find("chat").dataset.base}code/`;
  window.htmx.ajax("POST", address, { source: choice, target: "#code", values });
}

document.querySelector("[data-opens=code-dialog]").addEventListener("click", write);
choice.addEventListener("change", write);
choice.addEventListener("submit", (event) => event.preventDefault());

find("code-copy").addEventListener("click", async ({ currentTarget }) => {
  const text = find("code-text");
  if (!text) return;
  await copy(text);
  find("code-said").textContent = currentTarget.dataset.copied;
});
