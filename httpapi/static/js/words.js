// Plain words for the API's codes. A word that is not known here is shown as it
// came, so that a newer server is not silenced by an older tab.

import { label, sentence } from './format.js';

export const states = { protected: 'Protected', at_risk: 'At risk', unprotected: 'Unprotected' };

const triggers = {
  startup: 'at start-up',
  schedule: 'on schedule',
  change: 'after changes',
  shutdown: 'at shutdown',
  manual: 'by hand',
  'pre-restore': 'before a restore',
};

export function kind(b) {
  if (b.trigger === 'pre-restore') return 'Safety';
  return b.kind === 'manual' ? 'Manual' : 'Automatic';
}

export function trigger(name) {
  return triggers[name] ?? String(name ?? '');
}

const levels = { header: 'header check', probe: 'quick look', quick: 'quick check', full: 'full check' };

export function level(name) {
  return levels[name] ?? String(name ?? '');
}

const phases = {
  '': 'Starting',
  check: 'Checking that the database is sound',
  spool: 'Copying the database aside',
  compress: 'Reading and compressing the database',
  'read back': 'Reading the backup back to prove it',
  unpack: 'Unpacking the backup',
  prove: 'Proving the unpacked database',
  write: 'Putting the pages back',
  commit: 'Making it final – this cannot be stopped any more',
  mend: 'Mending the database',
};

export function phase(name) {
  return phases[name ?? ''] ?? sentence(name).replace(/\.$/, '');
}

const running = {
  backup: 'Creating a backup',
  verify: 'Verifying a backup',
  drill: 'Testing a restore',
  restore: 'Restoring a backup',
  check: 'Checking the database',
  recover: 'Recovering the database',
  prune: 'Removing old backups',
};

export function doing(operation, backup) {
  const name = operation.kind === 'backup' ? '' : backup ? ` of ${label(backup.created_at)}` : '';
  return `${running[operation.kind] ?? sentence(operation.kind).replace(/\.$/, '')}${name}`;
}

export function who(name) {
  if (!name) return '';
  return name === 'automatic' ? 'the schedule' : name;
}

const tried = {
  backup: 'backup',
  verify: 'verification',
  drill: 'test restore',
  restore: 'restore',
  check: 'check of the database',
  recover: 'recovery',
  prune: 'clean-up of old backups',
};

export function noun(kindOf) {
  return tried[kindOf] ?? String(kindOf);
}

// Past tense per action and outcome; "done" also stands for outcomes unknown here.
const actions = {
  backup: ['created a backup', 'could not create a backup'],
  verify: ['verified a backup', 'found no proof for a backup'],
  drill: ['tested a restore', 'tested a restore, which failed'],
  restore: ['restored a backup', 'could not restore a backup'],
  recover: ['recovered the database', 'could not recover the database'],
  repair: ['repaired the database', 'could not repair the database'],
  check: ['checked the database', 'checked the database and found a problem'],
  delete: ['deleted a backup', 'could not delete a backup'],
  prune: ['removed an old backup', 'could not remove old backups'],
  pin: ['pinned a backup', 'could not pin a backup'],
  unpin: ['unpinned a backup', 'could not unpin a backup'],
  note: ['changed a note', 'could not change a note'],
  rebuild: ['rebuilt the catalog', 'could not rebuild the catalog'],
  login: ['logged in', 'could not log in'],
  access: ['used the API', 'was turned away'],
  cancel: ['cancelled an operation', 'could not cancel an operation'],
};

export function did(entry) {
  const { action, outcome } = entry;
  if (action === 'serve') return outcome === 'stopped' ? 'stopped the server' : outcome === 'failed' ? 'could not start the server' : 'started the server';
  if (outcome === 'unchanged') return 'found nothing to back up: the database is unchanged';
  if (outcome === 'cancelled') return `cancelled a ${noun(action)}`;
  if (outcome === 'refused') return `was refused: ${action}`;
  const pair = actions[action] ?? [`${action}: ${outcome}`, `${action}: ${outcome}`];
  return outcome === 'failed' ? pair[1] : pair[0];
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
