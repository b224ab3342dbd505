// The banner about recoveries that lost something. It stays until a person who may restore says
// that it is known.

import * as api from './api.js';
import { busy, byId, el, show } from './dom.js';
import { brief, sentence, utc } from './format.js';
import { failed } from './live.js';
import { attempt } from './problems.js';
import { may, refresh, store, subscribe } from './store.js';

function line(r) {
  const did = r.action === 'repaired' ? 'repaired' : 'recovered from a backup';
  const kept = r.kept ? [' The damaged file is kept as ', el('code', {}, r.kept), '.'] : '';
  return el('li', { title: utc(r.at) }, `It was ${did} ${brief(r.at)}. Lost: ${sentence(r.loses)}`, kept);
}

function render() {
  const all = store.status?.recovered ?? [];
  const banner = byId('recovered-banner');
  if (all.length) byId('recovered-list').replaceChildren(...all.map(line));
  else if (banner.contains(document.activeElement)) byId('main').focus({ preventScroll: true });
  show(banner, all.length > 0);
  show(byId('recovered-seen'), may('restore'));
}

export function startRecovered() {
  const button = byId('recovered-seen');
  button.addEventListener('click', () => busy(button, async () => {
    if (await attempt(api.acknowledgeRecovery)) await refresh().catch(failed);
  }));
  subscribe(render);
}
