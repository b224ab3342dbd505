// The table of backups: filter, pages, and patching the rows on every refresh.

import * as api from './api.js';
import { arrange, attr, busy, byId, show, text } from './dom.js';
import { count, plural } from './format.js';
import { makeRow } from './row.js';
import { attempt } from './problems.js';
import { knowBackup, may, onRefresh, publish, store, subscribe } from './store.js';

const page = 100;
const most = 500; // per request

let kind = '';
let wanted = page;
let ids = [];
let next = null;
const rows = new Map(); // id -> row

async function load() {
  const asked = kind;
  let got = [];
  let cursor = '';
  let revision = null;
  do {
    const answer = await api.backups(asked, Math.min(most, wanted - got.length), cursor);
    revision ??= answer.revision;
    got = got.concat(answer.backups ?? []);
    cursor = answer.next_cursor;
  } while (cursor && got.length < wanted);
  if (asked !== kind) return; // the filter was changed meanwhile; its own load follows
  store.revision = revision;
  got.forEach(knowBackup);
  ids = [...new Set(got.map((b) => b.id))];
  next = cursor || null;
}

// rescue moves the focus from a row that goes to the one that takes its place.
function rescue(wantedIds) {
  const row = document.activeElement?.closest?.('tr[data-id]');
  if (!row || wantedIds.has(row.dataset.id)) return null;
  const name = document.activeElement.dataset.action;
  let neighbour = row.nextElementSibling;
  while (neighbour && !wantedIds.has(neighbour.dataset.id)) neighbour = neighbour.nextElementSibling;
  return () => (neighbour?.querySelector(`[data-action="${name}"]`) ?? byId('backups-title')).focus();
}

function total() {
  const { stats } = store;
  if (!stats) return ids.length;
  return { auto: stats.automatic, manual: stats.manual }[kind] ?? stats.count;
}

function counted() {
  return total() > ids.length ? `${count(ids.length)} of ${plural(total(), 'backup')} shown` : plural(ids.length, 'backup');
}

function renderRows() {
  const wantedIds = new Set(ids);
  const refocus = rescue(wantedIds);
  for (const id of rows.keys()) {
    if (!wantedIds.has(id)) rows.delete(id);
  }
  for (const id of ids) {
    const b = store.backups.get(id);
    if (!b) continue;
    const row = rows.get(id);
    if (row) row.update(b);
    else rows.set(id, makeRow(b));
  }
  arrange(byId('backup-rows'), ids.filter((id) => rows.has(id)).map((id) => rows.get(id).node));
  refocus?.();
}

function render() {
  if (!store.asOf) return;
  renderRows();
  attr(byId('backup-table'), 'data-look', !['restore', 'verify', 'configure', 'delete'].some(may) && !(may('download') && store.session?.downloads));
  const none = ids.length === 0;
  show(byId('backup-table'), !none);
  show(byId('backups-empty'), none);
  if (none) {
    const all = store.stats?.count ?? 0;
    text(byId('backups-empty-title'), all ? 'No backups of this kind' : 'No backups yet');
    text(byId('backups-empty-words'), all ? 'Choose “All” to see the others.'
      : may('create') ? 'Create the first one above. Automatic ones follow by themselves while snapd is running.'
        : 'Automatic ones are made while snapd is running.');
  }
  text(byId('backups-count'), none ? '' : counted());
  text(byId('count-all'), count(store.stats?.count));
  text(byId('count-auto'), count(store.stats?.automatic));
  text(byId('count-manual'), count(store.stats?.manual));
  const more = byId('backups-more');
  show(more, Boolean(next));
}

// reserve makes the room of the rows to come at once: what is below moves with the
// click that asked for them, and not when the user has gone on to something else.
function reserve() {
  const rowsNow = byId('backup-rows');
  const coming = Math.min(page, Math.max(1, total() - ids.length));
  const each = rowsNow.offsetHeight / Math.max(1, ids.length);
  rowsNow.style.setProperty('min-height', `${Math.round(rowsNow.offsetHeight + each * coming)}px`);
}

async function reload() {
  const table = byId('backup-table');
  attr(table, 'aria-busy', 'true');
  await attempt(load);
  attr(table, 'aria-busy', null);
  publish();
}

export function startBackups() {
  onRefresh(load);
  subscribe(render);
  for (const input of document.querySelectorAll('input[name="kind"]')) {
    input.addEventListener('change', () => {
      kind = input.value;
      wanted = page;
      reload();
    });
  }
  const more = byId('backups-more');
  more.addEventListener('click', () => busy(more, async () => {
    const last = byId('backup-rows').lastElementChild;
    reserve();
    wanted = ids.length + page;
    await reload();
    byId('backup-rows').style.removeProperty('min-height');
    // The button may be gone with the last page: go on at the first new row.
    if (more.hidden) last?.nextElementSibling?.querySelector('button:not([hidden])')?.focus();
  }));
}

export function forgetBackups() {
  ids = [];
  next = null;
  rows.clear();
  byId('backup-rows').replaceChildren();
}
