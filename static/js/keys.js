// The fresh key: copied with one press, and not made again when the page is loaded anew.

const button = document.querySelector("[data-copies]");

async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // without https the clipboard takes only what is selected
  }
}

if (button) {
  history.replaceState(null, "", location.href);
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(document.getElementById(button.dataset.copies));
    button.querySelector("span").textContent = button.dataset.copied;
    document.getElementById("announcer").textContent = button.dataset.copied;
  });
}
