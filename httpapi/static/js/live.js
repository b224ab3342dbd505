// The line to the server: server-sent events, and where those fail, asking now
// and then. A proxy that buffers events must not leave the page dead.

import * as api from './api.js';
import { knowCapture, publish, refresh, refreshSoon, refreshStatus, store } from './store.js';

const helloWithin = 8000; // ms until a silent stream counts as one that does not work
const longest = 30_000; // ms between attempts
const statusEvery = 60_000;
const minute = 30_000; // ms between updates of relative times

let source = null;
let attempts = 0;
let retry = 0;
let silence = 0;
let active = false;
let handlers = { operation() {}, running() {}, ended() {} };

function become(connection) {
  if (store.connection !== connection) {
    store.connection = connection;
    publish();
  }
}

function parse(event) {
  try {
    return JSON.parse(event.data);
  } catch {
    return null; // cut off by a proxy; the next event or refresh has the same
  }
}

function drop() {
  source?.close();
  source = null;
  clearTimeout(silence);
  clearTimeout(retry);
}

// failed decides what a failure means: the session's end, a server that cannot be
// reached, or events that do not get through while requests do.
export async function failed() {
  if (!active) return;
  drop();
  attempts += 1;
  if (store.connection === 'live' || store.connection === 'connecting') become('reconnecting');
  const wait = Math.min(longest, 1000 * 2 ** Math.min(attempts - 1, 5)) * (0.75 + Math.random() / 2);
  retry = setTimeout(connect, wait);
  try {
    await refresh();
    if (active && !source) become(attempts > 2 ? 'polling' : 'reconnecting');
  } catch (problem) {
    if (!(problem instanceof api.Problem)) throw problem; // a fault of ours is no lost connection
    if (active && problem.status !== 401 && store.connection !== 'live') become('offline');
  }
}

function connect() {
  if (!active) return;
  drop();
  source = new EventSource(api.eventsURL());
  silence = setTimeout(failed, helloWithin);
  source.addEventListener('error', failed);
  source.addEventListener('hello', async (event) => {
    clearTimeout(silence);
    const hello = parse(event);
    const again = attempts > 0;
    attempts = 0;
    become('live');
    if (hello?.operations) handlers.running(hello.operations);
    // What changed between the first look and this line was reported to no one.
    if (again || hello?.revision !== store.revision) await refresh().catch(failed);
  });
  source.addEventListener('operation', (event) => {
    const operation = parse(event);
    if (operation) handlers.operation(operation);
  });
  source.addEventListener('changed', () => refreshSoon(failed));
  source.addEventListener('captured', (event) => {
    const captured = parse(event);
    if (captured) knowCapture(captured);
  });
  source.addEventListener('bye', (event) => {
    if (parse(event)?.reason === 'session') handlers.ended();
    else failed();
  });
}

export function start(callbacks) {
  handlers = callbacks;
  active = true;
  attempts = 0;
  connect();
}

export function stop() {
  active = false;
  drop();
}

export function retryNow() {
  if (!active) return;
  clearTimeout(retry);
  connect();
}

// keepTime makes relative times move and notices what comes with time alone.
export function keepTime() {
  let last = Date.now();
  setInterval(() => {
    if (document.hidden || !active) return;
    publish();
    if (store.connection === 'live' && Date.now() - last >= statusEvery) {
      last = Date.now();
      refreshStatus().catch(failed);
    }
  }, minute);
  const wake = () => {
    if (document.hidden || !active) return;
    publish();
    if (store.connection === 'live') refreshSoon(failed);
    else retryNow();
  };
  document.addEventListener('visibilitychange', wake);
  window.addEventListener('online', wake);
}
