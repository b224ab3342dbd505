// Plain words for the API's codes. A word that is not known here is shown as it
// came, so that a newer server is not silenced by an older tab. The tables have no
// prototype, or "constructor" would be a word.

import { count, label, named, plural, sentence } from './format.js';

export const states = { protected: 'Protected', at_risk: 'At risk', unprotected: 'Unprotected' };

const triggers = {
  __proto__: null,
  startup: 'at start-up',
  schedule: 'on schedule',
  change: 'after changes',
  shutdown: 'at shutdown',
  manual: 'by hand',
  'pre-restore': 'before a restore',
};

// isPoint says that an id is of a recovery point of the change log: "1.4711".
export const isPoint = (id) => /^\d+\.\d+$/.test(id ?? '');

export function kind(b) {
  if (b.trigger === 'pre-restore') return 'Safety';
  return b.kind === 'manual' ? 'Manual' : 'Automatic';
}

export function trigger(name) {
  return triggers[name] ?? String(name ?? '');
}

const days = {
  __proto__: null,
  ok: 'backed up',
  unchanged: 'unchanged, still covered',
  failed: 'a backup failed',
  overdue: 'a backup was overdue',
  none: 'no backup',
};

// dayState says what became of a day's protection, dayWords also why.
export const dayState = (entry) => days[entry.state] ?? entry.state;
export const dayWords = (entry) => sentence(entry.detail ? `${dayState(entry)}: ${entry.detail}` : dayState(entry));

const levels = { __proto__: null, header: 'header check', probe: 'quick look', quick: 'quick check', full: 'full check' };

export function level(name) {
  return levels[name] ?? String(name ?? '');
}

const phases = {
  __proto__: null,
  '': 'Starting',
  check: 'Checking that the database is sound',
  spool: 'Copying the database',
  compress: 'Reading and compressing the database',
  'read back': 'Reading the backup back to prove it',
  unpack: 'Unpacking the backup',
  prove: 'Proving the unpacked database',
  write: 'Putting back what was there',
  commit: 'Making it final – this cannot be stopped any more',
  repair: 'Repairing the database',
  send: 'Sending copies',
};

export function phase(name) {
  return phases[name ?? ''] ?? sentence(name).replace(/\.$/, '');
}

const running = {
  __proto__: null,
  backup: 'Creating a backup',
  verify: 'Verifying a backup',
  drill: 'Testing a restore',
  restore: 'Restoring a backup',
  check: 'Checking the database',
  recover: 'Recovering the database',
  prune: 'Removing old backups',
  sync: 'Sending copies off this machine',
  'restore-rows': 'Bringing rows back',
};

export function doing(operation, backup) {
  if (isPoint(operation.backup)) {
    const at = ` recovery point ${operation.backup}`;
    if (operation.kind === 'restore') return `Going back to${at}`;
    if (operation.kind === 'drill') return `Testing a restore of${at}`;
    if (operation.kind === 'restore-rows') return `Bringing rows of${at} back`;
  }
  if (operation.remote) return `${running.sync}, to ${operation.remote}`;
  const name = operation.kind === 'backup' ? '' : backup ? ` of ${label(backup.created_at)}` : '';
  return `${running[operation.kind] ?? sentence(operation.kind).replace(/\.$/, '')}${name}`;
}

const tried = {
  __proto__: null,
  backup: 'backup',
  verify: 'verification',
  drill: 'test restore',
  restore: 'restore',
  check: 'check of the database',
  recover: 'recovery',
  prune: 'clean-up of old backups',
  sync: 'sending of copies off this machine',
  'restore-rows': 'return of the rows',
};

export function noun(kindOf) {
  return tried[kindOf] ?? String(kindOf);
}

// Per action: what was done, and the words after "could not" and "tried to".
const actions = {
  __proto__: null,
  backup: ['created a backup', 'create a backup'],
  verify: ['verified a backup', 'verify a backup'],
  drill: ['tested a restore', 'complete the test of a restore'],
  restore: ['restored a backup', 'restore a backup'],
  recover: ['recovered the database', 'recover the database'],
  repair: ['repaired the database', 'repair the database'],
  check: ['checked the database', 'check the database'],
  sync: ['sent copies off this machine', 'send copies off this machine'],
  'restore-rows': ['brought rows back', 'bring rows back'],
  delete: ['deleted a backup', 'delete a backup'],
  prune: ['removed an old backup', 'remove old backups'],
  pin: ['pinned a backup', 'pin a backup'],
  unpin: ['unpinned a backup', 'unpin a backup'],
  note: ['changed a note', 'change a note'],
  accept: ['accepted the database as it is', 'accept the database as it is'],
  acknowledge: ['acknowledged what a recovery lost', 'acknowledge what a recovery lost'],
  rebuild: ['rebuilt the catalog', 'rebuild the catalog'],
  login: ['logged in', 'log in'],
  access: ['used the API', 'use the API'],
  cancel: ['cancelled an operation', 'cancel an operation'],
};

// rowsBack says which rows an operation brought back, by table.
export function rowsBack(result) {
  if (!result?.applied) return 'There was nothing to bring back: the rows are as they were.';
  const back = result.tables.map((t) => [t.table, t.inserted + t.replaced + t.removed]).filter(([, n]) => n > 0).map(([table, n]) => `${count(n)} of ${named(table)}`).join(', ');
  const left = result.skipped > 0 ? ` ${plural(result.skipped, 'row was', 'rows were')} left as ${result.skipped === 1 ? 'it is' : 'they are'}.` : '';
  return `${result.undo ? 'It is undone' : 'Rows are back'}: ${back}.${left}`;
}

// The choices of the page, by the flags that the server's hints call them by.
const choices = { '--with-references': 'With what belongs to them in other tables', '--missing': 'All that are gone', '--on-conflict skip': 'They stay as they are now', '--on-conflict replace': 'They become what they were' };

// aboutRows is a hint about rows in the words of the page.
export const aboutRows = (hint) => Object.entries(choices).reduce((words, [flag, choice]) => words.replaceAll(flag, `“${choice}”`), hint ?? '');

// What happened at a remote, per outcome.
const copies = {
  __proto__: null,
  stored: 'sent a copy off this machine',
  removed: 'removed an old copy off this machine',
  proven: 'read copies off this machine back',
  damaged: 'found a damaged copy off this machine',
  failed: 'could not use a place off this machine',
  resumed: 'could use a place off this machine again',
  stopped: 'stopped sending copies off this machine',
  refused: 'kept another writer from a place off this machine',
  noticed: 'noticed something at a place off this machine',
  adopted: 'took over a place off this machine',
};

export function did(entry) {
  const { action, outcome } = entry;
  if (action === 'remote' && copies[outcome]) return copies[outcome];
  if (action === 'serve') return outcome === 'stopped' ? 'stopped the server' : outcome === 'failed' ? 'could not start the server' : 'started the server';
  if (action === 'break') return outcome === 'over' ? 'found the database back' : 'found that the database is not the one that was backed up';
  if (action === 'notify') return outcome === 'failed' ? 'could not notify a receiver' : 'reached a receiver of notifications again';
  if (action === 'accept' && outcome === 'unchanged') return 'found no break to accept';
  if (outcome === 'unchanged') return 'found nothing to back up: the database is unchanged';
  if (outcome === 'cancelled') return `cancelled a ${noun(action)}`;
  if (action === 'check' && entry.code === 'corrupt') return 'checked the database and found it damaged';
  const pair = actions[action];
  if (!pair) return `${action}: ${outcome}`;
  if (outcome === 'refused') return `tried to ${pair[1]}, which was refused`;
  return outcome === 'failed' ? `could not ${pair[1]}` : pair[0];
}

const breaks = {
  __proto__: null,
  emptied: 'The database was emptied',
  shrunk: 'The database shrank to less than half',
  other_schema: 'Another database is in its place',
  other_application: 'The database of another application is in its place',
  replaced: 'The database was replaced',
  missing: 'The database is gone',
  blank: 'The database is an empty file',
  no_file: 'The database is not a file any more',
  link: 'The link to the database leads elsewhere',
};

// isGone says that there is no database, and so nothing to accept.
export const isGone = (cause) => ['missing', 'blank', 'no_file', 'link'].includes(cause);

export function broken(cause) {
  return breaks[cause] ?? 'The database is not the one that was backed up';
}

export function verdict(name) {
  return {
    healthy: 'healthy',
    violations: 'sound, but breaks rules of the application',
    corrupt: 'damaged',
    not_a_database: 'not a database',
    empty: 'empty',
    missing: 'missing',
  }[name] ?? 'not checked';
}
