/** Documents of a debate: files in a vector store of the server, whose passages the speakers read. */

import { loadDocuments, saveDocuments } from "./store.js";
import { RequestFailed, json } from "./stream.js";

/**
 * @typedef {Object} DocumentStore
 * @property {string} id Of the vector store; empty where there is none.
 * @property {{id: string, name: string}[]} files
 *
 * @typedef {Object} Passage What a speaker read of a file. Offsets are those of characters in the file's text.
 * @property {string} file_id
 * @property {string} filename
 * @property {number} score
 * @property {number} start
 * @property {number} end
 * @property {string} text
 */

const PASSAGES = 3; // small models lose the thread among more
const POLL_MS = 500;
const LOST = "The server no longer has the documents: it was restarted, or they were deleted. The debate goes on without them.";

/** The part of a request that lets the server search the documents. @param {DocumentStore | null | undefined} documents */
export const contextOf = (documents) => (documents?.id ? { context: { vector_store_ids: [documents.id], max_results: PASSAGES } } : null);

/** Whether a request failed because its documents cannot be searched. @param {unknown} error */
export const isLost = (error) => error instanceof RequestFailed && (error.param ?? "").startsWith("context");

/** The part of the form that adds and removes documents. It keeps them over a reload. */
export class Documents {
  /** @type {DocumentStore} */
  #store = { id: "", files: [] };
  #problems = /** @type {string[]} */ ([]);
  #busy = "";

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    const part = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
    this.list = /** @type {HTMLElement} */ (part("ul"));
    this.input = /** @type {HTMLInputElement} */ (part("input"));
    this.clear = /** @type {HTMLButtonElement} */ (part("button.clear"));
    this.status = /** @type {HTMLElement} */ (part("[role=status]"));
    this.input.addEventListener("change", () => this.#add([...(this.input.files ?? [])]));
    this.clear.addEventListener("click", () => this.#do("Removing the documents …", () => this.#removeAll()));
  }

  /** The documents of a debate that starts now; undefined: there are none. */
  get current() {
    return this.#store.id && this.#store.files.length ? structuredClone(this.#store) : undefined;
  }

  /**
   * Show what was kept, as far as the server still has it. Without an embedding model there are no documents.
   *
   * @param {{capabilities: string[], status: string}[]} models The server's.
   */
  async load(models) {
    const able = models.some((model) => model.capabilities.includes("embeddings") && model.status !== "unavailable");
    this.root.hidden = !able;
    const kept = able ? loadDocuments() : null;
    if (kept?.id) this.#store = kept;
    this.#draw();
    if (!this.#store.id) return;
    try {
      await json(`v1/vector_stores/${this.#store.id}`);
    } catch (error) {
      if (error instanceof RequestFailed && error.status === 404) this.lost(this.#store.id);
    }
  }

  /** Forget the documents of this store: the server no longer has them. @param {string} id */
  lost(id) {
    if (id === this.#store.id) this.#keep({ id: "", files: [] });
    this.#problems = [LOST];
    this.#draw();
  }

  /** @param {File[]} files */
  async #add(files) {
    if (!files.length) return;
    await this.#do("Reading the documents …", async () => {
      for (const file of files) await this.#upload(file);
      await this.#indexed();
    });
    this.input.value = "";
  }

  /** @param {File} file */
  async #upload(file) {
    const form = new FormData();
    form.set("purpose", "assistants");
    form.set("file", file);
    const { id } = await json("v1/files", { body: form });
    if (this.#store.id) await json(`v1/vector_stores/${this.#store.id}/files`, { body: { file_id: id } });
    else this.#store.id = (await json("v1/vector_stores", { body: { name: "arena", file_ids: [id] } })).id;
    this.#keep({ id: this.#store.id, files: [...this.#store.files, { id, name: file.name }] });
  }

  /** Wait until the server has read all files, and drop those that it cannot read. */
  async #indexed() {
    const path = `v1/vector_stores/${this.#store.id}`;
    while ((await json(path)).status === "in_progress") await new Promise((done) => setTimeout(done, POLL_MS));
    const { data } = await json(`${path}/files?filter=failed&limit=100`);
    for (const { id, last_error: error } of data) {
      const name = this.#store.files.find((file) => file.id === id)?.name;
      if (name) this.#problems.push(`${name} cannot be read: ${error?.message ?? "unknown error"}`);
      await this.#remove(id);
    }
  }

  /** @param {string} id */
  async #remove(id) {
    await removed(`v1/files/${id}`);
    this.#keep({ ...this.#store, files: this.#store.files.filter((file) => file.id !== id) });
    if (!this.#store.files.length) await this.#removeAll();
  }

  async #removeAll() {
    const { id, files } = this.#store;
    this.#keep({ id: "", files: [] });
    if (id) await removed(`v1/vector_stores/${id}`);
    for (const file of files) await removed(`v1/files/${file.id}`);
  }

  /** @param {string} what @param {() => Promise<void>} work */
  async #do(what, work) {
    if (this.#busy) return;
    this.#busy = what;
    this.#problems = [];
    this.#draw();
    try {
      await work();
    } catch (error) {
      this.#problems.push(/** @type {Error} */ (error).message);
    }
    this.#busy = "";
    this.#draw();
  }

  /** @param {DocumentStore} store */
  #keep(store) {
    this.#store = store;
    saveDocuments(store);
  }

  #draw() {
    this.input.disabled = !!this.#busy;
    this.clear.hidden = !this.#store.files.length;
    this.clear.disabled = !!this.#busy;
    this.status.textContent = this.#busy || this.#problems.join(" ");
    this.list.replaceChildren(...this.#store.files.map((file) => this.#row(file)));
  }

  /** @param {{id: string, name: string}} file */
  #row({ id, name }) {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove ${name}`);
    button.disabled = !!this.#busy;
    button.addEventListener("click", () => this.#do(`Removing ${name} …`, () => this.#remove(id)));
    row.append(Object.assign(document.createElement("span"), { textContent: name }), button);
    return row;
  }
}

/** Delete what may be gone already. @param {string} path */
async function removed(path) {
  await json(path, { method: "DELETE" }).catch((error) => {
    if (!(error instanceof RequestFailed) || error.status !== 404) throw error;
  });
}
