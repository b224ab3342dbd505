// What runs now: a panel in the dock that follows the operation wherever the
// person scrolls, and its outcome, which stays until it is dismissed.

import * as api from './api.js';
import { attr, busy, byId, el, icon, show, text } from './dom.js';
import { bytes, count, label, now, plural, relative, sentence, span, took } from './format.js';
import { keepFocus, notice, say } from './notices.js';
import { knowChanged, may, publish, store, subscribe } from './store.js';
import { titleRunning } from './title.js';
import * as words from './words.js';

const quiet = 6000; // ms without an event after which a running operation is asked for

const patience = 4000; // ms within which every operation shows its first phase, unless it waits

const most = 200; // operations remembered while the page is open

const known = new Map(); // id -> operation
const shown = new Set(); // ids whose outcome was shown
let current = null; // the operation in the panel
let heard = 0; // when it last gave a sign, ms
let announced = ''; // its phase that was read out
const onDone = new Set(); // what is called with each operation that has ended

const rights = { backup: 'create', restore: 'restore', recover: 'restore', 'restore-rows': 'restore', prune: 'delete', sync: 'create' };

export function runningOperation() {
  return [...known.values()].find((operation) => operation.state === 'running') ?? null;
}

export function describe(operation) {
  const by = operation.who === 'automatic' ? words.trigger(operation.trigger) || 'automatic' : operation.who;
  return `${words.doing(operation, store.backups.get(operation.backup))}${by ? ` (${by})` : ''}`;
}

// follow takes in an operation's state from the server.
export function follow(operation) {
  const before = known.get(operation.id);
  if (before && before.state !== 'running') return; // ended: late events change nothing
  known.set(operation.id, operation);
  if (known.size > most) known.delete(known.keys().next().value);
  if (operation.state === 'running') {
    heard = Date.now();
    if (!before) begun(operation);
  } else {
    ended(operation);
  }
  render();
}

function begun(operation) {
  say(`${describe(operation)} has started.`);
  // A user who goes on has read the last good outcome; a failure stays in sight.
  const box = byId('outcome');
  if (operation.who !== 'automatic' && box.dataset.tone !== 'error') hideOutcome();
}

// followRunning takes the whole list of running operations: one that is no longer in it has
// ended while the page was not connected.
export async function followRunning(operations) {
  operations.forEach(follow);
  const ids = new Set(operations.map((operation) => operation.id));
  const lost = [...known.values()].filter((operation) => operation.state === 'running' && !ids.has(operation.id));
  await Promise.all(lost.map(ask));
}

async function ask({ id }) {
  try {
    follow((await api.operation(id)).operation);
  } catch (problem) {
    if (problem.status !== 404) return;
    known.delete(id); // the server forgot it; the activity list still has it
    render();
  }
}

// recall shows, at the start, the last outcome that the user may not have seen.
export async function recall() {
  const operations = (await api.operations(20)).operations ?? [];
  operations.filter((operation) => operation.state === 'running').forEach(follow);
  for (const operation of operations) {
    if (operation.state !== 'running') known.set(operation.id, operation);
  }
  const last = operations.find((operation) => operation.state !== 'running' && !routine(operation));
  const recent = last && Date.now() - Date.parse(last.ended_at) < 3600_000;
  if (recent && !shown.has(last.id) && !seen(last.id)) outcome(last, true);
  render();
}

// What was dismissed is remembered here only as long as the browser lets us.
function seen(id) {
  try {
    return localStorage.getItem('snapd-outcome') === id;
  } catch {
    return false;
  }
}

function dismiss(id) {
  try {
    localStorage.setItem('snapd-outcome', id);
  } catch { /* private mode: it may show once more */ }
  hideOutcome();
}

function hideOutcome() {
  const box = byId('outcome');
  keepFocus(box);
  show(box, false);
}

function ended(operation) {
  if (shown.has(operation.id)) return;
  shown.add(operation.id);
  // Its own outcome must not make the next action on the backup look out of date.
  if (operation.result?.etag) {
    knowChanged(operation.result);
    publish();
  }
  if (routine(operation)) {
    if (operation.kind === 'backup') say('An automatic backup was made.');
  } else {
    outcome(operation, false);
  }
  for (const callback of onDone) callback(operation);
}

const done = {
  backup: (o) => `The backup is done and verified${o.result?.archive_bytes ? `: ${bytes(o.result.archive_bytes)}` : ''}.`,
  verify: (o, name) => (o.result?.verification?.state === 'failed' ? `The backup${name} failed its verification.` : `The backup${name} is verified: it is complete and sound.`),
  drill: (o, name) => `The test restore${name} passed${o.result?.duration_ms ? `: it took ${took(o.result.duration_ms)}` : ''}.`,
  restore: (o, name, b) => (words.isPoint(o.backup) ? `The database is back at recovery point ${o.backup}.` : b?.trigger === 'pre-restore' ? `The restore is undone: the database is back as it was on ${label(b.created_at)}.` : `The backup${name} is restored.`),
  check: (o) => checked(o.result),
  recover: (o, name) => (name ? `The database was damaged, and is recovered from the backup${name}.` : 'The database was damaged, and is recovered.'),
  prune: () => 'Old backups were removed.',
  sync: (o) => `Everything is at ${o.remote}.`,
  'restore-rows': (o) => words.rowsBack(o.result),
};

// Failures that are findings: the operation did its work, and this is what it saw.
const damaged = {
  backup: () => 'No backup was made: the database is damaged.',
  check: () => 'The check found that the database is damaged.',
  verify: (name) => `The backup${name} is damaged: its verification failed.`,
  drill: (name) => `The backup${name} is damaged: its test restore failed.`,
};

function checked(result) {
  const report = result?.reports?.[0] ?? result;
  return report?.verdict ? `The check says: the database is ${words.verdict(report.verdict)}.` : 'The check is done.';
}

// routine is what the schedule does day by day: the table shows it, and an outcome
// that was not asked for would only be in the way.
function routine(operation) {
  return operation.who === 'automatic' && operation.state === 'done' && ['backup', 'prune', 'check', 'verify', 'drill'].includes(operation.kind) && !badly(operation);
}

// badly recognises the operations that ended normally and found something bad.
function badly(operation) {
  if (operation.state === 'failed') return true;
  const result = operation.result ?? {};
  const verdict = result.verdict ?? result.reports?.[0]?.verdict;
  return result.verification?.state === 'failed' || Boolean(verdict && verdict !== 'healthy' && verdict !== 'violations');
}

function headline(operation) {
  const backup = store.backups.get(operation.backup) ?? operation.result;
  const name = words.isPoint(operation.backup) ? ` of recovery point ${operation.backup}`
    : backup?.created_at && operation.kind !== 'backup' ? ` of ${label(backup.created_at)}` : '';
  if (operation.state === 'cancelled') return `The ${words.noun(operation.kind)} was cancelled.${operation.kind.startsWith('restore') ? ' The database was not changed.' : ''}`;
  if (operation.state === 'failed' && operation.error?.code === 'corrupt' && damaged[operation.kind]) return damaged[operation.kind](name);
  if (operation.state === 'failed') return `The ${words.noun(operation.kind)}${name} failed.`;
  return done[operation.kind]?.(operation, name, backup) ?? `${words.noun(operation.kind)}: done.`;
}

function details(operation) {
  if (operation.error) return [operation.error.message, words.aboutRows(operation.error.hint)].filter(Boolean).map(sentence).join(' ');
  if (operation.kind === 'verify') return sentence(operation.result?.verification?.detail);
  return '';
}

function outcome(operation, late) {
  const bad = badly(operation);
  const box = byId('outcome');
  attr(box, 'data-tone', bad ? 'error' : operation.state === 'cancelled' ? 'warn' : 'ok');
  const detail = details(operation);
  const when = late ? `${sentence(relative(operation.ended_at))} ` : '';
  box.replaceChildren(
    icon(bad ? 'cross' : operation.state === 'cancelled' ? 'warn' : 'check'),
    el('div', { class: 'grow' }, el('p', { class: 'strong' }, when + headline(operation)), detail && el('p', { class: 'muted' }, detail)),
    el('button', { type: 'button', class: 'quiet', click: () => dismiss(operation.id) }, icon('close'), el('span', { class: 'hidden' }, 'Dismiss this outcome')));
  show(box, true);
  if (!late) say(`${headline(operation)} ${detail}`, bad);
}

function pace(operation) {
  const { kind, phase, done_bytes: part, total_bytes: whole, rate_bytes_per_second: rate, eta_seconds: eta } = operation;
  const rows = kind === 'restore-rows' && phase === 'write'; // they are what is counted
  return [
    rows ? `${count(part)} of ${plural(whole, 'row')}` : whole > 0 ? `${bytes(part)} of ${bytes(whole)}` : '',
    rate > 0 && !rows ? `${bytes(rate)}/s` : '',
    eta > 0 ? `about ${span(Math.max(1, Math.round(eta)))} left` : '',
  ].filter(Boolean).join(' · ');
}

function percent(operation) {
  return operation.total_bytes > 0 ? Math.min(100, Math.floor((operation.done_bytes / operation.total_bytes) * 100)) : null;
}

// phaseOf explains a beginning that takes long: another program, or the application,
// holds a lock. A check has no phases.
function phaseOf(operation) {
  const waits = !operation.phase && operation.kind !== 'check' && now() - Date.parse(operation.started_at) > patience;
  return waits ? 'Waiting for its turn: something else works on the database or its backups' : words.phase(operation.phase);
}

function render() {
  const operation = runningOperation();
  const panel = byId('operation');
  show(panel, Boolean(operation));
  const share = operation && percent(operation);
  titleRunning(operation ? `${words.doing(operation)}${share === null ? '' : ` ${share} %`}` : '');
  if (!operation) {
    current = null;
    return;
  }
  if (current?.id !== operation.id) announced = operation.phase;
  current = operation;
  text(byId('operation-title'), describe(operation));
  text(byId('operation-phase'), phaseOf(operation));
  text(byId('operation-percent'), share === null ? '' : `${share} %`);
  const lost = store.connection === 'offline';
  text(byId('operation-pace'), lost ? 'As it was when the server was last heard.' : pace(operation));
  const bar = byId('operation-progress');
  if (share === null) bar.removeAttribute('value');
  else {
    bar.max = operation.total_bytes;
    bar.value = operation.done_bytes;
  }
  const button = byId('operation-cancel');
  const mayCancel = operation.cancellable && !lost && may(rights[operation.kind] ?? 'verify');
  if (!mayCancel && document.activeElement === button) panel.focus();
  show(button, Boolean(mayCancel));
  if (operation.phase !== announced) {
    announced = operation.phase;
    say(words.phase(operation.phase));
  }
}

async function cancel() {
  if (!current) return;
  const { id } = current;
  try {
    await api.cancel(id);
    say('Cancelling.');
  } catch (problem) {
    if (problem.status === 401) return;
    notice(problem.code === 'not_cancellable' ? 'It was too late to cancel: the last step had begun' : problem.message, { tone: 'warn', hint: problem.hint });
    ask({ id });
  }
}

// whenEnded has callback called with each operation that ends, until what it returns is called.
export function whenEnded(callback) {
  onDone.add(callback);
  return () => onDone.delete(callback);
}

export function startOperations() {
  const button = byId('operation-cancel');
  button.addEventListener('click', () => busy(button, cancel));
  // A proxy may swallow events; a progress bar must not stand still.
  setInterval(() => {
    if (current && !document.hidden && store.session && Date.now() - heard > quiet) ask(current);
  }, quiet / 2);
  subscribe(() => current && render());
}

export function forgetOperations() {
  known.clear();
  current = null;
  show(byId('operation'), false);
  show(byId('outcome'), false);
  titleRunning('');
}
