// Logging in with the token, from the form or from the address that the server
// printed, and what takes the form's place where the host application decides.

import * as api from './api.js';
import { attr, busy, byId, show, text } from './dom.js';
import { plural } from './format.js';

let succeed = async () => {};
let waiting = 0;

// takeFragment returns the token of "#token=…" and removes it from the address at
// once, so that it stays neither in the history nor in a screenshot.
export function takeFragment() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return '';
  history.replaceState(null, '', location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

function complain(words) {
  text(byId('login-error'), words);
  attr(byId('login-token'), 'aria-invalid', words ? 'true' : null);
}

// hold counts down what Retry-After said; trying earlier would only make it longer.
function hold(seconds) {
  clearInterval(waiting);
  const until = Date.now() + seconds * 1000;
  const button = byId('login-submit');
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left > 0) {
      text(button, `Wait ${left} s`);
      attr(button, 'aria-disabled', 'true');
      return;
    }
    clearInterval(waiting);
    waiting = 0;
    text(button, 'Log in');
    attr(button, 'aria-disabled', null);
    complain('');
  };
  tick();
  waiting = setInterval(tick, 500);
}

function explain(problem) {
  if (problem.status === 429) {
    const seconds = problem.retryAfter ?? 30;
    complain(`Too many attempts. You can try again in ${plural(seconds, 'second')}.`);
    hold(seconds);
  } else if (problem.code === 'unreachable') {
    complain('The server cannot be reached. Check that it is running, then try again.');
  } else if (problem.status === 404 || problem.status === 405) {
    showHost();
  } else if (problem.status === 401 || problem.status === 403 || problem.status === 422) {
    complain('That is not the token. It is the one line of the token file on the server.');
  } else {
    complain(problem.message);
  }
}

export async function tryToken(token) {
  try {
    await api.login(token);
  } catch (problem) {
    showLogin();
    explain(problem);
    byId('login-token').focus();
    return false;
  }
  byId('login-token').value = '';
  complain('');
  await succeed();
  return true;
}

// showLogin brings the form; why says what happened before.
export function showLogin(why = '') {
  document.body.dataset.view = 'login';
  document.title = 'Log in · Backups';
  show(byId('login-form'), true);
  show(byId('login-host'), false);
  text(byId('login-title'), 'Log in');
  text(byId('login-why'), why);
  if (!waiting) complain('');
  byId('login-token').focus();
}

// showHost is for a page inside an application that has logins of its own.
export function showHost() {
  document.body.dataset.view = 'login';
  document.title = 'Not signed in · Backups';
  show(byId('login-form'), false);
  show(byId('login-host'), true);
  text(byId('login-title'), 'Sign in to the application');
  byId('login-title').focus();
}

export function startLogin(onSuccess) {
  succeed = onSuccess;
  const button = byId('login-submit');
  const field = byId('login-token');
  byId('login-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (waiting) return;
    const token = field.value.trim();
    if (!token) {
      complain('Enter the token first.');
      field.focus();
      return;
    }
    busy(button, () => tryToken(token));
  });
  byId('login-peek').addEventListener('change', (event) => {
    attr(field, 'type', event.target.checked ? 'text' : 'password');
  });
  // The address with the token, pasted into the tab that is open already.
  window.addEventListener('hashchange', () => {
    const token = takeFragment();
    if (token) tryToken(token);
  });
}
