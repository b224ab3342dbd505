// Everything the page says to the server. The base is relative to the page and
// filled in by the server, so that any prefix or stripping proxy works.

import { learnClock } from './format.js';

const patience = 30_000; // ms; nothing here takes long: long work is an operation

export function base() {
  const path = document.querySelector('meta[name="snapd-api"]').content;
  return new URL(path.endsWith('/') ? path : `${path}/`, document.baseURI);
}

export function url(path) {
  return new URL(path, base()).href;
}

// A Problem is an error that the server explained (RFC 9457), or code
// "unreachable" where it could not be asked at all.
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? '';
    this.hint = body.hint ?? '';
    this.operation = body.operation ?? null;
    this.login = body.login;
    this.retryAfter = retryAfter;
  }
}

let onUnauthorized = () => {};

// whenUnauthorized sets what happens when a session has ended in mid-use.
export function whenUnauthorized(callback) {
  onUnauthorized = callback;
}

function quoted(etag) {
  return /^(W\/)?"/.test(etag) ? etag : `"${etag}"`;
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's own error page: the status is all there is to say.
    if (response.status >= 502 && response.status <= 504) {
      body = { code: 'unreachable', detail: 'The server cannot be reached at the moment.' };
    }
  }
  // Only the built-in token asks for a token; a host's sign-in has its own place.
  if (response.status === 401) body.login ??= response.headers.has('WWW-Authenticate');
  const seconds = Number(response.headers.get('Retry-After'));
  return new Problem(response.status, body, Number.isFinite(seconds) && seconds > 0 ? seconds : null);
}

async function request(method, path, { body, etag, quiet } = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (etag) headers['If-Match'] = quoted(etag);
  let response;
  try {
    response = await fetch(url(path), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(patience),
    });
  } catch {
    throw new Problem(0, { code: 'unreachable', detail: 'The server cannot be reached.' });
  }
  learnClock(response.headers.get('Date'));
  if (!response.ok) {
    const problem = await problemOf(response);
    if (response.status === 401 && !quiet) onUnauthorized(problem);
    throw problem;
  }
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw new Problem(response.status, { code: 'unreachable', detail: 'The answer was cut off or is not from the backup server.' });
  }
}

function query(params) {
  const pairs = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
}

const one = (id) => `backups/${encodeURIComponent(id)}`;

export const session = () => request('GET', 'session', { quiet: true });
// The session's cookie goes to the API only, wherever a proxy has put that.
export const login = (token) => request('POST', 'session', { body: { token, path: base().pathname.replace(/\/$/, '') }, quiet: true });
export const logout = () => request('DELETE', 'session', { quiet: true });

export const status = () => request('GET', 'status');
export const stats = () => request('GET', 'stats');
export const history = (days) => request('GET', `history${query({ days })}`);
export const decisions = () => request('GET', 'retention-plan');
export const activity = (limit, cursor) => request('GET', `activity${query({ limit, cursor })}`);
// backups takes {kind, text, from, to, limit, cursor}, all optional.
export const backups = (chosen) => request('GET', `backups${query(chosen)}`);
export const backup = (id) => request('GET', one(id));
export const tables = (id) => request('GET', `${one(id)}/tables`);
// diff takes {table, op, limit, offset}, all optional, and says what changed from a state to another.
export const diff = (id, other, chosen = {}) => request('GET', `${one(id)}/diff/${encodeURIComponent(other)}${query(chosen)}`);
// log takes {table, from, limit, cursor}, and says which rows each recovery point changed.
export const log = (chosen) => request('GET', `points/log${query(chosen)}`);
export const density = (from, to, buckets) => request('GET', `points/density${query({ from, to, buckets })}`);
export const runs = (from, to) => request('GET', `points/runs${query({ from, to })}`);
export const nearest = (at) => request('GET', `points/nearest${query({ at })}`);
export const operations = (limit) => request('GET', `operations${query({ limit })}`);
export const operation = (id) => request('GET', `operations/${encodeURIComponent(id)}`);

export const create = (note, pin) => request('POST', 'backups', { body: { note, pin } });
// change sets fields of a backup. What else became of it meanwhile, such as a check, is no conflict.
export async function change(b, fields) {
  const set = ({ etag }) => request('PATCH', one(b.id), { body: fields, etag });
  try {
    return await set(b);
  } catch (problem) {
    if (problem.code !== 'stale') throw problem;
    const latest = await backup(b.id);
    if (Object.keys(fields).some((name) => latest[name] !== b[name])) throw problem;
    return set(latest);
  }
}
export const remove = (b) => request('DELETE', one(b.id), { etag: b.etag });
export const removeKept = (name) => request('DELETE', `quarantines/${encodeURIComponent(name)}`);
export const syncRemote = (name) => request('POST', `remotes/${encodeURIComponent(name)}/sync`);
export const verify = (b) => request('POST', `${one(b.id)}/verify`, { body: {}, etag: b.etag });
export const drill = (b) => request('POST', `${one(b.id)}/drill`, { etag: b.etag });
export const planRestore = (b) => request('POST', `${one(b.id)}/restore-plan`, { etag: b.etag });
export const planUndo = () => request('POST', 'undo-plan');
export const acknowledgeRecovery = () => request('POST', 'acknowledge-recovery');
// planRows takes what chooses rows of a table, restoreRows the token of the plan and what becomes of rows that others are in the way of.
export const planRows = (id, chosen) => request('POST', `${one(id)}/rows-plan`, { body: chosen });
export const restoreRows = (id, token, policy) => request('POST', `${one(id)}/rows`, { body: { token, on_conflict: policy } });
export const restore = (id, token, confirm) => request('POST', `${one(id)}/restore`, { body: { token, confirm } });
export const check = () => request('POST', 'check', { body: {} });
export const acceptBreak = () => request('POST', 'accept-break');
export const cancel = (id) => request('DELETE', `operations/${encodeURIComponent(id)}`);

export const eventsURL = () => url('events');
export const downloadURL = (id) => url(`${one(id)}/download`);
