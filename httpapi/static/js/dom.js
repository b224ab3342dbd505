// The few things every other module does to the document. Text from the server
// goes in as text nodes only: nothing here, or anywhere else, parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

// build makes an element. Of attrs, functions become listeners, true an empty
// attribute, and null, undefined and false are left out.
function build(node, attrs, children) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function el(name, attrs, ...children) {
  return build(document.createElement(name), attrs, children);
}

export function svg(name, attrs, ...children) {
  return build(document.createElementNS(SVG, name), attrs, children);
}

// icon is decoration: the words next to it, or the button's label, say the same.
export function icon(name) {
  return svg('svg', { class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, svg('use', { href: `#i-${name}` }));
}

export function useIcon(node, name) {
  attr(node.querySelector('use'), 'href', `#i-${name}`);
}

// The setters write only what differs, so that a refresh neither moves the focus
// nor makes a screen reader repeat itself.
export function text(node, value) {
  const want = value ?? '';
  if (node.textContent !== want) node.textContent = want;
}

export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const want = value === true ? '' : String(value);
  if (node.getAttribute(name) !== want) node.setAttribute(name, want);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export function byId(id) {
  return document.getElementById(id);
}

// busy runs one action of a button and ignores further clicks until it ended. The
// button stays enabled: disabling it would throw the focus to the page's start.
export async function busy(button, action) {
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  try {
    await action();
  } finally {
    button.removeAttribute('aria-busy');
  }
}

// makeTurns returns what begins a turn. A turn says whether no later one was begun: the answer to
// what was asked last is shown, however late another one comes.
export function makeTurns() {
  let last = 0;
  return () => {
    const mine = (last += 1);
    return () => mine === last;
  };
}

// arrange brings the children of parent into the given order, touching only those
// that stand elsewhere, and removes all others.
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}
