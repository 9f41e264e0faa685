// One colour per name, which stays with it for as long as the page is open.

const COUNT = 7;
const given = new Map();

/** The class that colours what is called `name` among its `kind`: `c0` to `c6`. */
export function colour(kind, name) {
  const names = given.get(kind) ?? new Map();
  given.set(kind, names);
  if (!names.has(name)) names.set(name, names.size % COUNT);
  return `c${names.get(name)}`;
}

/** How many names can be told apart. */
export const MOST_COLOURS = COUNT;
