// Going back to a moment, which is chosen on the time axis, by keyboard or by typing, and the
// states before and after it are offered with what each would lose.

import * as api from './api.js';
import { draw, drawHover, place, rangeOf, scales } from './axis.js';
import { attr, busy, byId, el, icon, makeTurns, show, text } from './dom.js';
import { exact, hhmmss, now, plural, span, utcExact } from './format.js';
import { parse } from './localtime.js';
import { say } from './notices.js';
import { loadInside } from './panel.js';
import { attempt } from './problems.js';
import { restore } from './restore.js';
import { may, onRefresh, store, subscribe } from './store.js';
import * as words from './words.js';

const buckets = 240;
const pause = 150; // ms without another choice after which the server is asked

let scale = 'days';
let chosen = null; // ms
let density = null;
let found = null; // {before, after, lost} for the chosen moment
let asking = null; // the turn of the moment that was asked about last
let timer = 0;
let newest = ''; // the point of the change log that the axis was drawn with

const iso = (at) => new Date(at).toISOString();
const present = (at) => (at === null || at === undefined ? null : Date.parse(at));

function range() {
  return rangeOf(scale, chosen, density ? Date.parse(density.now) : now());
}

const [loads, choices] = [makeTurns(), makeTurns()];

async function load() {
  const isLast = loads();
  const { from, to } = rangeOf(scale, chosen, now());
  const answer = await api.density(iso(from), iso(to), buckets);
  if (isLast()) density = { ...answer, now: iso(now()) };
}

function redraw() {
  const node = byId('axis-drawing');
  const width = Math.floor(node.getBoundingClientRect().width);
  if (!width || !density) return;
  const backups = [...store.backups.values()].filter((b) => b.verification.state === 'verified').map((b) => Date.parse(b.created_at));
  draw(node, { range: range(), scale, width, density, backups, chosen, before: present(found?.before?.at) });
}

// value informs assistive software where the slider is.
function value() {
  const axis = byId('axis');
  const { from, to } = range();
  attr(axis, 'aria-valuemin', Math.floor(from / 1000));
  attr(axis, 'aria-valuemax', Math.floor(to / 1000));
  attr(axis, 'aria-valuenow', Math.floor((chosen ?? to) / 1000));
  const before = found?.before ? `, with the state of ${hhmmss(found.before.at)} before it` : '';
  attr(axis, 'aria-valuetext', chosen === null ? 'No moment is chosen' : `${exact(chosen)}${before}`);
}

// choose takes a moment, and asks for the states around it.
function choose(at, { typed = false } = {}) {
  const oldest = (present(density?.oldest) ?? 0) + 1; // times of states are finer than ms
  chosen = Math.min(now(), Math.max(oldest, Math.round(at)));
  found = null;
  asking = choices();
  show(byId('moment-inside'), false);
  if (!typed) {
    byId('moment-time').value = local(chosen);
    complain('');
  }
  redraw();
  value();
  clearTimeout(timer);
  timer = setTimeout(() => attempt(find), pause);
}

// local is a moment as it can be typed: to the second, the day before the time.
function local(at) {
  const d = new Date(at);
  const two = (n) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

async function find() {
  const isLast = (asking = choices());
  const { from, to } = range();
  const [answer] = await Promise.all([api.nearest(iso(chosen)), scale === 'hour' || chosen < from || chosen > to ? load() : null]);
  if (!isLast()) return;
  found = answer;
  render();
  const heard = [found.before && `Before it: ${exact(found.before.at)}.`, found.after && `After it: ${exact(found.after.at)}.`];
  say(heard.filter(Boolean).join(' ') || 'There is no state to go back to.');
}

// lostBy says what going back to a point would lose. Points whose commits were not counted
// have at least one each.
function lostBy(point, isAfter) {
  if (!isAfter && !found.after && store.status.covered) return 'Nothing is lost: the database is unchanged since.';
  const own = isAfter && point.from !== null;
  const uncounted = found.lost.uncounted - (own && !point.commits ? 1 : 0);
  const commits = found.lost.commits - (own ? point.commits : 0) + uncounted;
  const counted = commits > 0 ? `: ${uncounted ? 'at least ' : ''}${plural(commits, 'commit')}` : '';
  return `All changes since are lost, those of ${span((now() - Date.parse(point.at)) / 1000)}${counted}.`;
}

function what(point) {
  if (point.kind === 'backup') {
    const b = store.backups.get(point.backup);
    return b ? `${words.kind(b).toLowerCase()} backup, ${words.trigger(b.trigger)}` : 'backup';
  }
  return point.commits ? plural(point.commits, 'commit') : 'commits, not counted';
}

function card(side, point) {
  const isAfter = side === 'after';
  const distance = span(Math.abs(Date.parse(point.at) - chosen) / 1000);
  const go = el('button', { type: 'button', class: isAfter ? '' : 'primary', 'data-testid': `moment-${side}-restore` }, `Go back to ${hhmmss(point.at)}…`);
  go.addEventListener('click', () => busy(go, () => restore(subject(point), go)));
  const step = el('button', { type: 'button', class: 'quiet', 'data-testid': `moment-${side}-step` }, isAfter ? 'Later' : 'Earlier');
  step.addEventListener('click', () => choose(isAfter ? Date.parse(point.at) + 1 : Date.parse(point.at) - 1));
  show(go, may('restore'));
  const look = el('button', { type: 'button', class: 'quiet', 'data-testid': `moment-${side}-inside` }, 'Look inside');
  look.addEventListener('click', () => busy(look, () => lookInside(point)));
  return [
    el('h3', {}, isAfter ? 'The first state after it' : 'The last state before it'),
    el('p', { class: 'when' }, el('time', { class: 'strong', datetime: point.at }, exact(point.at)), ' ', el('span', { class: 'muted small' }, utcExact(point.at))),
    el('p', { class: 'muted small' }, `${distance} ${isAfter ? 'after' : 'before'} the chosen moment · ${what(point)}`),
    point.state === 'damaged' && el('p', { class: 'problem' }, icon('warn'), el('span', {}, 'The change log is damaged where it may need it: it is proven before anything is replaced, and that can fail.')),
    el('p', {}, lostBy(point, isAfter)),
    el('p', { class: 'buttons' }, go, look, step),
  ].filter(Boolean);
}

// lookInside shows the tables of a state below the two.
async function lookInside(point) {
  const heading = el('h3', { tabindex: '-1' }, `Inside the state of ${hhmmss(point.at)}`);
  const place = el('div', {});
  byId('moment-inside').replaceChildren(heading, place);
  show(byId('moment-inside'), true);
  await loadInside(place, { id: point.backup ?? point.id, at: point.at, name: `the state of ${exact(point.at)}` });
}

// subject is a point as the restore dialogs take it.
const subject = (point) => store.backups.get(point.backup) ?? { id: point.backup ?? point.id };

// between says what is known of the time between the two states.
function between() {
  const { before, after } = found;
  if (!before && !after) return 'There is no state to go back to.';
  if (!after) return 'Nothing was captured after it: this is the newest state.';
  if (!before) return 'Nothing older is kept.';
  if (!after.from) return 'What was committed in between was not captured.';
  if (chosen <= Date.parse(after.from)) return `Nothing was committed in between: at ${hhmmss(chosen)} the database was in the first of the two states.`;
  return `What was committed between ${hhmmss(after.from)} and ${hhmmss(after.at)} was captured together: there is no state in between.`;
}

let shown = '';

function renderFound() {
  const key = JSON.stringify([found, chosen, store.session?.rights, Math.floor(now() / 10_000)]);
  if (key === shown) return;
  shown = key;
  show(byId('moment-found'), chosen !== null);
  text(byId('moment-between'), found ? between() : '');
  for (const side of ['before', 'after']) {
    const box = byId(`moment-${side}`);
    const point = found?.[side];
    const held = box.contains(document.activeElement) ? document.activeElement.dataset.testid : '';
    box.replaceChildren(...(point ? card(side, point) : []));
    show(box, Boolean(point));
    if (held) (box.querySelector(`[data-testid="${held}"]`) ?? byId('axis')).focus({ preventScroll: true });
  }
}

function render() {
  if (!store.status) return;
  const any = Boolean(density?.oldest);
  show(byId('moment-tools'), any);
  if (!any) return;
  text(byId('moment-reach'), `Oldest state: ${exact(density.oldest)}.`);
  redraw();
  value();
  renderFound();
}

function complain(problem) {
  const field = byId('moment-time');
  text(byId('moment-problem'), problem);
  attr(field, 'aria-invalid', problem ? 'true' : null);
  show(byId('moment-twice'), false);
}

// submit takes what was typed. A time in an hour that came twice is asked for again.
function submit(event) {
  event.preventDefault();
  const { times, problem } = parse(byId('moment-time').value, now());
  if (problem) complain(problem);
  else if (times.at(0) > now() + 1000) complain('That is in the future.');
  else if (times.length > 1) twice(times);
  else {
    complain('');
    choose(times[0], { typed: true });
  }
  if (problem) byId('moment-time').focus();
}

function twice(times) {
  complain('');
  const box = byId('moment-twice');
  box.replaceChildren(el('p', {}, 'The clocks were set back: this time came twice.'),
    el('p', { class: 'buttons' }, times.map((at, i) => {
      const button = el('button', { type: 'button', 'data-testid': `moment-twice-${i + 1}` }, `${i ? 'The second' : 'The first'} (${utcExact(at)})`);
      button.addEventListener('click', () => {
        complain('');
        choose(at, { typed: true });
        byId('axis').focus({ preventScroll: true });
      });
      return button;
    })));
  show(box, true);
  box.querySelector('button').focus();
}

function keydown(event) {
  const { step, leap } = scales[scale];
  const { from, to } = range();
  const small = event.shiftKey ? 1000 : step;
  const at = chosen ?? to;
  const target = {
    ArrowLeft: at - small, ArrowDown: at - small, ArrowRight: at + small, ArrowUp: at + small,
    PageDown: at - leap, PageUp: at + leap, Home: from, End: to,
  }[event.key];
  if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  choose(target);
}

function startPointing(axis) {
  const node = byId('axis-drawing');
  const at = (event) => {
    const box = node.getBoundingClientRect();
    return place(range(), box.width).time(event.clientX - box.left);
  };
  const to = (event) => choose(Math.round(at(event) / 1000) * 1000);
  axis.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    axis.setPointerCapture(event.pointerId);
    to(event);
  });
  axis.addEventListener('pointermove', (event) => {
    if (axis.hasPointerCapture(event.pointerId)) to(event);
    else if (event.pointerType === 'mouse') drawHover(node, range(), node.getBoundingClientRect().width, event.clientX - node.getBoundingClientRect().left);
  });
  axis.addEventListener('pointerleave', () => drawHover(node, null, 0, null));
}

async function rescale(name) {
  scale = name;
  await attempt(load);
  render();
}

// scaleOf is the finest scale that shows a span of time. The finest of all shows any.
function scaleOf(from, to) {
  if (to - from < scales.hour.span) return 'hour';
  return ['days', 'month'].find((name) => now() - from < scales[name].span) ?? 'hour';
}

// lead brings a moment on the axis into sight, on a scale that shows a span of time.
function lead(at, first, last) {
  scale = scaleOf(first, last);
  for (const input of document.querySelectorAll('input[name="scale"]')) input.checked = input.value === scale;
  choose(at);
  byId('moment').scrollIntoView({ block: 'start' });
}

// showBefore shows the inside of the last state before a time.
export async function showBefore(time) {
  const at = Date.parse(time) - 1; // times of states are finer than ms
  lead(at, at, at);
  clearTimeout(timer);
  await attempt(find);
  if (chosen !== at || !found?.before) {
    byId('axis').focus({ preventScroll: true });
    return;
  }
  const inside = lookInside(found.before);
  byId('moment-inside').firstElementChild.focus();
  await inside;
}

// showRun shows a span of recovery points, with the last one chosen.
export async function showRun({ from, to }) {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  lead(last + 1, first, last); // times of states are finer than ms
  byId('axis').focus({ preventScroll: true });
  await attempt(load);
  render();
}

const often = 10_000; // ms between two looks at the density while commits are captured

// keepUp has the newest commits appear on the axis.
function keepUp() {
  const point = store.status?.continuous?.point;
  if (!density || !point || point === newest || now() - Date.parse(density.now) < often) return;
  newest = point;
  attempt(refreshed).then(render);
}

async function refreshed() {
  const isLast = asking;
  await load();
  if (chosen === null) return;
  const answer = await api.nearest(iso(chosen));
  if (isLast === asking) found = answer;
}

// startMoment begins when the rest of the page is there.
export async function startMoment() {
  await attempt(refreshed);
  onRefresh(refreshed);
  subscribe(render);
  const axis = byId('axis');
  axis.addEventListener('keydown', keydown);
  startPointing(axis);
  byId('moment-form').addEventListener('submit', submit);
  for (const input of document.querySelectorAll('input[name="scale"]')) {
    input.addEventListener('change', () => rescale(input.value));
  }
  new ResizeObserver(redraw).observe(byId('axis-drawing'));
  setInterval(() => {
    if (!document.hidden && store.status && document.body.dataset.view === 'page') keepUp();
  }, 1000);
  render();
  byId('moment').removeAttribute('data-loading');
}

export function forgetMoment() {
  density = null;
  chosen = null;
  found = null;
  byId('moment-inside').replaceChildren();
  byId('moment-time').value = '';
  complain('');
}
