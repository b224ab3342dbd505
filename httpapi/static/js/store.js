// The known state of the server, and when it was learnt. Views subscribe and patch
// themselves; they never ask the server themselves for data that is here.

import * as api from './api.js';
import { now } from './format.js';

export const store = {
  session: null,
  status: null,
  statusAt: 0, // ms, by the server's clock
  stats: null,
  history: null,
  decisions: new Map(), // id -> {keep, reason, until}
  backups: new Map(), // every backup that was seen, id -> backup
  changes: 0, // backups that were changed from here
  version: 0, // grows with every change of the backups and what is decided about them
  revision: '', // the server's word for the state that the backups were listed in
  asOf: 0, // when all of it was last fetched
  connection: 'connecting', // connecting, live, reconnecting, polling, offline
};

const listeners = new Set();

export function subscribe(listener) {
  listeners.add(listener);
}

export function publish() {
  for (const listener of listeners) listener(store);
}

export function may(right) {
  return store.session?.rights?.includes(right) ?? false;
}

// knowCapture takes the newest recovery point of the change log.
export function knowCapture({ point, at }) {
  if (!store.status?.continuous) return;
  Object.assign(store.status.continuous, { point, at });
  publish();
}

export function knowBackup(b) {
  if (!b?.id || (b.etag && store.backups.get(b.id)?.etag === b.etag)) return;
  store.backups.set(b.id, b);
  store.version += 1;
}

// knowChanged takes a backup as a change from here left it: a list that was asked for before is out of date.
export function knowChanged(b) {
  store.changes += 1;
  knowBackup(b);
}

// Parts of the page with data of their own, such as the table, refresh along.
const refreshers = new Set();

export function onRefresh(refresher) {
  refreshers.add(refresher);
}

async function fetchAll() {
  const [status, stats, history, plan] = await Promise.all([
    api.status(), api.stats(), api.history(30), api.decisions(),
    ...[...refreshers].map((refresher) => refresher()),
  ]);
  Object.assign(store, { status, stats, history: history.days ?? [], asOf: now(), statusAt: now(), version: store.version + 1 });
  store.decisions = new Map((plan.decisions ?? []).map((decision) => [decision.id, decision]));
  publish();
}

let current = null;
let again = false;

// refresh fetches everything. Calls while it runs are answered by one more run, so
// that a change in between is seen and a burst of changes costs two runs.
export function refresh() {
  if (current) {
    again = true;
    return current;
  }
  current = (async () => {
    try {
      do {
        again = false;
        await fetchAll();
      } while (again);
    } finally {
      current = null;
      again = false;
    }
  })();
  return current;
}

let timer = 0;

// refreshSoon gathers a burst of changes.
export function refreshSoon(failed) {
  clearTimeout(timer);
  timer = setTimeout(() => refresh().catch(failed), 300);
}

// refreshStatus alone, because a backup becomes overdue without anything changing.
export async function refreshStatus() {
  const status = await api.status();
  Object.assign(store, { status, statusAt: now() });
  publish();
}

export function forget() {
  clearTimeout(timer);
  Object.assign(store, { session: null, status: null, stats: null, history: null, asOf: 0 });
  store.decisions.clear();
  store.backups.clear();
}
