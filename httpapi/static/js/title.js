// The window's title: it says how things stand while the tab is in the background.

import { store, subscribe } from './store.js';
import * as words from './words.js';

let running = '';

function render() {
  const { status, connection, session } = store;
  if (!session || document.body.dataset.view !== 'page') return; // the login has its own title
  const state = status ? words.states[status.state] ?? status.state : 'State not known';
  const parts = [running, connection === 'offline' ? `(not connected) ${state}` : state, session.database, 'Backups'];
  const title = parts.filter(Boolean).join(' · ');
  if (document.title !== title) document.title = title;
}

// titleRunning puts what runs in front, "" for nothing.
export function titleRunning(what) {
  running = what;
  render();
}

export function startTitle() {
  subscribe(render);
}
