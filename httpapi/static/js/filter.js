// Which backups are listed: by kind, words and day. The choice is in the address, so that a
// reload, a bookmark and a colleague have the same list.

import { attr, byId, show } from './dom.js';

const pause = 250; // ms without another key after which the server is asked
const longest = 100; // characters of the words
const none = { kind: '', text: '', day: '' };

export const filter = { ...none };

let changed = () => {};
let typing = 0;

export const isFiltered = () => Boolean(filter.kind || filter.text || filter.day);

// bounds returns the first and the last instant of the chosen day, as the API takes them. A day
// is one of this time zone, or, with a Z at its end, of UTC.
export function bounds() {
  const found = /^(\d{4})-(\d{2})-(\d{2})(Z?)$/.exec(filter.day);
  if (!found) return {};
  const [year, month, date] = found.slice(1, 4).map(Number);
  const begin = (days) => (found[4] ? new Date(Date.UTC(year, month - 1, date + days)) : new Date(year, month - 1, date + days));
  return { from: begin(0).toISOString(), to: new Date(begin(1) - 1).toISOString() };
}

// clean keeps what a filter can be: an address can have anything.
function clean({ kind, text, day }) {
  const at = /^\d{4}-\d{2}-\d{2}Z?$/.test(day ?? '') ? new Date(`${day.slice(0, 10)}T00:00Z`) : NaN;
  return {
    kind: ['auto', 'manual'].includes(kind) ? kind : '',
    text: (text ?? '').trim().slice(0, longest),
    day: Number.isNaN(Number(at)) || !day.startsWith(at.toISOString().slice(0, 10)) ? '' : day,
  };
}

// read takes the filter of the address; null where that has none, as after a link within the page.
function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (location.hash.length > 1 && !Object.keys(none).some((name) => given.has(name))) return null;
  return clean(Object.fromEntries(given));
}

function write() {
  const words = new URLSearchParams(Object.entries(filter).filter(([, value]) => value)).toString();
  history.replaceState(null, '', words ? `#${words}` : location.pathname + location.search);
}

function render() {
  for (const input of document.querySelectorAll('input[name="kind"]')) input.checked = input.value === filter.kind;
  const field = byId('filter-text');
  if (field.value.trim() !== filter.text) field.value = filter.text;
  const day = byId('filter-day');
  if (day.value !== filter.day.slice(0, 10)) day.value = filter.day.slice(0, 10);
  attr(day, 'data-empty', !filter.day);
  show(byId('filter-clear'), isFiltered());
}

// setFilter changes a part of the filter.
export function setFilter(part) {
  clearTimeout(typing);
  const next = clean({ ...filter, ...part });
  const same = Object.keys(none).every((name) => next[name] === filter[name]);
  Object.assign(filter, next);
  render();
  if (same) return;
  write();
  changed();
}

export const clearFilter = () => setFilter(none);

// forgetFilter leaves no words of one user to the next.
export function forgetFilter() {
  clearTimeout(typing);
  Object.assign(filter, none);
  write();
  render();
}

export function startFilter(onChange) {
  Object.assign(filter, read() ?? none);
  render();
  changed = onChange;
  for (const input of document.querySelectorAll('input[name="kind"]')) {
    input.addEventListener('change', () => setFilter({ kind: input.value }));
  }
  const field = byId('filter-text');
  field.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => setFilter({ text: field.value }), pause);
  });
  byId('filter-day').addEventListener('change', (event) => setFilter({ day: event.target.value }));
  byId('filter').addEventListener('submit', (event) => {
    event.preventDefault();
    setFilter({ text: field.value });
  });
  byId('filter-clear').addEventListener('click', () => {
    clearFilter();
    field.focus();
  });
  window.addEventListener('hashchange', () => {
    const given = read();
    if (given) setFilter(given);
  });
}
