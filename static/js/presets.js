// Choosing a preset fills in its values; keeping the values of a form under a name closes the dialog.

const find = (id) => document.getElementById(id);

document.addEventListener("change", ({ target }) => {
  if (target.id !== "preset") return;
  const { values, kept } = target.selectedOptions[0].dataset;
  const fields = target.form.elements;
  for (const [key, value] of Object.entries(JSON.parse(values ?? "{}"))) fields[key].value = value;
  const remove = find("preset-delete");
  if (remove) remove.hidden = kept === undefined;
});

find("preset-form")?.addEventListener("submit", () => find("preset-dialog").close());
