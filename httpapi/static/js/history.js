// The last 30 days as a strip of marks, one per day, each a button that leads to the day's
// backups, and figures. States differ in shape as well as colour; a table says the same in words.

import { attr, byId, el, svg, text } from './dom.js';
import { filter } from './filter.js';
import { bytes, count, date, day, plural, relative, utc } from './format.js';
import { subscribe } from './store.js';
import * as words from './words.js';

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
  const parts = [`${day(entry.date)}: ${words.dayState(entry)}`];
  if (entry.backups) parts.push(plural(entry.backups, 'backup'));
  if (entry.failed) parts.push(`${plural(entry.failed, 'failure')}`);
  if (entry.database_bytes) parts.push(`database ${bytes(entry.database_bytes)}`);
  return parts.join(', ') + (entry.detail ? ` – ${entry.detail}` : '');
}

// summary counts from the first day that is known: before that nothing was
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

let onDay = () => {};

function drawStrip(days) {
  const strip = byId('strip');
  const held = strip.contains(document.activeElement) ? document.activeElement.dataset.date : '';
  strip.replaceChildren(...days.map((entry) => el('button', {
    type: 'button', class: `mark ${known(entry.state)}`, 'data-date': entry.date, 'data-testid': `day-${entry.date}`,
    title: describe(entry), 'aria-label': describe(entry), tabindex: '-1', click: () => onDay(entry.date),
  }, svg('svg', { viewBox: '-10 0 20 44', 'aria-hidden': 'true', focusable: 'false' }, ...marks[known(entry.state)]()))));
  const reach = [...strip.children].find((one) => one.dataset.date === held) ?? strip.lastElementChild;
  attr(reach, 'tabindex', '0');
  if (held) reach.focus({ preventScroll: true });
  text(byId('strip-from'), days.length ? day(days[0].date) : '');
  byId('history-rows').replaceChildren(...days.toReversed().map((entry) => el('tr', {},
    el('th', { scope: 'row' }, day(entry.date)),
    el('td', {}, words.dayState(entry)),
    el('td', {}, String(entry.backups)),
    el('td', {}, String(entry.failed)),
    el('td', {}, entry.database_bytes ? bytes(entry.database_bytes) : '–'),
    el('td', {}, entry.archive_bytes ? bytes(entry.archive_bytes) : '–'),
    el('td', {}, entry.detail || ''))));
}

// along moves from day to day: the strip is one stop of Tab.
function along(event) {
  const all = [...byId('strip').children];
  const at = all.indexOf(document.activeElement);
  const target = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(at + 1, all.length - 1), Home: 0, End: all.length - 1 }[event.key];
  if (target === undefined || at < 0) return;
  event.preventDefault();
  attr(all[at], 'tabindex', '-1');
  attr(all[target], 'tabindex', '0');
  all[target].focus();
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

// growth compares the first and the last day whose size is known.
function growth(history) {
  const known = history.filter((entry) => entry.database_bytes > 0);
  if (known.length < 2) return ['Not known yet', ''];
  const change = known.at(-1).database_bytes - known[0].database_bytes;
  return [change === 0 ? 'No change' : `${change > 0 ? '+' : ''}${bytes(change)}`, `since ${day(known[0].date)}, from ${bytes(known[0].database_bytes)}`];
}

function figure(name, value, detail, title) {
  text(byId(`stats-${name}`), value);
  text(byId(`stats-${name}-detail`), detail);
  attr(byId(`stats-${name}`).parentElement, 'title', title);
}

// drawFigures shows what stands nowhere else: how many backups there are, what they take, how far back
// they go, and how the database grows.
function drawFigures({ stats, history }) {
  if (!stats) return;
  figure('count', count(stats.count), `${count(stats.automatic)} automatic, ${count(stats.manual)} manual`);
  figure('size', bytes(stats.total_size), 'on the backup disk', `${count(stats.total_size)} bytes`);
  figure('oldest', stats.oldest_time ? date(stats.oldest_time) : 'None yet', relative(stats.oldest_time), utc(stats.oldest_time));
  figure('growth', ...growth(history ?? []));
}

// startHistory takes what shows the backups of a day.
export function startHistory(showDay) {
  onDay = showDay;
  byId('strip').addEventListener('keydown', along);
  const button = byId('history-toggle');
  button.addEventListener('click', () => toggle(button));
  subscribe(drawFigures);
  subscribe(({ history }) => {
    if (!history) return;
    const key = JSON.stringify(history);
    if (key !== drawn) {
      drawn = key;
      drawStrip(history);
      text(byId('history-summary'), `${summary(history)}.`);
    }
    for (const one of byId('strip').children) attr(one, 'aria-pressed', String(filter.day === `${one.dataset.date}Z`));
  });
}
