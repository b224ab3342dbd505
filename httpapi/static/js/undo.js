// The banner after a restore, which offers the way back until it is dismissed.

import * as api from './api.js';
import { busy, byId, show, text } from './dom.js';
import { brief, moment } from './format.js';
import { attempt } from './problems.js';
import { restore } from './restore.js';
import { may, store, subscribe } from './store.js';

const key = 'snapd-undo-dismissed';

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

function render() {
  const last = store.status?.last_restore;
  const offered = Boolean(last?.undo) && may('restore') && !isDismissed(last);
  const banner = byId('undo-banner');
  // News while somebody looks comes in the dock, where it moves nothing and is seen
  // from any place on the page. After a reload the banner has its place at the top.
  if (offered && banner.hidden && document.body.dataset.view === 'page') byId('dock').prepend(banner);
  show(banner, offered);
  if (!offered) return;
  const backup = store.backups.get(last.id);
  const what = backup ? `the backup of ${moment(backup.created_at)}` : last.id;
  text(byId('undo-words'), last.action === 'recover'
    ? `The database was damaged and was recovered ${brief(last.at)} from ${what}.`
    : `Restored ${brief(last.at)} from ${what}.`);
}

export function startUndo() {
  const button = byId('undo-button');
  button.addEventListener('click', () => busy(button, async () => {
    const { undo } = store.status.last_restore;
    const backup = await attempt(() => api.backup(undo));
    if (backup) await restore(backup, button, { undo: true });
  }));
  byId('undo-dismiss').addEventListener('click', () => dismiss(store.status.last_restore));
  subscribe(render);
}
