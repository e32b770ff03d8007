/** What was said, with the times of each answer. */

import { duration } from "../arena/ribbon.js";

/** @typedef {import("./conversation.js").Turn} Turn */

const LEGS = /** @type {const} */ ([
  ["transcript", "transcript"],
  ["text", "first text"],
  ["audio", "first audio"],
  ["sound", "first sound"],
]);

export class Transcript {
  #items = /** @type {Map<Turn, HTMLElement>} */ (new Map());

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  /** @param {Turn[]} turns @param {string} name Of the avatar. */
  show(turns, name) {
    for (const [turn, item] of this.#items) {
      if (turns.includes(turn)) continue;
      item.remove();
      this.#items.delete(turn);
    }
    turns.forEach((turn, place) => {
      let item = this.#items.get(turn);
      if (!item) this.#items.set(turn, (item = drawn(turn, name)));
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
      const said = /** @type {Element} */ (item.querySelector(".said"));
      const text = turn.heard.trim() || "(nothing was understood)";
      if (said.firstChild?.textContent !== text) said.firstChild?.replaceWith(text);
    });
  }
}

/** @param {Turn} turn @param {string} name */
function drawn(turn, name) {
  const item = document.createElement("li");
  item.dataset.side = turn.who === "person" ? "0" : "1";
  const said = element("p", "said", " ");
  if (turn.interrupted) said.append(element("span", "cut", " … interrupted"));
  item.append(element("h3", "", turn.who === "person" ? "You" : name), said);
  if (turn.measures) item.append(facts(turn.measures));
  return item;
}

/** The times from the end of the person's words. @param {import("./conversation.js").Measures} measures */
function facts(measures) {
  const list = element("dl", "facts ribbon");
  for (const [leg, title] of LEGS) {
    const at = measures[leg];
    if (at === undefined || at < measures.asked) continue;
    const fact = element("div", "fact");
    fact.append(element("dt", "", title), element("dd", "", duration(at - measures.asked)));
    list.append(fact);
  }
  return list;
}

/** @param {string} tag @param {string} className @param {string} [text] */
function element(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, ...(text === undefined ? {} : { textContent: text }) });
}
