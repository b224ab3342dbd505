// The banner for a break: the file is no longer the database that was backed up.

import * as api from './api.js';
import { attr, busy, byId, show, text } from './dom.js';
import { brief, sentence } from './format.js';
import { failed } from './live.js';
import { notice } from './notices.js';
import { attempt } from './problems.js';
import { restore } from './restore.js';
import { may, refresh, store, subscribe } from './store.js';
import * as words from './words.js';

function render() {
  const found = store.status?.break;
  const banner = byId('break-banner');
  show(banner, Boolean(found));
  if (!found) return;
  const gone = words.isGone(found.cause);
  attr(banner, 'data-tone', found.cause === 'replaced' ? null : 'bad');
  text(byId('break-words'), `${words.broken(found.cause)} (${brief(found.at)}): ${sentence(found.what)}`);
  show(byId('break-restore'), Boolean(found.before) && may('restore'));
  show(byId('break-accept'), !gone && may('delete'));
}

async function accept() {
  const answer = await attempt(() => api.acceptBreak());
  if (!answer) return;
  notice('Accepted: from now on the backups are of this database, and old ones go as usual.');
  byId('main').focus({ preventScroll: true });
  refresh().catch(failed);
}

export function startBreaks() {
  const button = byId('break-restore');
  button.addEventListener('click', () => busy(button, async () => {
    const backup = await attempt(() => api.backup(store.status.break.before));
    if (backup) await restore(backup, button);
  }));
  const keep = byId('break-accept');
  keep.addEventListener('click', () => busy(keep, accept));
  subscribe(render);
}
