// What is to be taken elsewhere is copied with one press; a fresh key is not made again when the
// page is loaded anew.

async function copy(source) {
  if (source.select) source.select();
  else getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
  } catch {
    document.execCommand("copy"); // without https the clipboard takes only what is selected
  }
}

for (const button of document.querySelectorAll("[data-copies]")) {
  history.replaceState(null, "", location.href);
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(document.getElementById(button.dataset.copies));
    button.querySelector("span").textContent = button.dataset.copied;
    document.getElementById("announcer").textContent = button.dataset.copied;
  });
}
