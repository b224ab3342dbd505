// The tail of the activity log: who did what, when, and how it ended.

import * as api from './api.js';
import { arrange, attr, busy, byId, el, icon, show, text, useIcon } from './dom.js';
import { brief, bytes, label, relative, sentence, took, utc } from './format.js';
import { notice } from './notices.js';
import { onRefresh, store, subscribe } from './store.js';
import * as words from './words.js';

const page = 10;
const most = 200; // lines of the server's answer at a time

let entries = [];
let next = null;
let wanted = page;
const lines = new Map(); // key -> {node, update}

const icons = { __proto__: null, done: 'check', failed: 'cross', refused: 'block', cancelled: 'block', unchanged: 'equal', started: 'play', reloaded: 'play', stopped: 'stop' };

function figures(entry) {
  return [
    entry.archive_bytes ? bytes(entry.archive_bytes) : '',
    entry.duration_ms ? took(entry.duration_ms) : '',
  ].filter(Boolean).join(', ');
}

function makeLine(entry) {
  const bad = entry.outcome === 'failed' || entry.outcome === 'refused';
  const time = el('time', { datetime: entry.at, title: utc(entry.at) });
  const mark = icon('check');
  useIcon(mark, icons[entry.outcome] ?? 'info');
  const backup = store.backups.get(entry.backup);
  const name = backup ? label(backup.created_at) : entry.backup;
  const detail = [entry.detail, bad ? '' : figures(entry)].filter(Boolean).join(' · ');
  const person = entry.who === 'automatic' ? 'snapd' : entry.who || 'unknown user';
  const node = el('li', { class: 'event', 'data-tone': bad ? 'error' : null },
    mark,
    el('div', { class: 'grow' },
      el('p', {}, el('span', { class: 'strong' }, person), ` ${words.did(entry)}`, name && el('span', { class: 'muted' }, ` · ${name}`)),
      detail && el('p', { class: bad ? 'detail' : 'muted detail' }, sentence(detail))),
    time);
  const update = () => {
    text(time, brief(entry.at));
    attr(time, 'title', `${relative(entry.at)} · ${utc(entry.at)}`);
  };
  update();
  return { node, update };
}

function keyOf(entry, seen) {
  const base = [entry.at, entry.action, entry.outcome, entry.backup, entry.who, entry.detail, store.backups.has(entry.backup)].join('|');
  const nth = seen.get(base) ?? 0;
  seen.set(base, nth + 1);
  return `${base}|${nth}`;
}

function render() {
  const seen = new Map();
  const keys = entries.map((entry) => keyOf(entry, seen));
  keys.forEach((key, i) => {
    if (!lines.has(key)) lines.set(key, makeLine(entries[i]));
  });
  const wantedKeys = new Set(keys);
  for (const key of lines.keys()) {
    if (!wantedKeys.has(key)) lines.delete(key);
  }
  for (const line of lines.values()) line.update();
  arrange(byId('activity-list'), keys.map((key) => lines.get(key).node));
  show(byId('activity-empty'), store.asOf > 0 && entries.length === 0);
  show(byId('activity-more'), Boolean(next));
}

async function load() {
  let got = [];
  let cursor = '';
  do {
    const answer = await api.activity(Math.min(most, wanted - got.length), cursor);
    got = got.concat(answer.activity ?? []);
    cursor = answer.next_cursor;
  } while (cursor && got.length < wanted);
  entries = got;
  next = cursor || null;
}

export function startActivity() {
  onRefresh(load);
  subscribe(render);
  const button = byId('activity-more');
  button.addEventListener('click', () => busy(button, async () => {
    wanted = entries.length + page * 3;
    const last = byId('activity-list').lastElementChild;
    try {
      await load();
    } catch (problem) {
      if (problem.status !== 401) notice(problem.message, { tone: 'error', hint: problem.hint });
      return;
    }
    render();
    if (button.hidden) {
      // The button that had the focus is gone: go on where the new lines begin.
      const first = last?.nextElementSibling;
      first?.setAttribute('tabindex', '-1');
      first?.focus();
    }
  }));
}
