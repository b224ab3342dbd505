// The last 30 days as a strip of marks, one per day, and the sizes as lines. States
// differ in shape as well as colour; a table says the same in words.

import { attr, byId, el, svg, text } from './dom.js';
import { bytes, day, plural } from './format.js';
import { subscribe } from './store.js';

const words = {
  ok: 'backed up',
  unchanged: 'unchanged, still covered',
  failed: 'a backup failed',
  overdue: 'a backup was overdue',
  none: 'no backup',
};

const step = 20; // width of a day in the drawing's units
const tall = 44;

// marks are drawn around x = 0, from y = 0 (top) to y = 44.
const marks = {
  ok: () => [svg('rect', { x: -7, y: 4, width: 14, height: 36, rx: 3 })],
  unchanged: () => [svg('rect', { x: -6, y: 21, width: 12, height: 18, rx: 2 })],
  failed: () => [svg('path', { d: 'M-6 16 6 28M6 16-6 28' })],
  overdue: () => [svg('path', { d: 'M0 10 8.5 25H-8.5Z' }), svg('path', { class: 'ink', d: 'M0 15v5M0 22v.6' })],
  none: () => [svg('circle', { cx: 0, cy: 36, r: 2.5 })],
};

function known(state) {
  return marks[state] ? state : 'none';
}

function describe(entry) {
  const parts = [`${day(entry.date)}: ${words[entry.state] ?? entry.state}`];
  if (entry.backups) parts.push(plural(entry.backups, 'backup'));
  if (entry.failed) parts.push(`${plural(entry.failed, 'failure')}`);
  if (entry.database_bytes) parts.push(`database ${bytes(entry.database_bytes)}`);
  return parts.join(', ') + (entry.detail ? ` – ${entry.detail}` : '');
}

// summary counts from the first day of which anything is known: before that nothing was
// promised.
function summary(all) {
  const first = all.findIndex((entry) => entry.state !== 'none');
  if (first < 0) return 'No backups so far';
  const days = all.slice(first);
  const daysOf = (state) => days.filter((entry) => entry.state === state).length;
  const covered = daysOf('ok') + daysOf('unchanged');
  const parts = [`${covered} of ${plural(days.length, 'day')} covered`];
  if (daysOf('overdue')) parts.push(`${daysOf('overdue')} overdue`);
  if (daysOf('failed')) parts.push(`${daysOf('failed')} failed`);
  if (daysOf('none')) parts.push(`${daysOf('none')} without a backup`);
  return parts.join(', ');
}

function drawStrip(days) {
  const strip = byId('strip');
  attr(strip, 'viewBox', `0 0 ${days.length * step} ${tall}`);
  strip.replaceChildren(...days.map((entry, i) => svg('g', { class: `mark ${known(entry.state)}`, transform: `translate(${i * step + step / 2} 0)` },
    svg('title', {}, describe(entry)),
    svg('rect', { class: 'field', x: -step / 2, y: 0, width: step, height: tall }),
    ...marks[known(entry.state)]())));
  text(byId('strip-from'), days.length ? day(days[0].date) : '');
  byId('history-rows').replaceChildren(...days.toReversed().map((entry) => el('tr', {},
    el('th', { scope: 'row' }, day(entry.date)),
    el('td', {}, words[entry.state] ?? entry.state),
    el('td', {}, String(entry.backups)),
    el('td', {}, String(entry.failed)),
    el('td', {}, entry.database_bytes ? bytes(entry.database_bytes) : '–'),
    el('td', {}, entry.archive_bytes ? bytes(entry.archive_bytes) : '–'),
    el('td', {}, entry.detail || ''))));
}

const wide = 600;
const high = 100;

// line goes through the days whose size is known; days between are bridged, since
// a day without a backup is not a day without a database.
function line(days, member, top) {
  const across = days.length > 1 ? wide / (days.length - 1) : 0;
  const points = days
    .map((entry, i) => [i * across, entry[member]])
    .filter(([, size]) => size > 0)
    .map(([x, size]) => `${x.toFixed(1)} ${(high - (size / top) * (high - 6)).toFixed(1)}`);
  if (points.length === 0) return '';
  // One point alone has no length: its round cap makes it a dot.
  return points.length === 1 ? `M${points[0]}h.1` : `M${points.join('L')}`;
}

function last(days, member) {
  return days.findLast((entry) => entry[member] > 0)?.[member] ?? 0;
}

function drawSizes(days) {
  const top = Math.max(1, ...days.map((entry) => Math.max(entry.database_bytes, entry.archive_bytes)));
  attr(byId('size-database'), 'd', line(days, 'database_bytes', top));
  attr(byId('size-archive'), 'd', line(days, 'archive_bytes', top));
  const database = last(days, 'database_bytes');
  const archive = last(days, 'archive_bytes');
  text(byId('size-database-now'), database ? bytes(database) : 'not known');
  text(byId('size-archive-now'), archive ? bytes(archive) : 'not known');
  const first = days.find((entry) => entry.database_bytes > 0);
  attr(byId('sizes'), 'aria-label', first
    ? `Size over time: the database went from ${bytes(first.database_bytes)} on ${day(first.date)} to ${bytes(database)}, its backup now takes ${bytes(archive)}`
    : 'Size over time: nothing to show yet');
}

let drawn = '';

// The table is always there for screen readers; the button shows it to everyone, for
// who touches a screen cannot point at a mark.
function toggle(button) {
  const table = byId('history-table');
  const shown = !table.classList.toggle('hidden');
  attr(button, 'aria-expanded', String(shown));
  attr(table, 'tabindex', shown ? '0' : '-1');
  text(button, shown ? 'Hide day by day' : 'Show day by day');
}

export function startHistory() {
  const button = byId('history-toggle');
  button.addEventListener('click', () => toggle(button));
  subscribe(({ history }) => {
    if (!history) return;
    const key = JSON.stringify(history);
    if (key === drawn) return;
    drawn = key;
    drawStrip(history);
    drawSizes(history);
    text(byId('history-summary'), `${summary(history)}.`);
  });
}
