// Messages in the dock at the foot of the window, and the two live regions. The
// dock floats, so that news never moves a button that the user is about to click.

import { byId, el, icon } from './dom.js';
import { sentence } from './format.js';

const spoken = 8000; // ms that news stays in the live regions
const most = 3; // messages at a time; older ones give way
const fleeting = { info: 12_000, warn: 30_000 }; // ms; errors stay until dismissed

// say speaks to screen readers. Each piece of news is an element of its own, so that
// two at once are both heard, and the same twice is heard twice.
export function say(words, urgent = false) {
  const line = el('p', {}, words);
  byId(urgent ? 'assertive' : 'polite').append(line);
  setTimeout(() => line.remove(), spoken);
}

// keepFocus moves the focus out of a box that is about to go.
export function keepFocus(box) {
  if (box.contains(document.activeElement)) byId('main').focus({ preventScroll: true });
}

export function notice(words, { tone = 'info', hint = '' } = {}) {
  const list = byId('messages');
  const close = () => {
    keepFocus(box);
    box.remove();
  };
  const box = el('div', { class: 'card message', 'data-testid': 'message', 'data-tone': tone },
    icon(tone === 'error' ? 'cross' : tone === 'warn' ? 'warn' : 'info'),
    el('div', { class: 'grow' },
      el('p', {}, sentence(words)),
      hint && el('p', { class: 'muted' }, sentence(hint))),
    el('button', { type: 'button', class: 'quiet', click: close }, icon('close'), el('span', { class: 'hidden' }, 'Dismiss message')));
  // The latest refusal or good news replaces the one before; errors stay.
  if (tone !== 'error') list.querySelectorAll('[data-tone="info"], [data-tone="warn"]').forEach((old) => old.remove());
  list.append(box);
  while (list.children.length > most) list.firstElementChild.remove();
  say([words, hint].filter(Boolean).map(sentence).join(' '), tone === 'error');
  if (fleeting[tone]) {
    const leave = () => {
      if (box.matches(':hover, :focus-within')) setTimeout(leave, fleeting[tone]);
      else close();
    };
    setTimeout(leave, fleeting[tone]);
  }
}

// later is what is loaded of the page when it is needed; null, with a message, where that fails.
export function later(part) {
  return part.catch(() => {
    notice('A part of this page could not be loaded', { tone: 'error', hint: 'Reload the page' });
    return null;
  });
}

export function clearNotices() {
  byId('messages').replaceChildren();
}

// watchDock keeps the height of the dock as a custom property: the page reserves
// it at its end, and scrolls focused elements clear of it.
export function watchDock() {
  const dock = byId('dock');
  new ResizeObserver(() => {
    const high = `${Math.ceil(dock.getBoundingClientRect().height)}px`;
    for (const one of [document.documentElement, byId('main'), byId('connection')]) one.style.setProperty('--dock', high);
  }).observe(dock);
}
