// Times as people type them, in the browser's time zone. The forms are those of the
// command's --at.

const clock = String.raw`(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?`;
const forms = {
  ago: /^-\s*(\d+)\s*(s|m|h|d)$/,
  zoned: new RegExp(String.raw`^(\d{4})-(\d{2})-(\d{2})[T ]+${clock}\s*(Z|UTC|[+-]\d{2}:?\d{2})$`, 'i'),
  dated: new RegExp(String.raw`^(\d{4})-(\d{2})-(\d{2})[T ]+${clock}$`, 'i'),
  timed: new RegExp(`^${clock}$`),
};
const unit = { s: 1000, m: 60_000, h: 3600_000, d: 86_400_000 };
const day = 86_400_000;

// wall is a reading of a clock on a wall as milliseconds, in any zone; null where no
// clock shows it.
function wall(year, month, date, hour, minute, second) {
  const parts = [year, month - 1, date, hour, minute, Math.floor(second)].map(Number);
  const at = Date.UTC(...parts);
  const back = new Date(at);
  const same = [back.getUTCFullYear(), back.getUTCMonth(), back.getUTCDate(), back.getUTCHours(), back.getUTCMinutes(), back.getUTCSeconds()];
  return same.every((part, i) => part === parts[i]) ? at + Math.floor((second % 1) * 1000) : null;
}

const offset = (at) => new Date(at).getTimezoneOffset() * 60_000;

// instants returns when a clock on the wall showed a reading: once, twice in the hour that is
// set back, and never in the hour that is skipped.
export function instants(reading) {
  const candidates = new Set([reading + offset(reading - day), reading + offset(reading + day)]);
  return [...candidates].filter((at) => at - offset(at) === reading).sort((a, b) => a - b);
}

// zoneOf reads "+02:00" as milliseconds.
function zoneOf(zone) {
  const parts = /^([+-])(\d{2}):?(\d{2})$/.exec(zone);
  return parts ? (parts[1] === '-' ? -1 : 1) * (Number(parts[2]) * 60 + Number(parts[3])) * 60_000 : 0;
}

const unknown = { times: [], problem: 'That is not a time. Type it as 14:31:59, 2026-11-25 14:31:59, or -10m.' };
const skipped = { times: [], problem: 'No clock showed that time: it is in the hour that was skipped when the clocks went forward.' };

function local(reading) {
  if (reading === null) return unknown;
  const times = instants(reading);
  return times.length ? { times } : skipped;
}

// parse returns the instants that typed can mean, in ms, with the problem where there is none.
// A time of day is the last one before now.
export function parse(typed, now) {
  const words = typed.trim();
  let found = forms.ago.exec(words);
  if (found) return { times: [now - Number(found[1]) * unit[found[2]]] };
  found = forms.zoned.exec(words);
  if (found) {
    const reading = wall(...found.slice(1, 6), found[6] ?? 0);
    return reading === null ? unknown : { times: [reading - zoneOf(found[7])] };
  }
  found = forms.dated.exec(words);
  if (found) return local(wall(...found.slice(1, 6), found[6] ?? 0));
  found = forms.timed.exec(words);
  if (!found) return unknown;
  for (const back of [0, 1]) {
    const today = new Date(now);
    const of = new Date(today.getFullYear(), today.getMonth(), today.getDate() - back, 12);
    const answer = local(wall(of.getFullYear(), of.getMonth() + 1, of.getDate(), found[1], found[2], found[3] ?? 0));
    if (back || answer.problem || answer.times[0] <= now) return { ...answer, times: answer.times.filter((at) => at <= now) };
  }
  return unknown;
}
