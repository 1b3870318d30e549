// Numbers as people read them.

const grouped = new Intl.NumberFormat('en');
const format = {
  /** `12,345` */
  count: (n) => grouped.format(n),

  /** `1 call`, `2 calls` */
  counted: (n, what) => `${grouped.format(n)} ${what}${n === 1 ? '' : 's'}`,

  /** `41 µs`; nothing where the end was not seen. */
  duration(ns) {
    if (ns < 0 || Number.isNaN(ns)) return '';
    const units = [
      [1e9, 's'],
      [1e6, 'ms'],
      [1e3, 'µs'],
      [1, 'ns'],
    ];
    const [size, unit] = units.find(([least]) => ns >= least) ?? units[3];
    const value = Number((ns / size).toPrecision(ns / size < 1000 ? 3 : 15));
    const digits = unit === 'ns' || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    return `${value >= 1000 ? grouped.format(Math.round(value)) : value.toFixed(digits)} ${unit}`;
  },

  /** `12.3 kB`; `≥` where some were not known, `?` where none was. */
  bytes(n, unknown = 0) {
    if (!n && unknown) return '?';
    const least = unknown ? '≥ ' : '';
    if (n < 1000) return `${least}${n} B`;
    const units = ['kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
    const power = Math.min(Math.floor(Math.log10(Number(n.toPrecision(3))) / 3), units.length);
    return `${least}${(n / 1000 ** power).toPrecision(3)} ${units[power - 1]}`;
  },

  /** `+1.234567 s` since the first call. */
  offset: (ns) => `+${(ns / 1e9).toFixed(6)} s`,

  percent: (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : ''),
};

const startNs = BigInt(data.start_ns);
const startMs = Number(startNs / 1000000n);
const startRest = Number(startNs % 1000000n);

/** The date at that time since the start; of a damaged recording it may be none. */
function dateAt(ns) {
  const date = new Date(startMs + Math.floor((startRest + ns) / 1e6));
  return Number.isNaN(date.getTime()) ? null : date;
}

const two = (n) => String(n).padStart(2, '0');

/** `12:01:07.412345`, in the reader's time zone. */
function clock(ns) {
  const date = dateAt(ns);
  if (!date) return '--:--:--';
  const micros = String(Math.floor(((startRest + ns) % 1e6) / 1e3)).padStart(3, '0');
  const millis = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}${micros}`;
}

/** `2026-11-29` */
function day(ns) {
  const date = dateAt(ns);
  return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : '';
}

/** The last part of a path. */
function fileName(path) {
  return path.slice(path.lastIndexOf('/') + 1) || path;
}

/** `app.py:88`; `?` for a line that is not known. */
function placeText(line, name = fileName) {
  if (line === NONE) return '(no Python frame)';
  const [, file, number] = data.lines[line];
  return `${name(file)}:${number === NONE ? '?' : number}`;
}

function threadText(thread) {
  const [pid, tid] = data.threads[thread];
  return `${pid}/${tid}`;
}
