// Takes what an element shows, or a field holds, to the clipboard.

export async function copy(source) {
  if (source.select) source.select();
  else getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
  } catch {
    document.execCommand("copy"); // without https the clipboard takes only what is selected
  }
}
