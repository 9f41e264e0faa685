// Colours for names. A name keeps its colour for as long as the page is open, unless another one
// beside it has the same.

const COUNT = 7;
const kept = new Map();

/**
 * The classes that colour `names`, the most important first, among their `kind`. Where there are
 * more names than colours, those that are not in the answer share `OTHER`.
 */
export function colours(kind, names) {
  const own = kept.get(kind) ?? new Map();
  kept.set(kind, own);
  const shown = names.length > COUNT ? names.slice(0, COUNT - 1) : names;
  const given = new Map(shown.map((name) => [name, null]));
  const free = new Set(Array.from({ length: COUNT }, (_, index) => `c${index}`));
  for (const name of shown) {
    if (free.delete(own.get(name))) given.set(name, own.get(name));
  }
  for (const name of shown) {
    if (given.get(name)) continue;
    const [first] = free;
    free.delete(first);
    own.set(name, first);
    given.set(name, first);
  }
  return given;
}

/** The class of everything that has no colour of its own. */
export const OTHER = 'other';
