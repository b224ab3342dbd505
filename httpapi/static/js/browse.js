// Choosing a backup in the list: which one is open, and the ways of a mouse and of keys.

import { attr, byId } from './dom.js';
import { lineOf } from './list.js';
import { openMenu, startMenu } from './menu.js';
import { choices, makePanel } from './panel.js';
import { store } from './store.js';

const panel = makePanel();
let open = ''; // the id of the backup whose panel is shown
let showRun = () => {};

function mark(id, expanded) {
  const { node, button } = lineOf(id) ?? {};
  if (!node) return;
  node.classList.toggle('open', expanded);
  attr(button, 'aria-expanded', String(expanded));
  attr(button, 'aria-controls', expanded ? 'panel' : null);
}

// toggle opens the panel of a backup, and closes the one that was open. The line that was
// chosen stays where it is, as far as the panel has room.
function toggle(id) {
  const { node, button } = lineOf(id);
  const before = button.getBoundingClientRect().top;
  const closing = id === open;
  mark(open, false);
  panel.node.remove();
  open = closing ? '' : id;
  if (closing) return;
  mark(id, true);
  panel.update(store.backups.get(id));
  node.append(panel.node);
  scrollBy({ top: button.getBoundingClientRect().top - before, behavior: 'instant' });
  node.scrollIntoView({ block: 'nearest', behavior: 'instant' });
}

// renderOpen brings the panel up to date, or closes it where its backup is not listed any more.
export function renderOpen(ids) {
  const b = store.backups.get(open);
  if (b && ids.includes(open)) panel.update(b);
  else if (open) forgetOpen();
}

export function forgetOpen() {
  mark(open, false);
  panel.node.remove();
  open = '';
}

function menu(id, fromEnd) {
  const { dots } = lineOf(id);
  openMenu(dots, dots.getAttribute('aria-label'), choices(store.backups.get(id)), fromEnd);
}

function click({ target }) {
  const { id, run } = target.closest('li')?.dataset ?? {};
  if (target.closest('.dots')) menu(id, false);
  else if (target.closest('.line')) run ? showRun(Number(run)) : toggle(id);
}

// along moves from line to line, as in any list; left and right close and open.
function along(event, line, id) {
  const all = [...byId('backup-rows').querySelectorAll('.line')];
  const at = all.indexOf(line);
  const target = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all.at(-1) };
  if (event.key in target) {
    event.preventDefault();
    target[event.key]?.focus();
  } else if (id && event.key === (id === open ? 'ArrowLeft' : 'ArrowRight')) {
    event.preventDefault();
    toggle(id);
  }
}

function keydown(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const id = event.target.closest('li')?.dataset.id;
  const line = event.target.closest('.line');
  if (event.target.closest('.dots') && ['ArrowDown', 'ArrowUp'].includes(event.key)) {
    event.preventDefault();
    menu(id, event.key === 'ArrowUp');
  } else if (event.key === 'Escape' && id && id === open) {
    toggle(id);
    lineOf(id).button.focus();
  } else if (line) {
    along(event, line, id);
  }
}

// startBrowsing takes what is done with the number of a run of recovery points.
export function startBrowsing(onRun) {
  showRun = onRun;
  startMenu();
  const list = byId('backup-rows');
  list.addEventListener('click', click);
  list.addEventListener('keydown', keydown);
}
