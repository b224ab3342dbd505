// The card at the top: is the data safe, why, and the one button that repairs it.

import { attr, busy, byId, icon, show, text, useIcon } from './dom.js';
import { brief, bytes, count, hhmm, hhmmss, moment, now, plural, relative, sentence, span, took, utc, utcExact } from './format.js';
import { may, store, subscribe } from './store.js';
import * as words from './words.js';

const shields = { protected: 'shield-ok', at_risk: 'shield-warn', unprotected: 'shield-bad' };

// The remedies per status code: [label, right, name of the handler].
const again = ['Try again', 'create', 'create'];
const remedies = {
  no_backup: ['Create the first backup', 'create', 'create'],
  unverified: ['Verify the newest backup', 'verify', 'verifyNewest'],
  failed: again,
  overdue: ['Create a backup now', 'create', 'create'],
  clock: ['Create a backup now', 'create', 'create'],
  archive_gone: ['Create a backup now', 'create', 'create'],
  check_failed: ['Check again', 'verify', 'check'],
  damaged: ['Restore the newest good state', 'restore', 'restoreNewest'],
  missing: ['Restore the newest good state', 'restore', 'restoreNewest'],
  remote: ['Send now', 'create', 'sync'],
  break: ['Create a backup now', 'create', 'create'], // where it was accepted: else its banner has the ways on
};

// restoredTime is when the newest verified backup was restored, null where it was not.
function restoredTime(status) {
  const last = status.last_restore;
  return last && last.id === status.newest_verified ? new Date(last.at) : null;
}

// newestTime is when the database was last as the newest verified backup has it.
function newestTime(status) {
  if (status.loss_window_seconds === null || status.loss_window_seconds === undefined) return null;
  const restored = restoredTime(status);
  if (restored) return restored;
  const known = store.backups.get(status.newest_verified);
  return known ? new Date(known.created_at) : null;
}

// disproven says that verifying again is no way out: there is nothing left to prove.
function disproven() {
  return [...store.decisions.keys()].every((id) => store.backups.get(id)?.verification.state === 'failed');
}

// reason recomputes sentences with an age in them: the server's were true when it
// said them, and a page stays open for days.
function reason(status) {
  const newest = newestTime(status);
  const how = restoredTime(status) ? 'restored' : 'taken';
  if (newest && status.code === 'recent') return `${covered(status)}The newest verified backup was ${how} ${relative(newest)}.`;
  if (newest && status.code === 'unchanged') return `The database is unchanged since the verified backup ${how} ${relative(newest)}.`;
  if (status.code === 'unverified') {
    return disproven() ? 'There is no verified backup: the stored ones failed their verification.'
      : 'There is no verified backup: the stored ones have not been proven yet.';
  }
  return sentence(status.reason);
}

// covered says that the time since that backup is covered, too.
function covered({ continuous }) {
  return continuous?.state === 'on' && continuous.point ? 'Every commit is captured as it is made. ' : '';
}

function remedy(status) {
  if (status.code === 'unverified' && disproven()) return remedies.overdue;
  if (status.code === 'break' && status.break) return null;
  const found = remedies[status.code];
  if (!found || (found[2] === 'restoreNewest' && !status.newest_verified)) return null;
  return found;
}

// since says from when the verdict is while the server cannot be asked.
function since() {
  const lost = store.connection === 'offline' || store.connection === 'reconnecting';
  return lost ? `This was so at ${hhmm(store.asOf)}. What happened since is not known.` : '';
}

// without returns the advice for a user who sees trouble and may not act on it.
function without(status) {
  const found = remedy(status);
  if (!found || may(found[1])) return '';
  return 'You may look but not change anything here: inform the administrator of this server.';
}

function fact(name, value, detail, title, tone) {
  text(byId(`fact-${name}`), value);
  text(byId(`fact-${name}-detail`), detail);
  attr(byId(`fact-${name}`).parentElement, 'title', title);
  attr(byId(`fact-${name}`).parentElement, 'data-tone', tone);
}

const working = 3; // s since the last capture in which the application counts as at work

// loss is what would be lost with the database now. The server's window was true when it said it.
function loss(status) {
  const newest = newestTime(status);
  const { loss_window_seconds: window, continuous } = status;
  if (window === null || window === undefined) return ['Everything', 'there is no verified backup', '', 'bad'];
  if (status.covered) return ['Nothing', newest ? `unchanged since ${brief(newest)}` : 'unchanged since the last backup', utc(newest), 'ok'];
  if (newest && newest > now()) return ['Not known', 'the newest backup is dated in the future', utc(newest), 'warn'];
  if (continuous?.at && ['on', 'behind'].includes(continuous.state)) {
    const since = Math.max(0, (now() - Date.parse(continuous.at)) / 1000);
    if (since < working) return [span(Math.max(1, Math.ceil(since))), `captured until ${hhmmss(continuous.at)}`, utcExact(continuous.at), 'ok'];
    if (window === 0) return ['Nothing', `the last commit, ${hhmmss(continuous.at)}, is captured`, utcExact(continuous.at), 'ok'];
  }
  const seconds = window + Math.max(0, now() - store.statusAt) / 1000;
  if (window === 0) return ['Nothing', 'every commit is captured', '', 'ok'];
  return [span(seconds), `what changed since ${brief(now() - seconds * 1000)}`, '', continuous?.state === 'behind' ? 'warn' : null];
}

function schedule(status) {
  const s = status.schedule;
  if (!s) return '';
  if (s.interval_seconds) return `every ${span(s.interval_seconds).replaceAll(' ', '\u00a0')}`;
  return s.cron ? `by “${s.cron}”` : '';
}

const noNext = { damaged: 'until the database is repaired', missing: 'until there is a database again' };

function next(status) {
  if (!status.next_run && noNext[status.code]) return ['None', noNext[status.code], '', 'bad'];
  if (!status.next_run) return ['Not scheduled', 'no backup is planned by time', '', 'warn'];
  const late = Date.parse(status.next_run) < now() - 60_000;
  const often = schedule(status);
  return [brief(status.next_run), late ? 'due now' : `${relative(status.next_run)}${often ? `, ${often}` : ''}`, utc(status.next_run)];
}

function drill(status) {
  const last = status.last_drill;
  if (!last) return ['Not yet', 'use “Test restore” on a backup below', ''];
  const good = last.verdict === 'healthy' || last.verdict === 'violations';
  return [relative(last.at), good ? `passed in ${took(last.duration_ms)}` : `failed: the copy was ${words.verdict(last.verdict)}`, `${moment(last.at)} · ${utc(last.at)}`, good ? null : 'bad'];
}

function duration(status) {
  const ms = status.estimated_restore_ms ?? status.last_drill?.duration_ms;
  if (ms === null || ms === undefined) return ['Not measured', 'make a test restore', ''];
  return [`About ${took(ms)}`.replace('About under', 'Under'), status.last_drill ? 'as measured' : 'an estimate', ''];
}

const reserve = 4 * 2 ** 20; // bytes that the server leaves free

function room(status) {
  const free = status.free_bytes;
  if (status.prune_failed) return [free === null ? 'Not known' : bytes(free), 'old backups could not be removed', status.prune_failed.message, 'warn'];
  if (free === null || free === undefined) return ['Not known', 'on the backup disk', ''];
  const latest = store.backups.get(status.newest_verified);
  if (!latest?.archive_bytes) return [bytes(free), 'on the backup disk', `${count(free)} bytes`];
  // A backup and its proof may need a copy of the database for a while, and some is left free.
  const more = Math.floor((free - (status.database.bytes ?? 0) - reserve) / latest.archive_bytes);
  const detail = free < reserve + latest.archive_bytes ? 'too little for another backup' : more < 1 ? 'may be too little for another backup' : more > 9999 ? 'room for thousands of backups' : `room for about ${plural(more, 'more backup', 'more backups')}`;
  return [bytes(free), detail, `${count(free)} bytes`, more < 1 ? 'bad' : more < 5 ? 'warn' : null];
}

function database(status) {
  const { bytes: size, verdict, path } = status.database;
  const bad = verdict && verdict !== 'healthy' && verdict !== 'violations';
  return [verdict === 'missing' ? 'Missing' : bytes(size), words.verdict(verdict), path, bad ? 'bad' : null];
}

function render() {
  const { status } = store;
  if (!status) return;
  const card = byId('hero');
  const damaged = status.code === 'damaged' || status.code === 'missing';
  attr(card, 'data-state', damaged ? 'unprotected' : status.state); // the colour
  useIcon(byId('hero-icon'), damaged ? 'shield-bad' : shields[status.state] ?? 'shield-warn');
  text(byId('state-title'), words.states[status.state] ?? status.state);
  text(byId('state-reason'), reason(status));
  text(byId('state-advice'), since() || without(status));
  const found = remedy(status);
  const button = byId('state-action');
  show(button, Boolean(found) && may(found[1]));
  if (found) text(button, found[0]);
  fact('loss', ...loss(status));
  fact('next', ...next(status));
  fact('drill', ...drill(status));
  fact('restore', ...duration(status));
  fact('free', ...room(status));
  fact('database', ...database(status));
}

// startStatus takes the handlers that the remedies name.
export function startStatus(handlers) {
  byId('hero-icon').replaceWith(Object.assign(icon('shield-warn'), { id: 'hero-icon' }));
  const button = byId('state-action');
  button.addEventListener('click', () => {
    const found = store.status && remedy(store.status);
    if (found) busy(button, () => handlers[found[2]](button));
  });
  subscribe(render);
  setInterval(() => {
    if (!document.hidden && store.status?.continuous?.at && document.body.dataset.view === 'page') fact('loss', ...loss(store.status));
  }, 1000);
}
