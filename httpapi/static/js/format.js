// Numbers and times as people read them. Sizes are decimal (1 MB = 10^6 bytes), as
// the commands print them; all spans round down: a loss window must not look
// shorter than it is by more than its last digit.

const locale = 'en-GB';
const oneDigit = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return '–';
  let unit = 0;
  let value = Math.abs(n);
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? whole : oneDigit;
  return `${n < 0 ? '−' : ''}${digits.format(value)} ${units[unit]}`;
}

export function count(n) {
  return whole.format(Number(n ?? 0));
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// span is a length of time in its two largest units: "9 h 14 min".
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return s % 60 && minutes < 10 ? `${minutes} min ${s % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return days < 14 && hours % 24 ? `${days} days ${hours % 24} h` : `${count(days)} days`;
}

// took is a measured duration, where tenths of a second still mean something.
export function took(ms) {
  if (ms === null || ms === undefined) return 'not known';
  if (ms < 1000) return 'under a second';
  if (ms < 10000) return `${oneDigit.format(ms / 1000)} s`;
  return span(ms / 1000);
}

// The server's clock is the one that counts: a wrong clock on the administrator's
// computer must not make a fresh backup look old. HTTP dates have whole seconds,
// so smaller differences are noise.
let skew = 0;

export function learnClock(httpDate) {
  const theirs = Date.parse(httpDate ?? '');
  if (Number.isNaN(theirs)) return;
  const difference = theirs - Date.now();
  skew = Math.abs(difference) < 2500 ? 0 : difference;
}

export function now() {
  return Date.now() + skew;
}

// Making a formatter costs more than using it a hundred times, and a long table
// formats thousands of times.
const make = (parts) => new Intl.DateTimeFormat(locale, parts);
const dayParts = { day: 'numeric', month: 'short', year: 'numeric' };
const shortDay = { day: 'numeric', month: 'short' };
const clock = { hour: '2-digit', minute: '2-digit' };
const full = make({ ...dayParts, ...clock });
const longDay = make(dayParts);
const briefDay = make(shortDay);
const dayName = make({ weekday: 'short' });
const utcDay = make({ ...shortDay, timeZone: 'UTC' });
const time = make(clock);
const second = { ...clock, second: '2-digit' };
const fullSecond = make({ ...dayParts, ...second });
const timeSecond = make(second);

function valid(at) {
  const date = new Date(at ?? NaN);
  return Number.isNaN(date.getTime()) ? null : date;
}

// moment is the full local time: "25 Nov 2026, 03:00".
export function moment(at) {
  const date = valid(at);
  return date ? full.format(date) : 'at an unknown time';
}

// dateOf leaves out the year of this year.
function dateOf(date) {
  return (date.getFullYear() === new Date(now()).getFullYear() ? briefDay : longDay).format(date);
}

// brief names today and its neighbours: "today, 03:00".
export function brief(at) {
  const date = valid(at);
  if (!date) return '–';
  const today = new Date(now());
  for (const [name, offset] of [['today', 0], ['yesterday', -1], ['tomorrow', 1]]) {
    const day = new Date(today.getFullYear(), today.getMonth(), today.getDate() + offset);
    if (day.toDateString() === date.toDateString()) return `${name}, ${time.format(date)}`;
  }
  return `${dateOf(date)}, ${time.format(date)}`;
}

// label names a backup in buttons and messages: "25 Nov, 12:00".
export function label(at) {
  const date = valid(at);
  return date ? `${dateOf(date)}, ${time.format(date)}` : 'unknown time';
}

// labelExact is label to the second, where two backups have the same minute.
export function labelExact(at) {
  const date = valid(at);
  return date ? `${dateOf(date)}, ${timeSecond.format(date)}` : 'unknown time';
}

// dayKey is the local day as text that sorts: "2026-11-25".
export function dayKey(at) {
  const d = new Date(at);
  const two = (n) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

// weekday is the local day as a heading: "Today", "Yesterday", "Wed 25 Nov", with the date next to the first two.
export function weekday(at) {
  const date = valid(at);
  if (!date) return ['Unknown day', ''];
  const today = new Date(now());
  const name = `${dayName.format(date)} ${dateOf(date)}`;
  for (const [word, offset] of [['Today', 0], ['Yesterday', -1]]) {
    if (new Date(today.getFullYear(), today.getMonth(), today.getDate() + offset).toDateString() === date.toDateString()) return [word, name];
  }
  return [name, ''];
}

export function utc(at) {
  const date = valid(at);
  return date ? `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC` : '';
}

// date is the local day alone, for a time that is not known to the minute.
export function date(at) {
  const when = valid(at);
  return when ? dateOf(when) : '–';
}

// day reads a date without a time, which is a day of UTC.
export function day(date) {
  const at = valid(`${date}T00:00:00Z`);
  return at ? utcDay.format(at) : String(date);
}

// axisDay names a day in little room: "25 Nov".
export function axisDay(at) {
  return briefDay.format(at);
}

export function hhmm(at) {
  const date = valid(at);
  return date ? time.format(date) : '–';
}

// exact is the local time to the second: "25 Nov 2026, 14:31:59".
export function exact(at) {
  const date = valid(at);
  return date ? fullSecond.format(date) : 'at an unknown time';
}

export function hhmmss(at) {
  const date = valid(at);
  return date ? timeSecond.format(date) : '–';
}

export function utcExact(at) {
  const date = valid(at);
  return date ? `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC` : '';
}

// relative is one unit only: "3 hours ago", "in 12 minutes".
export function relative(at) {
  const date = valid(at);
  if (!date) return '';
  const seconds = (date.getTime() - now()) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 45) return seconds > 5 ? 'in a moment' : 'just now';
  const [value, unit] = distance < 3600 ? [distance / 60, 'minute']
    : distance < 2 * 86400 ? [distance / 3600, 'hour']
      : [distance / 86400, 'day'];
  const words = plural(Math.max(1, Math.floor(value)), unit);
  return seconds < 0 ? `${words} ago` : `in ${words}`;
}

export function sentence(words) {
  const s = String(words ?? '').trim();
  if (!s) return '';
  return s[0].toUpperCase() + s.slice(1) + (/[.!?…]$/.test(s) ? '' : '.');
}

// named is a name in a sentence: one that is written from right to left turns nothing else around.
export function named(name) {
  return /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufefc]/.test(name) ? `\u2068${name}\u2069` : name;
}

// excerpt is the beginning of free text, where a long one would push away what matters.
export function excerpt(words) {
  const characters = [...String(words ?? '')];
  return characters.length <= 160 ? characters.join('') : `${characters.slice(0, 160).join('').trimEnd()}…`;
}
