// Drawing the list: lines by day, the newest first, and between backups the recovery points of
// the change log. What is there already is patched and keeps its place in the document.

import { arrange, byId, el, text } from './dom.js';
import { bytes, dayKey, plural, weekday } from './format.js';
import { makeLine, makeRun } from './line.js';
import { choices } from './panel.js';
import { store } from './store.js';

const lines = new Map(); // id -> line
const runLines = new Map(); // the backup after a run, or before the newest one -> line
const days = new Map(); // key -> {node, update}

export const lineOf = (id) => lines.get(id);

function makeDay() {
  const name = el('span', { class: 'day-name' });
  const also = el('span', { class: 'day-date' });
  const sum = el('span', { class: 'day-sum' });
  const list = el('ul', {});
  const node = el('section', { class: 'day' }, el('h3', {}, name, ' ', also, ' ', sum), list);
  // update takes the lines of a day, and whether more of it is to come.
  const update = ({ nodes, at, backups, isCut }) => {
    const [word, date] = weekday(at);
    text(name, word);
    text(also, date);
    const stored = backups.reduce((all, b) => all + b.archive_bytes, 0);
    text(sum, backups.length === 0 ? '' : isCut ? `${plural(backups.length, 'backup')} so far` : `${plural(backups.length, 'backup')} · ${bytes(stored)}`);
    arrange(list, nodes);
  };
  return { node, update };
}

// entriesOf puts the runs between the backups: {id} or {run}, the newest first.
function entriesOf(ids, runs) {
  const has = new Set(ids);
  const above = new Map(); // the run that follows a backup
  const below = new Map(); // the run before it, where the backup before that is not shown
  const alone = [];
  runs.forEach((run, i) => {
    const entry = { run, i };
    if (has.has(run.after)) above.set(run.after, entry);
    else if (has.has(run.before)) below.set(run.before, entry);
    else if (ids.length === 0) alone.push(entry);
  });
  const all = ids.flatMap((id) => [above.get(id), { id }, below.get(id)]);
  return [...all.filter(Boolean), ...alone];
}

function lineFor(entry) {
  if (entry.run) {
    const key = entry.run.after ?? '';
    const line = runLines.get(key) ?? makeRun();
    runLines.set(key, line);
    line.update(entry.run);
    line.node.dataset.run = entry.i;
    return { line, key, at: entry.run.to, day: dayKey(entry.run.to) };
  }
  const b = store.backups.get(entry.id);
  const line = lines.get(entry.id) ?? makeLine(b);
  lines.set(entry.id, line);
  return { line, at: b.created_at, day: line.day, b };
}

// rescue returns what moves the focus from a line that goes to the one that takes its place.
function rescue(stay) {
  const item = document.activeElement?.closest?.('#backup-rows li');
  if (!item || stay.has(item)) return null;
  const all = [...byId('backup-rows').querySelectorAll('li')];
  const next = all.slice(all.indexOf(item) + 1).find((one) => stay.has(one));
  return () => (next?.querySelector('.line') ?? byId('backups-title')).focus();
}

function forgetGone(map, stay) {
  for (const key of map.keys()) if (!stay.has(key)) map.delete(key);
}

// drawList shows backups and the runs between them; isCut: there are more.
export function drawList({ ids, runs, isCut }) {
  const shown = entriesOf(ids.filter((id) => store.backups.has(id)), runs).map(lineFor);
  const minutes = new Map();
  for (const { b, line } of shown) if (b) minutes.set(line.minute, (minutes.get(line.minute) ?? 0) + 1);
  const actions = ids.length > 0 && choices(store.backups.get(ids[0])).length > 0;
  const groups = [];
  const seen = new Map(); // a clock that was set back gives a day twice
  for (const { line, at, day, b } of shown) {
    if (b) line.update(b, { exactly: minutes.get(line.minute) > 1, newest: b.id === store.status?.newest_verified, actions });
    if (groups.at(-1)?.day !== day) {
      seen.set(day, (seen.get(day) ?? 0) + 1);
      groups.push({ day, key: `${day} ${seen.get(day)}`, at, nodes: [], backups: [], isCut: false });
    }
    groups.at(-1).nodes.push(line.node);
    if (b) groups.at(-1).backups.push(b);
  }
  if (isCut && groups.length) groups.at(-1).isCut = true;
  const refocus = rescue(new Set(shown.map(({ line }) => line.node)));
  for (const group of groups) {
    if (!days.has(group.key)) days.set(group.key, makeDay());
    days.get(group.key).update(group);
  }
  arrange(byId('backup-rows'), groups.map(({ key }) => days.get(key).node));
  refocus?.();
  forgetGone(lines, new Set(ids));
  forgetGone(runLines, new Set(shown.map(({ key }) => key)));
  forgetGone(days, new Set(groups.map(({ key }) => key)));
}

export function forgetList() {
  lines.clear();
  runLines.clear();
  days.clear();
  byId('backup-rows').replaceChildren();
}
