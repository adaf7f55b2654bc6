// The answers' stepper: one moment at a time, and what the reader chose stays when new answers come.

let chosen = null; // id of the moment that is looked at; null is the newest, whichever that is
const opened = new Set();

function apply() {
  const panel = document.getElementById("probes");
  const slider = panel?.querySelector("[data-moment-slider]");
  for (const details of panel?.querySelectorAll("details[id]") ?? []) {
    if (opened.has(details.id)) details.open = true;
  }
  if (!slider) return;
  const moments = slider.dataset.moments.split(" ");
  const found = moments.indexOf(chosen);
  go(panel, slider, found < 0 ? moments.length - 1 : found);
}

function go(panel, slider, place) {
  const moments = slider.dataset.moments.split(" ");
  const last = moments.length - 1;
  const at = Math.min(Math.max(place, 0), last);
  chosen = at === last ? null : moments[at];
  slider.value = at;
  let label = "";
  for (const item of panel.querySelectorAll("[data-moment]")) {
    const isShown = item.dataset.moment === moments[at];
    item.classList.toggle("shown", isShown);
    if (isShown) label = item.querySelector(".moment-name").textContent;
  }
  slider.setAttribute("aria-valuetext", label);
  panel.querySelector("[data-moment-name]").textContent = label;
  panel.querySelector("[data-step='-1']").disabled = at === 0;
  panel.querySelector("[data-step='1']").disabled = at === last;
}

document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-moment-slider]")) go(target.closest("#probes"), target, Number(target.value));
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("#probes [data-step]");
  if (!button) return;
  const panel = button.closest("#probes");
  const slider = panel.querySelector("[data-moment-slider]");
  go(panel, slider, Number(slider.value) + Number(button.dataset.step));
});

document.addEventListener(
  "toggle",
  ({ target }) => {
    if (!target.closest("#probes") || !target.id) return;
    if (target.open) opened.add(target.id);
    else opened.delete(target.id);
  },
  true,
);

document.addEventListener("htmx:afterSettle", apply);
apply();
