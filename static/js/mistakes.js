// Autosave answers the summary only: its mistakes are shown at their fields too.

const shape = document.getElementById("mistake-shape");
const form = shape?.closest("form");

function unmark() {
  for (const input of form.querySelectorAll("[aria-invalid=true]")) {
    input.removeAttribute("aria-invalid");
    document.getElementById(`${input.id}_error`)?.remove();
  }
}

function mark(id, text) {
  const input = document.getElementById(id);
  if (!input || !form.contains(input)) return;
  let place = document.getElementById(`${id}_error`);
  if (!place) {
    place = document.createElement("div");
    place.id = `${id}_error`;
    input.closest(".field").append(place);
  }
  const mistake = shape.content.cloneNode(true);
  mistake.querySelector("span").textContent = text;
  place.append(mistake);
  input.setAttribute("aria-invalid", "true");
  const described = (input.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean);
  if (!described.includes(place.id)) {
    input.setAttribute("aria-describedby", [...described, place.id].join(" "));
  }
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (!form || event.detail.target?.id !== "summary") return;
  unmark();
  for (const said of document.querySelectorAll("#summary [data-mistake-of]")) {
    mark(said.dataset.mistakeOf, said.textContent);
  }
});
