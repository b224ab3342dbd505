// The page behind the login: starts its parts once, and connects them.

import * as actions from './actions.js';
import * as api from './api.js';
import { startActivity } from './activity.js';
import { forgetBackups, showDay, startBackups } from './backups.js';
import { startBreaks } from './breaks.js';
import { startCapturing } from './capturing.js';
import { startConnection } from './connection.js';
import { startCreate } from './create.js';
import { closeAll } from './dialog.js';
import { busy, byId, show, text } from './dom.js';
import { startHistory } from './history.js';
import { startKept } from './kept.js';
import * as live from './live.js';
import { clearNotices, notice, watchDock } from './notices.js';
import { follow, followRunning, forgetOperations, recall, startOperations, whenEnded } from './operations.js';
import { attempt } from './problems.js';
import { startReceivers } from './receivers.js';
import { startRecovered } from './recovered.js';
import { startRemotes } from './remotes.js';
import { restore } from './restore.js';
import { startStatus } from './status.js';
import { startTitle } from './title.js';
import { forget, may, publish, refresh, store, subscribe } from './store.js';
import { startUndo } from './undo.js';

let started = false;
let moment = null; // the time axis, once it is loaded
let place = null; // where the user was when the session ended
const away = ['offline', 'reconnecting']; // states of the connection
let way = { expired() {}, loggedOut() {} };

async function logout() {
  await attempt(() => api.logout());
  way.loggedOut();
  place = null;
  // The next user on this computer may have other rights.
  forget();
  forgetOperations();
  forgetBackups();
  moment?.forgetMoment();
}

async function newest() {
  const backups = (await api.backups({ limit: 20 })).backups ?? [];
  return backups.find((b) => b.verification.state === 'unverified') ?? backups[0];
}

// remedies are what the button of the verdict does.
const remedies = {
  create: () => actions.create('', false),
  check: actions.check,
  sync: async () => {
    const late = store.status.remotes.filter((r) => r.state === 'behind' || r.state === 'stopped');
    await Promise.all(late.map((r) => actions.sync(r.name)));
  },
  verifyNewest: async () => {
    const b = await attempt(newest);
    if (b) await actions.verify(b);
  },
  restoreNewest: async (opener) => {
    const point = store.status.continuous?.proven;
    const b = point ? { id: point } : await attempt(() => api.backup(store.status.newest_verified));
    if (b) await restore(b, opener);
  },
};

let coming = null;

function loadMoment() {
  coming ??= import('./moment.js').then(async (loaded) => {
    moment = loaded;
    await moment.startMoment();
  }, () => { coming = null; }); // the server has gone: the connection comes to know it
  return coming;
}

// startLater loads the time axis, which is below the fold, when it is about to be seen or the
// user begins to act. Its room is kept until then. Without the server, which the page says is
// away, it is loaded when that is back.
function startLater() {
  const signs = ['keydown', 'pointerdown', 'pointermove', 'wheel', 'touchstart'];
  let wanted = false;
  const load = () => {
    if (!moment) show(byId('moment-tools'), Boolean(store.status?.newest_verified));
    if (wanted && !away.includes(store.connection)) loadMoment();
  };
  const want = () => {
    wanted = true;
    near.disconnect();
    for (const sign of signs) window.removeEventListener(sign, want);
    load();
  };
  const near = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && want(), { rootMargin: '0px 0px -25%' });
  near.observe(byId('moment'));
  for (const sign of signs) window.addEventListener(sign, want, { passive: true });
  subscribe(load);
}

// showRun leads to the recovery points between two backups on the time axis.
async function showRun(run) {
  await loadMoment();
  await moment?.showRun(run);
}

// showBefore leads to what was there before a time.
export async function showBefore(at) {
  await loadMoment();
  await moment?.showBefore(at);
}

function start() {
  started = true;
  watchDock();
  startTitle();
  startStatus(remedies);
  startBreaks();
  startReceivers();
  startRemotes();
  startRecovered();
  startUndo();
  startOperations();
  whenEnded(() => refresh().catch(live.failed));
  startCreate();
  startHistory(showDay);
  startCapturing();
  startLater();
  startBackups(showRun);
  startKept();
  startActivity();
  startConnection();
  live.keepTime();
  byId('logout').addEventListener('click', () => busy(byId('logout'), logout));
  for (const fault of ['error', 'unhandledrejection']) {
    window.addEventListener(fault, () => notice('Something in this page went wrong', { tone: 'error', hint: 'Reload the page. Your backups are not affected' }));
  }
}

// enter fetches everything and shows it at once, so that nothing moves afterwards.
export async function enter(session, callbacks) {
  way = callbacks;
  if (!started) start();
  store.session = session;
  await refresh();
  await recall(); // after it, to know the backups that outcomes are about
  text(byId('database-name'), session.database);
  text(byId('person'), session.name);
  show(byId('logout'), session.login !== false);
  text(byId('version'), session.version ? `snapd ${session.version}` : '');
  show(byId('create-card'), may('create'));
  const returning = document.body.dataset.view === 'login';
  document.body.dataset.view = 'page';
  publish();
  if (returning) goBack();
  live.start({ operation: follow, running: followRunning, ended: () => way.expired(null) });
}

// goBack continues where the user was, or begins at the verdict.
function goBack() {
  if (place?.element.isConnected && place.element.checkVisibility()) place.element.focus({ preventScroll: true });
  else byId('state-title').focus({ preventScroll: true });
  scrollTo(0, place?.top ?? 0);
  place = null;
}

// stop ends the connection and every dialog; it reports whether one was open.
export function stop(why) {
  live.stop();
  clearNotices();
  const open = closeAll(why);
  place = { top: scrollY, element: document.activeElement };
  return open;
}
