// Building the page. Text only ever becomes text: names, labels and error texts come from people
// and providers, and none of them is trusted.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'selected', 'indeterminate']);
const SAFE_HREF = /^(#|\/(?![\/\\])|https?:\/\/|blob:)/;

/** An HTML element. `tag` may carry classes: `div.panel.wide`. */
export function h(tag, attrs, ...children) {
  return make(null, tag, attrs, children);
}

/** An SVG element. */
export function s(tag, attrs, ...children) {
  return make(SVG, tag, attrs, children);
}

/** Stands for a node that looks after its own inside, such as a chart, in what is rendered. */
export function slot(node) {
  const stand = document.createComment('slot');
  stand.slotted = node;
  return stand;
}

/** Makes the inside of `parent` equal to `children`, keeping nodes, focus and scroll positions. */
export function render(parent, ...children) {
  const next = document.createDocumentFragment();
  append(next, children);
  morphChildren(parent, next);
}

function make(namespace, tag, attrs, children) {
  const [name, ...classes] = tag.split('.');
  const node = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  if (classes.length > 0) node.setAttribute('class', classes.join(' '));
  for (const [key, value] of Object.entries(attrs ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    set(node, key, value);
  }
  append(node, children);
  return node;
}

function set(node, key, value) {
  if (key === 'key') {
    node.key = String(value);
  } else if (key === 'on') {
    node.handlers = value;
    for (const type of Object.keys(value)) node.addEventListener(type, dispatch);
  } else if (key === 'style') {
    for (const [name, to] of Object.entries(value)) node.style.setProperty(name, to);
  } else if (key === 'data') {
    for (const [name, to] of Object.entries(value)) node.dataset[name] = to;
  } else if (key === 'class') {
    const own = node.getAttribute('class');
    node.setAttribute('class', own ? `${own} ${value}` : value);
  } else if (PROPERTIES.has(key)) {
    node[key] = value;
    (node.properties ??= {})[key] = value;
  } else if (/^on/i.test(key)) {
    throw new Error(`${key} is no attribute for a value`);
  } else if (/^(xlink:)?href$|^(src|action|formaction)$/i.test(key) && !SAFE_HREF.test(value)) {
    throw new Error(`${key} leads to an unknown place`);
  } else {
    node.setAttribute(key, value === true ? '' : String(value));
  }
}

// Handlers hang on the node and are looked up when they are needed, so that a node that is kept
// gets the newest ones.
function dispatch(event) {
  event.currentTarget.handlers?.[event.type]?.(event);
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === '') continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

function morphChildren(parent, next) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.key !== undefined) keyed.set(child.key, child);
  let at = parent.firstChild;
  for (const want of [...next.childNodes]) {
    const own = want.slotted;
    if (own) {
      own.isSlotted = true;
      if (own === at) at = at.nextSibling;
      else parent.insertBefore(own, at);
      continue;
    }
    const free = at && at.key === undefined && !at.isSlotted ? at : null;
    const have = want.key === undefined ? free : keyed.get(want.key);
    if (have && have.nodeName === want.nodeName) {
      if (have === at) at = at.nextSibling;
      else parent.insertBefore(have, at);
      morph(have, want);
    } else {
      parent.insertBefore(realise(want), at);
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

/** Puts slotted nodes into a tree that is used as it is. */
function realise(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return node;
  for (const child of [...node.childNodes]) {
    if (child.slotted) {
      child.slotted.isSlotted = true;
      child.replaceWith(child.slotted);
    } else {
      realise(child);
    }
  }
  return node;
}

function morph(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  for (const { name } of [...have.attributes]) {
    // What a person has opened stays open.
    if (name !== 'style' && name !== 'open' && !want.hasAttribute(name)) have.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (name !== 'style' && have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  // The attribute is closed to scripts by the policy, the object behind it is not.
  if (have.style && have.style.cssText !== want.style.cssText)
    have.style.cssText = want.style.cssText;
  for (const type of Object.keys(want.handlers ?? {})) {
    if (!have.handlers?.[type]) have.addEventListener(type, dispatch);
  }
  have.handlers = want.handlers;
  for (const [name, value] of Object.entries(want.properties ?? {})) {
    const isTyping = name === 'value' && have === document.activeElement;
    if (!isTyping && have[name] !== value) have[name] = value;
  }
  have.properties = want.properties;
  morphChildren(have, want);
}
