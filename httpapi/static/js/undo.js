// The banner after a restore, which offers the way back until it is dismissed.

import { busy, byId, show, text } from './dom.js';
import { brief, moment, now } from './format.js';
import { undo } from './restore.js';
import { may, store, subscribe } from './store.js';
import { isPoint } from './words.js';

const key = 'snapd-undo-dismissed';

// An undo a week later would throw a week's work away for one click. The safety backup
// stands in the table all the same.
const lately = 7 * 24 * 3600_000; // ms

let dismissed = ''; // also here, for browsers that let nothing be stored

function identity(last) {
  return `${last.id}@${last.at}`;
}

function isDismissed(last) {
  if (dismissed === identity(last)) return true;
  try {
    return localStorage.getItem(key) === identity(last);
  } catch {
    return false;
  }
}

function dismiss(last) {
  dismissed = identity(last);
  try {
    localStorage.setItem(key, dismissed);
  } catch { /* it will be offered again after a reload, which does no harm */ }
  render();
  byId('main').focus({ preventScroll: true });
}

function words(last, backup, what) {
  if (last.action === 'recover') return `The database was damaged and was recovered ${brief(last.at)} from ${what}.`;
  if (last.action === 'restore-rows') return backup?.trigger === 'pre-restore' ? `Rows that had come back were taken away again ${brief(last.at)}.` : `Rows of ${what} were brought back ${brief(last.at)}.`;
  if (backup?.trigger === 'pre-restore') return `A restore was undone ${brief(last.at)}: the database is back as it was on ${moment(backup.created_at)}.`;
  return `Restored ${brief(last.at)} from ${what}.`;
}

function render() {
  const last = store.status?.last_restore;
  const offered = Boolean(last?.undo) && may('restore') && !isDismissed(last) && now() - Date.parse(last.at) < lately;
  const banner = byId('undo-banner');
  // News while the user looks comes in the dock, where it moves nothing and is seen
  // from any place on the page. After a reload the banner has its place at the top.
  if (offered && banner.hidden && document.body.dataset.view === 'page') byId('dock').prepend(banner);
  show(banner, offered);
  if (!offered) return;
  const backup = store.backups.get(last.id);
  const what = backup ? `the backup of ${moment(backup.created_at)}` : isPoint(last.id) ? `recovery point ${last.id}` : last.id;
  text(byId('undo-words'), words(last, backup, what));
  text(byId('undo-button'), last.action === 'restore-rows' ? 'Undo that…' : 'Undo the last restore…');
}

export function startUndo() {
  const button = byId('undo-button');
  button.addEventListener('click', () => busy(button, () => undo(button)));
  byId('undo-dismiss').addEventListener('click', () => dismiss(store.status.last_restore));
  subscribe(render);
}
