/** Captions: a transcript whose words light up when they are said. */

/**
 * The stretches of a transcript: those that words say, and what lies between them.
 *
 * @param {string} text
 * @param {import("./stream.js").SpokenWord[]} words
 * @returns {{text: string, start: number, end: number, said: boolean}[]} Times in seconds.
 */
export function stretches(text, words) {
  const letters = Array.from(text);
  const found = [];
  let at = 0;
  for (const word of words) {
    const last = found[found.length - 1];
    if (word.start_char < at) {
      // Several words can say one stretch, such as "$5".
      if (last) last.end = word.end_time;
      continue;
    }
    if (word.start_char > at) found.push({ text: letters.slice(at, word.start_char).join(""), start: 0, end: 0, said: false });
    found.push({
      text: letters.slice(word.start_char, word.end_char).join(""),
      start: word.start_time,
      end: word.end_time,
      said: true,
    });
    at = word.end_char;
  }
  if (at < letters.length) found.push({ text: letters.slice(at).join(""), start: 0, end: 0, said: false });
  return found;
}

/** One turn's text in an element. */
export class Captions {
  #spans = /** @type {{element: HTMLElement, start: number, end: number}[]} */ ([]);
  #drawn = "";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * @param {string} text
   * @param {import("./stream.js").SpokenWord[]} words
   */
  show(text, words) {
    const mark = `${text.length} ${words.length}`;
    if (mark === this.#drawn) return;
    this.#drawn = mark;
    this.#spans = [];
    const nodes = stretches(text, words).map((stretch) => {
      if (!stretch.said) return document.createTextNode(stretch.text);
      const element = document.createElement("span");
      element.className = "word";
      element.textContent = stretch.text;
      this.#spans.push({ element, start: stretch.start, end: stretch.end });
      return element;
    });
    this.element.replaceChildren(...nodes);
  }

  /** @param {number} seconds What was played. */
  light(seconds) {
    for (const { element, start, end } of this.#spans) {
      const state = seconds >= end ? "word said" : seconds >= start ? "word now" : "word";
      if (element.className === state) continue;
      element.className = state;
      if (state === "word now") this.#follow(element);
    }
  }

  /** Keep the word in view where the captions are taller than their box. @param {HTMLElement} element */
  #follow(element) {
    const box = /** @type {HTMLElement} */ (this.element.parentElement);
    if (box.scrollHeight <= box.clientHeight) return;
    box.scrollTop = element.offsetTop - box.clientHeight / 2;
  }
}
