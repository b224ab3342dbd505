// The card of figures: how many backups there are, how large, how old.

import { attr, byId, text } from './dom.js';
import { brief, bytes, count, relative, utc } from './format.js';
import { store, subscribe } from './store.js';

function when(name, at) {
  const node = byId(`stats-${name}`);
  text(node, at ? brief(at) : 'none yet');
  attr(node, 'datetime', at);
  attr(node, 'title', at ? utc(at) : null);
  text(byId(`stats-${name}-ago`), at ? relative(at) : '');
}

export function startStats() {
  subscribe(() => {
    const { stats } = store;
    if (!stats) return;
    text(byId('stats-count'), count(stats.count));
    text(byId('stats-size'), bytes(stats.total_size));
    attr(byId('stats-size'), 'title', `${count(stats.total_size)} bytes`);
    text(byId('stats-automatic'), count(stats.automatic));
    text(byId('stats-manual'), count(stats.manual));
    when('latest', stats.latest_time);
    when('oldest', stats.oldest_time);
  });
}
