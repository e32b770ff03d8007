/** What survives a reload: settings and documents (localStorage), the debate (sessionStorage) and its sound (IndexedDB). */

const SETTINGS = "arena-settings";
const DEBATE = "arena-debate";
const DOCUMENTS = "arena-documents";
const SOUND = "arena-sound";

/** @param {Storage} storage @param {string} key */
function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Storage} storage @param {string} key @param {unknown} value */
function write(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // A full or forbidden storage costs the restoration, not the debate.
  }
}

export const loadSettings = () => read(localStorage, SETTINGS);
/** @param {import("./prompts.js").Settings} settings */
export const saveSettings = (settings) => write(localStorage, SETTINGS, settings);

/** @returns {import("./documents.js").DocumentStore | null} */
export const loadDocuments = () => read(localStorage, DOCUMENTS);
/** @param {import("./documents.js").DocumentStore} documents */
export const saveDocuments = (documents) => write(localStorage, DOCUMENTS, documents);

export const loadDebate = () => read(sessionStorage, DEBATE);
/** @param {object} debate */
export const saveDebate = (debate) => write(sessionStorage, DEBATE, debate);
export const forgetDebate = () => sessionStorage.removeItem(DEBATE);

/** @returns {Promise<IDBObjectStore>} @param {IDBTransactionMode} mode */
function sounds(mode) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(SOUND, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("turns");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => resolve(opening.result.transaction("turns", mode).objectStore("turns"));
  });
}

/**
 * @param {string} key
 * @param {Int16Array} samples
 */
export async function saveSound(key, samples) {
  const store = await sounds("readwrite").catch(() => null);
  store?.put(samples.slice(), key);
}

/** @param {string} key @returns {Promise<Int16Array | null>} */
export async function loadSound(key) {
  const store = await sounds("readonly").catch(() => null);
  if (!store) return null;
  return new Promise((resolve) => {
    const asked = store.get(key);
    asked.onsuccess = () => resolve(asked.result ?? null);
    asked.onerror = () => resolve(null);
  });
}

/** Remove the sound of these turns: a debate that is over in this tab. @param {string[]} keys */
export async function forgetSounds(keys) {
  const store = await sounds("readwrite").catch(() => null);
  for (const key of keys) store?.delete(key);
}
