// Starting: who is there, may they look, and the way into and out of the page. The
// page itself is loaded after the first paint, which needs none of it.

import * as api from './api.js';
import { busy, byId, text } from './dom.js';
import { showHost, showLogin, startLogin, takeFragment, tryToken } from './login.js';

let builtin = true; // whether the token is ours to ask for, as the server last said
let page = null;

// A tab in the background paints nothing, so that painting cannot be waited for there.
const painted = new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, 300);
});

const loading = painted.then(() => import('./page.js'));
loading.catch(() => {}); // enter() deals with it

function unreachable(problem) {
  document.body.dataset.view = 'unreachable';
  document.title = 'Not reachable · Backups';
  text(byId('unreachable-detail'), problem.code === 'unreachable' ? '' : problem.message);
  byId('unreachable-title').focus();
}

function barred(session) {
  document.body.dataset.view = 'barred';
  document.title = 'No access · Backups';
  text(byId('barred-name'), session.name ? ` as ${session.name}` : '');
  byId('barred-title').focus();
}

function ask(why) {
  if (builtin) showLogin(why);
  else showHost();
}

// leave ends what a session had begun. The page stays behind the login, as it was.
function leave(why) {
  const talking = page?.stop(why);
  ask(talking ? `${why} The open dialog was closed, and nothing was changed by it.` : why);
}

function expired(problem) {
  if (document.body.dataset.view === 'login') return;
  if (typeof problem?.login === 'boolean') builtin = problem.login;
  leave('Your session has ended. Log in to go on.');
}

// enter shows the page when there is a session.
async function enter() {
  try {
    const session = await api.session();
    builtin = session.login !== false;
    if (!session.name && !session.rights?.length) {
      ask('');
      return;
    }
    if (!session.rights?.includes('view')) {
      barred(session);
      return;
    }
    page = await loading.catch(() => { throw new api.Problem(0, { code: 'unreachable', detail: 'Parts of this page could not be loaded.' }); });
    await page.enter(session, { expired, loggedOut: () => leave('You are logged out.') });
  } catch (problem) {
    if (!(problem instanceof api.Problem)) {
      unreachable({ message: 'This page met something that it does not understand: it may be older than the server.' });
      throw problem;
    }
    if (problem.status !== 401) {
      unreachable(problem);
      return;
    }
    if (typeof problem.login === 'boolean') builtin = problem.login;
    if (document.body.dataset.view !== 'login' || !builtin) ask('');
  }
}

async function again() {
  // A browser may remember that a module could not be loaded, until a reload.
  if (await loading.then(() => false, () => true)) location.reload();
  else await enter();
}

function start() {
  api.whenUnauthorized(expired);
  startLogin(enter);
  for (const id of ['unreachable-again', 'login-again', 'barred-again']) {
    const button = byId(id);
    button.addEventListener('click', () => busy(button, again));
  }
  const token = takeFragment();
  if (token) tryToken(token);
  else enter();
}

start();
