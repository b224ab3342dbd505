// Whether commits are captured now, and until when: the sentence above the time axis.

import { byId, text } from './dom.js';
import { exact, now, sentence } from './format.js';
import { store, subscribe } from './store.js';

// words says how well the present is covered, or why it is not.
function words({ continuous, loss_window_seconds: window }) {
  if (!continuous || continuous.state === 'off') return 'Commits are not captured now: only the states on the axis can be had back.';
  if (continuous.state === 'gap') return `Commits are not captured: ${sentence(continuous.what)}`;
  if (!continuous.point) return 'Capturing begins with the next backup.';
  const until = ago(continuous.at);
  if (continuous.state === 'behind') return `Capturing is behind: the last capture was made ${until}.`;
  return window === 0 ? `Every commit is captured. The last capture was made ${until}.` : `Every commit is captured until ${until}.`;
}

function ago(at) {
  const seconds = (now() - Date.parse(at)) / 1000;
  return seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s ago` : exact(at);
}

function render() {
  if (store.status) text(byId('moment-words'), words(store.status));
}

export function startCapturing() {
  subscribe(render);
  setInterval(() => {
    if (!document.hidden && document.body.dataset.view === 'page') render();
  }, 1000);
}
