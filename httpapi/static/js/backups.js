// The list of backups: what is loaded of it, and the words around it.

import * as api from './api.js';
import { forgetOpen, renderOpen, startBrowsing } from './browse.js';
import { attr, busy, byId, show, text } from './dom.js';
import { count, day, now, plural } from './format.js';
import { bounds, clearFilter, filter, forgetFilter, isFiltered, setFilter, startFilter } from './filter.js';
import { drawList, forgetList, lineOf } from './list.js';
import { say } from './notices.js';
import { attempt } from './problems.js';
import { knowBackup, may, onRefresh, publish, store, subscribe } from './store.js';
import { dayWords } from './words.js';

const first = 100; // backups at the beginning
const more = 500; // with each click; as many as one request may have
const often = 10_000; // ms between two counts of the recovery points while commits are captured

let wanted = first;
let ids = [];
let runs = []; // the recovery points between them
let total = 0;
let isCut = false; // there are more than wanted
let counted = { at: 0, point: '' }; // when the runs were asked for, and the newest point then

const same = (a, b) => Object.keys(a).every((name) => a[name] === b[name]);

// ask returns the wanted backups.
async function ask(query) {
  let got = [];
  let answer = { next_cursor: '' };
  do {
    answer = await api.backups({ ...query, limit: Math.min(more, wanted - got.length), cursor: answer.next_cursor });
    got = got.concat(answer.backups);
  } while (answer.next_cursor && got.length < wanted);
  return { ...answer, backups: got };
}

async function runsOf({ from, to }) {
  counted = { at: now(), point: store.status?.continuous?.point };
  return filter.kind || filter.text ? [] : (await api.runs(from, to)).runs;
}

async function load() {
  const asked = { ...filter };
  const { changes } = store;
  const { from, to } = bounds();
  // The newest ones are known also while the filter hides them: the verdict speaks of them.
  const newest = isFiltered() ? api.backups({ limit: first }) : null;
  const answer = await ask({ kind: filter.kind, text: filter.text, from, to });
  const between = await runsOf({ from: answer.next_cursor ? answer.backups.at(-1).created_at : from, to });
  const known = await newest;
  if (!same(asked, filter) || changes !== store.changes) return; // another load follows
  store.revision = (known ?? answer).revision;
  for (const b of [...(known?.backups ?? []), ...answer.backups]) knowBackup(b);
  ids = [...new Set(answer.backups.map((b) => b.id))];
  runs = between;
  total = answer.total;
  isCut = Boolean(answer.next_cursor);
  store.version += 1;
}

// keepUp counts the recovery points again while they become more.
async function keepUp() {
  const point = store.status?.continuous?.point;
  if (document.hidden || !point || point === counted.point || now() - counted.at < often) return;
  const asked = { ...filter };
  const { from, to } = bounds();
  const between = await runsOf({ from: isCut ? store.backups.get(ids.at(-1))?.created_at : from, to }).catch(() => runs); // the next one does
  if (!same(asked, filter)) return;
  runs = between;
  store.version += 1;
  publish();
}

function countWords() {
  if (isCut) return `${count(ids.length)} of ${count(total)} shown`;
  return isFiltered() ? `${count(total)} of ${plural(store.stats?.count ?? total, 'backup')}` : plural(total, 'backup');
}

function renderEmpty() {
  const none = ids.length === 0 && runs.length === 0;
  show(byId('backups-empty'), none);
  if (!none) return;
  const all = store.stats?.count ?? 0;
  text(byId('backups-empty-title'), all ? 'Nothing matches' : 'No backups yet');
  text(byId('backups-empty-words'), all ? `None of the ${plural(all, 'backup')} is like that.`
    : may('create') ? 'Create the first one above. Automatic ones follow by themselves while snapd is running.'
      : 'Automatic ones are made while snapd is running.');
  show(byId('backups-empty-clear'), all > 0 && isFiltered());
}

// renderDay says what became of a day that was chosen on the strip.
function renderDay() {
  const entry = filter.day.endsWith('Z') ? store.history?.find(({ date }) => `${date}Z` === filter.day) : null;
  show(byId('day-words'), Boolean(entry));
  if (!entry) return;
  attr(byId('day-words'), 'data-tone', { failed: 'bad', overdue: 'warn', ok: 'ok', unchanged: 'ok' }[entry.state]);
  text(byId('day-words'), `${day(entry.date)} (UTC): ${dayWords(entry)}`);
}

let drawn = '';

function render() {
  if (!store.asOf) return;
  const key = [store.version, filter.day, isFiltered(), store.session?.rights, store.session?.downloads, new Date().toDateString(), store.status?.newest_verified].join('|');
  if (key !== drawn) {
    drawn = key;
    drawList({ ids, runs, isCut });
    renderEmpty();
    renderDay();
    text(byId('backups-count'), ids.length ? countWords() : '');
    show(byId('backups-more'), isCut);
  }
  renderOpen(ids);
}

async function reload() {
  const list = byId('backup-rows');
  attr(list, 'aria-busy', 'true');
  await attempt(load);
  attr(list, 'aria-busy', null);
  publish();
}

async function refilter() {
  wanted = first;
  await reload();
  if (ids.length) say(`${countWords()}.`);
  else say(`${byId('backups-empty-title').textContent}.`);
}

async function loadMore() {
  const shown = ids.length;
  wanted = shown + more;
  await reload();
  // The button may be gone with the last page: go on at the first new line.
  if (byId('backups-more').hidden) lineOf(ids[shown])?.button.focus({ preventScroll: true });
}

// showDay has the list show one day of UTC, "2026-11-25", and brings it into sight.
export function showDay(date) {
  setFilter({ kind: '', text: '', day: `${date}Z` });
  byId('list').scrollIntoView({ block: 'start' });
  byId('backups-title').focus({ preventScroll: true });
}

// startBackups takes what shows a run of recovery points.
export function startBackups(showRun) {
  startBrowsing((i) => showRun(runs[i]));
  startFilter(refilter);
  onRefresh(load);
  subscribe(render);
  subscribe(keepUp);
  const button = byId('backups-more');
  button.addEventListener('click', () => busy(button, loadMore));
  byId('backups-empty-clear').addEventListener('click', () => {
    clearFilter();
    byId('backups-title').focus({ preventScroll: true });
  });
}

export function forgetBackups() {
  wanted = first;
  ids = [];
  runs = [];
  isCut = false;
  drawn = '';
  forgetOpen();
  forgetFilter();
  forgetList();
}
