// Markdown in, elements out: HTML in it is text, links leave by a new tab, pictures are not fetched.

import MarkdownIt from "../vendor/markdown-it/markdown-it.js";

const markdown = new MarkdownIt("default", { html: false, linkify: false, breaks: true }).disable("image");

markdown.renderer.rules.link_open = (tokens, index, options, _, self) => {
  tokens[index].attrSet("target", "_blank");
  tokens[index].attrSet("rel", "noreferrer noopener");
  return self.renderToken(tokens, index, options);
};

export function render(text) {
  const template = document.createElement("template");
  template.innerHTML = markdown.render(text);
  for (const table of template.content.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.tabIndex = 0;
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const aligned of template.content.querySelectorAll("[style]")) aligned.removeAttribute("style");
  return template.content;
}
