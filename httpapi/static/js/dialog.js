// Native dialogs, made when asked for and removed when closed. The browser keeps
// the focus inside and gives it back; Esc cancels.

import { byId, el } from './dom.js';
import { say } from './notices.js';

const open = new Set();
let serial = 0;

// openDialog shows a dialog and resolves to what close() was called with, or null
// when it was cancelled. content(close) returns {body, buttons}: the Cancel button
// is put first and has the focus unless the body has an element with autofocus.
export function openDialog({ id, title, tone, opener, cancel = 'Cancel', content }) {
  serial += 1;
  const titleId = `dialog-title-${serial}`;
  const bodyId = `dialog-body-${serial}`;
  let result = null;
  const dialog = el('dialog', { 'data-testid': id, 'data-tone': tone, 'aria-labelledby': titleId, 'aria-describedby': bodyId });
  const close = (value) => {
    result = value;
    dialog.close();
  };
  const { body, buttons } = content(close, dialog);
  const stop = el('button', { type: 'button', 'data-testid': 'dialog-cancel', click: () => close(null) }, cancel);
  dialog.append(el('form', { method: 'dialog', class: 'dialog', novalidate: true, submit: (event) => event.preventDefault() },
    el('h2', { id: titleId }, title),
    el('div', { id: bodyId, class: 'dialog-body' }, body),
    el('div', { class: 'dialog-buttons' }, stop, buttons)));
  document.body.append(dialog);
  open.add(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      open.delete(dialog);
      const inside = dialog.contains(document.activeElement) || document.activeElement === document.body;
      dialog.remove();
      if (inside) home(opener).focus();
      resolve(result);
    });
    dialog.showModal();
    (dialog.querySelector('[data-first]') ?? stop).focus();
  });
}

// home is where the focus goes back to: the opener, or what was drawn in its place. An opener that
// is gone, such as the row of a deleted backup, leaves the focus nowhere: the heading of the list is the nearest place.
function home(opener) {
  const there = opener?.isConnected ? opener : document.querySelector(`[data-testid="${CSS.escape(opener?.dataset.testid ?? '')}"]`);
  return there?.checkVisibility() ? there : byId('backups-title');
}

// closeAll is for an event that ends every dialog, such as the session's end.
export function closeAll(reason) {
  if (open.size && reason) say(reason, true);
  const any = open.size > 0;
  for (const dialog of [...open]) dialog.close();
  return any;
}
