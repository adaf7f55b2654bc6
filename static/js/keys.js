// What is to be taken elsewhere is copied with one press; a fresh key is not made again when the
// page is loaded anew.

import { copy } from "./copy.js";

for (const button of document.querySelectorAll("[data-copies]")) {
  history.replaceState(null, "", location.href);
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(document.getElementById(button.dataset.copies));
    button.querySelector("span").textContent = button.dataset.copied;
    document.getElementById("announcer").textContent = button.dataset.copied;
  });
}
