// The banner for receivers of notifications that fail: nothing else would say so.

import { byId, el, show } from './dom.js';
import { brief, plural, sentence } from './format.js';
import { store, subscribe } from './store.js';

// words says which receiver fails, why, and what waits for it. A line of the memory itself has no way.
function words(r) {
  if (r.state === 'unknown') return `How the receivers of notifications do is not known: ${sentence(r.error)}`;
  const since = r.last_success ? `last reached ${brief(r.last_success)}` : 'never reached';
  const waiting = r.waiting ? `, ${plural(r.waiting, 'message waits', 'messages wait')}` : '';
  return `Notifications do not reach ${r.name} (${r.target}; ${since}${waiting}): ${sentence(r.error)}`;
}

function render() {
  const failing = (store.status?.receivers ?? []).filter((r) => r.state === 'failing' || r.state === 'unknown');
  show(byId('receivers-banner'), failing.length > 0);
  byId('receivers-list').replaceChildren(...failing.map((r) => el('li', {}, words(r))));
}

export function startReceivers() {
  subscribe(render);
}
