// The menu of a "…" button: one for the page, filled when it is opened. The browser closes it on
// Esc and on a click elsewhere, and gives the focus back.

import { attr, busy, byId, el, icon } from './dom.js';

const gap = 4; // px between the button and its menu

let opener = null;
let pressed = false; // whether the pointer went down on the button of the open menu: that closes it

const items = () => [...byId('menu').children];

// place puts the menu under its button, or above where there is more room.
function place() {
  const menu = byId('menu');
  const button = opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = button.bottom + gap;
  const fits = below + height <= innerHeight - gap;
  menu.style.setProperty('top', `${fits ? below : Math.max(gap, button.top - gap - height)}px`);
  menu.style.setProperty('left', `${Math.max(gap, button.right - width)}px`);
}

// openMenu opens the menu of a button, with the last item chosen where fromEnd says so.
export function openMenu(button, label, choices, fromEnd = false) {
  const menu = byId('menu');
  if (pressed && opener === button) {
    pressed = false;
    return;
  }
  opener = button;
  attr(menu, 'aria-label', label);
  menu.replaceChildren(...choices.map((choice) => {
    const item = el('button', { type: 'button', role: 'menuitem', tabindex: '-1', 'data-action': choice.name, 'data-tone': choice.tone, title: choice.hint },
      icon(choice.sign), choice.words);
    item.addEventListener('click', () => {
      menu.hidePopover();
      button.focus({ preventScroll: true });
      busy(button, () => choice.run(button));
    });
    return item;
  }));
  menu.showPopover();
  place();
  items().at(fromEnd ? -1 : 0)?.focus({ preventScroll: true });
}

function keydown(event) {
  const all = items();
  const at = all.indexOf(document.activeElement);
  const target = { ArrowDown: (at + 1) % all.length, ArrowUp: (at + all.length - 1) % all.length, Home: 0, End: all.length - 1 }[event.key];
  if (target !== undefined) {
    event.preventDefault();
    all[target].focus();
  } else if (event.key === 'Tab') {
    byId('menu').hidePopover();
  } else if (event.key.length === 1 && /\S/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const begins = (item) => item.textContent.toLowerCase().startsWith(event.key.toLowerCase());
    (all.slice(at + 1).find(begins) ?? all.find(begins))?.focus();
  }
}

export function startMenu() {
  const menu = byId('menu');
  menu.addEventListener('keydown', keydown);
  menu.addEventListener('toggle', (event) => {
    attr(opener, 'aria-expanded', event.newState === 'open' ? 'true' : 'false');
  });
  window.addEventListener('pointerdown', (event) => {
    pressed = menu.matches(':popover-open') && opener.contains(event.target);
  }, { capture: true });
  window.addEventListener('scroll', () => {
    if (menu.matches(':popover-open')) menu.hidePopover();
  }, { passive: true });
}
