// Whether what is on the screen is true now, and since when it may not be.

import { attr, byId, show, text } from './dom.js';
import { hhmm } from './format.js';
import * as live from './live.js';
import { say } from './notices.js';
import { store, subscribe } from './store.js';

const short = { connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', polling: 'Delayed', offline: 'Not connected' };

const long = {
  reconnecting: 'The connection was lost. Reconnecting…',
  polling: 'Live updates do not get through, so this page asks every half minute instead.',
  offline: 'The server cannot be reached. Check that it is running; this page tries again by itself.',
};

let before = 'connecting';

function render() {
  const { connection } = store;
  text(byId('live-words'), short[connection]);
  attr(byId('live'), 'data-connection', connection);
  const words = long[connection];
  show(byId('connection'), Boolean(words));
  attr(byId('connection'), 'data-connection', connection);
  if (words) {
    text(byId('connection-words'), words);
    text(byId('connection-since'), store.asOf ? `Shown as of ${hhmm(store.asOf)}.` : '');
  }
  attr(byId('main'), 'data-stale', connection === 'offline' || connection === 'reconnecting');
  if (connection === before) return;
  if (connection === 'offline') say(`${long.offline} What is shown is as of ${hhmm(store.asOf)}.`, true);
  else if (connection === 'live' && before !== 'connecting') say('Connected again. What is shown is up to date.');
  before = connection;
}

export function startConnection() {
  byId('connection-again').addEventListener('click', live.retryNow);
  subscribe(render);
}
