// What every page does beyond its links and forms: theme, menus, dialogs, announcements.

const YEAR_SECONDS = 365 * 24 * 3600;

function showTheme(form, theme) {
  const root = document.documentElement;
  if (theme) {
    root.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
  } else {
    delete root.dataset.theme;
    document.cookie = "theme=; path=/; max-age=0; samesite=lax";
  }
  for (const button of form.querySelectorAll("button[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
  document.dispatchEvent(new CustomEvent("dadeum:theme"));
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-theme-switch]") && event.submitter) {
    event.preventDefault();
    showTheme(event.target, event.submitter.value);
    event.target.closest("details").open = false;
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const opener = event.target.closest("[data-opens]");
  const dialog = opener && document.getElementById(opener.dataset.opens);
  if (dialog?.showModal) {
    event.preventDefault();
    dialog.showModal();
  }
  if (event.target.closest("[data-prints]")) window.print();
  const closer = event.target.closest("[data-closes]");
  if (closer) {
    event.preventDefault();
    closer.closest("dialog").close();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A polled fragment may carry data-announce: read it aloud only when it changes.
document.addEventListener("htmx:afterSettle", () => {
  const news = document.querySelector("[data-announce]")?.dataset.announce;
  const announcer = document.getElementById("announcer");
  if (news && announcer && announcer.textContent !== news) announcer.textContent = news;
});

// A request that got no answer worth showing says so at the top, in words from the page.
function trouble() {
  const notices = document.getElementById("notices");
  if (!notices || notices.querySelector("[data-trouble]")) return;
  const notice = document.createElement("p");
  notice.className = "notice bad";
  notice.dataset.trouble = "";
  notice.setAttribute("role", "alert");
  notice.textContent = document.body.dataset.trouble;
  notices.append(notice);
}

function wellAgain() {
  document.querySelector("#notices [data-trouble]")?.remove();
}

document.addEventListener("htmx:responseError", trouble);
document.addEventListener("htmx:sendError", trouble);
document.addEventListener("htmx:afterOnLoad", wellAgain);

// What is being mended is no mistake any more.
document.addEventListener("input", ({ target }) => {
  if (target.getAttribute("aria-invalid") !== "true") return;
  target.removeAttribute("aria-invalid");
  document.getElementById(`${target.id}_error`)?.remove();
});
