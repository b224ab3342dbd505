// The figures that stand nowhere else: how many backups there are, what they take, how far
// back they go, and how the database grows.

import { attr, byId, text } from './dom.js';
import { bytes, count, date, day, relative, utc } from './format.js';
import { subscribe } from './store.js';

// growth compares the first and the last day of which the size is known.
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

export function startStats() {
  subscribe(({ stats, history }) => {
    if (!stats) return;
    figure('count', count(stats.count), `${count(stats.automatic)} automatic, ${count(stats.manual)} manual`);
    figure('size', bytes(stats.total_size), 'on the backup disk', `${count(stats.total_size)} bytes`);
    figure('oldest', stats.oldest_time ? date(stats.oldest_time) : 'None yet', relative(stats.oldest_time), utc(stats.oldest_time));
    figure('growth', ...growth(history ?? []));
  });
}
